import * as z from 'zod/mini'
import type { DeliveryResult } from '../../messaging/delivery.js'
import { getDomain } from '../../xmpp/jid.js'

/** How long the exporter tries to deliver a test message. A room may have to be joined first. */
export const TEST_DEADLINE_MS = 20_000

/**
 * The format of the JSON with which the running exporter answers `doctor --send-test` on its control socket. Later
 * versions may only add optional keys, so that doctor can read the answer of an exporter of another version.
 */
const TEST_REPORT = z.object({
  version: z.string().check(z.maxLength(100)),
  /** One line that says why the exporter sent no message, and what to change. */
  problem: z.optional(z.string()),
  /** The recipients of the message. */
  recipients: z.optional(
    z.array(
      z.object({
        to: z.string(),
        isRoom: z.boolean(),
        /** Whether the recipient is a user of a VirtualHost of this server, if the exporter knows that. */
        isLocal: z.optional(z.boolean()),
        result: z.enum(['delivered', 'rejected', 'pending']),
        /** Why the recipient does not have the message, and what to change. */
        reason: z.optional(z.string()),
      }),
    ),
  ),
})

export type TestReport = Readonly<z.infer<typeof TEST_REPORT>>
export type TestedRecipient = NonNullable<TestReport['recipients']>[number]

/**
 * Creates the report about a test message for each recipient, in the order of the results.
 *
 * @param known.rooms The recipients that are rooms.
 * @param known.hosts The VirtualHosts of the server among the domains of the recipients; `undefined` if they are unknown.
 */
export function createTestReport(
  version: string,
  { delivered, rejected, pending }: DeliveryResult,
  known: { readonly rooms: readonly string[]; readonly hosts: ReadonlySet<string> | undefined },
): TestReport {
  const describe = (to: string, result: TestedRecipient['result'], reason?: string) => ({
    ...{ to, isRoom: known.rooms.includes(to), result },
    ...(known.hosts && { isLocal: known.hosts.has(getDomain(to)) }),
    ...(reason !== undefined && { reason }),
  })
  const recipients = [
    ...delivered.map((to) => describe(to, 'delivered')),
    ...rejected.map(({ to, reason }) => describe(to, 'rejected', reason)),
    ...pending.map(({ to, reason }) => describe(to, 'pending', reason)),
  ]
  return { version, recipients }
}

/** @returns The report; `undefined` if an exporter of another version sent another format. */
export function parseTestReport(text: string): TestReport | undefined {
  try {
    return TEST_REPORT.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}

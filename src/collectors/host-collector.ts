import { TimeoutError } from '../errors.js'
import { family, type Family, type Sample } from '../metrics/family.js'
import { runCommand, type CommandResult } from '../xmpp/command.js'
import type { Connection } from '../xmpp/connection.js'
import { submitForm } from '../xmpp/data-form.js'
import type { Element } from '../xmpp/stream.js'
import type { Collector } from './collector.js'
import type { Host, Hosts } from './hosts.js'

/** A question that is put to each host that can answer it; one file each beside this one. */
export type HostSource = {
  /** Of the collector: `--collector.NAME`. */
  readonly name: string
  readonly families: readonly FamilyMeta[]
  appliesTo(host: Host): boolean
  /** @throws What `Ask` throws, or CollectorError; it concerns this host alone. */
  read(host: Host, ask: Ask): Promise<readonly Reading[]>
}

export type FamilyMeta = { readonly name: string; readonly help: string }

/** A sample of one of the source's families, without the label `host`, which is added. */
export type Reading = {
  readonly family: string
  readonly value: number
  readonly labels?: Readonly<Record<string, string>>
}

/** Puts questions to one host within the collection's time. */
export type Ask = {
  /** An iq of type `get` with that child; its reply. */
  iq(child: Element): Promise<Element>
  /** An ad-hoc command, with a form sent along where it takes one at once. */
  command(node: string, form?: Readonly<Record<string, string>>): Promise<CommandResult>
}

/** Of FORM_TYPE in the forms of XEP-0133. */
const NS_ADMIN = 'http://jabber.org/protocol/admin'

/**
 * A collector that asks all hosts at once. What some of them did not answer is missing, and makes the
 * collection a failure that still has the rest.
 */
export function createHostCollector(
  connection: Pick<Connection, 'request'>,
  hosts: Hosts,
  source: HostSource,
  now: () => number = () => performance.now(),
): Collector {
  return {
    name: source.name,

    async collect({ timeoutMs }) {
      const deadline = now() + timeoutMs
      const left = () => {
        const ms = deadline - now()
        if (ms > 0) return ms
        throw new TimeoutError(`${source.name} did not end within ${Math.round(timeoutMs)} ms`)
      }
      const able = (await hosts.list(left())).filter((host) => source.appliesTo(host))
      const results = await Promise.allSettled(
        able.map(async (host) => {
          const ask: Ask = {
            iq: (child) => connection.request('get', child, { to: host.jid, timeoutMs: left() }),
            command: (node, form) =>
              runCommand(connection, node, {
                to: host.jid,
                timeoutMs: left(),
                ...(form && { form: submitForm(NS_ADMIN, form) }),
              }),
          }
          const readings = await source.read(host, ask)
          return readings.map((reading) => ({ host: host.jid, ...reading }))
        }),
      )
      const failed = results.find((result) => result.status === 'rejected')
      const read = results.flatMap((result) => (result.status === 'fulfilled' ? result.value : []))
      if (failed && read.length === 0) throw failed.reason
      return {
        families: source.families.map((meta) => toFamily(meta, read)),
        invalid: new Map(),
        ...(failed && { failure: failed.reason as unknown }),
      }
    },
  }
}

function toFamily(
  { name, help }: FamilyMeta,
  readings: readonly (Reading & { readonly host: string })[],
): Family {
  const samples = readings
    .filter((reading) => reading.family === name)
    .map(({ host, labels, value }): Sample => ({ labels: { host, ...labels }, value }))
  return family('gauge', name, help, samples)
}

import { randomUUID } from 'node:crypto'

/** What became of a message: the bare JIDs of its recipients, by the result. */
export type MessageOutcome = {
  readonly delivered: readonly string[]
  readonly rejected: readonly { readonly to: string; readonly reason: string }[]
  readonly pending: readonly { readonly to: string; readonly reason: string }[]
}

type Deliver = (
  message: { readonly key: string; readonly text: string },
  deadlineMs: number,
) => Promise<MessageOutcome>

/**
 * Sends a test message to all recipients of alerts.
 *
 * @param deliver Delivers a message to all recipients of alerts.
 * @param domain The domain of the component that sends the message.
 */
export async function sendTestMessage(
  deliver: Deliver,
  domain: string,
  deadlineMs: number,
): Promise<MessageOutcome> {
  // Each test has a key of its own, because a message with a known key is not sent again.
  const key = `test ${randomUUID()}`
  const text = `Test message of prosody-exporter (${domain}). Alerts arrive like this message.`
  return await deliver({ key, text }, deadlineMs)
}

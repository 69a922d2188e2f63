import { randomUUID } from 'node:crypto'
import type { Delivery, DeliveryResult } from './delivery.js'

/**
 * Sends a test message to all recipients of alerts.
 *
 * @param domain The domain of the component that sends the message.
 */
export async function sendTestMessage(
  deliver: Delivery['deliver'],
  domain: string,
  deadlineMs: number,
): Promise<DeliveryResult> {
  // Each test has a key of its own, because a message with a known key is not sent again.
  const key = `test ${randomUUID()}`
  const text = `Test message of prosody-exporter (${domain}). Alerts arrive like this message.`
  return await deliver({ key, text }, deadlineMs)
}

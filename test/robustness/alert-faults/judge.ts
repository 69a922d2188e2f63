/** Checks how often each recipient received each notification of a scenario. */

import { STATUSES, type AlertScenario, type Outage, type Status } from './scenarios.js'

/** Returns how many messages about an alert a recipient received. */
export type CountMessages = (recipient: string, scenario: AlertScenario, status: Status) => number

/**
 * Returns whether an outage can cause a duplicate: the exporter ends, or the reply of Prosody is late or lost. If only the
 * response of the exporter is lost, or Alertmanager forgets that it has sent an alert, the exporter recognizes the
 * repetition.
 */
const canDuplicate = ({ fault, when }: Outage) =>
  when === 'written' || ['xmpp', 'prosody', 'exporter'].includes(fault.where)

/** Returns a line for each recipient that a notification did not reach, or reached more often than allowed. */
export function judgeDeliveries(
  scenario: AlertScenario,
  recipients: readonly string[],
  count: CountMessages,
): readonly string[] {
  return STATUSES.flatMap((status) => {
    const most = 1 + scenario[status].filter(canDuplicate).length
    return recipients.flatMap((recipient) => {
      const messages = count(recipient, scenario, status)
      return messages >= 1 && messages <= most
        ? []
        : [
            `${recipient} received ${messages} messages, not 1 to ${most}: ${scenario.name} ${status}`,
          ]
    })
  })
}

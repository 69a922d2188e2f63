import type { Config } from '../../config/read-config.js'
import { askForTestMessage, UnansweredError } from '../../control/ask-service.js'
import type { Owner } from '../../control/socket-directories.js'
import type { Finding } from './findings.js'
import { parseTestReport, TEST_DEADLINE_MS, type TestedRecipient } from './test-report.js'

// The running exporter answers after TEST_DEADLINE_MS at the latest. The rest is for a busy machine.
const ANSWER_MS = TEST_DEADLINE_MS + 20_000

type PrintFinding = (result: Finding['result'], text: string) => void

/**
 * Lets the running exporter send a test message to all recipients of alerts, and prints the result for each.
 *
 * @param options.print Prints the line about one recipient.
 * @returns The last line of the output, and whether every recipient has the message.
 */
export async function sendTest(
  { alerts, servers }: Config,
  { owner, print }: { readonly owner: Owner; readonly print: PrintFinding },
): Promise<{ readonly isDelivered: boolean; readonly verdict: string }> {
  if (alerts === undefined) {
    return fail(
      'No alerts are configured. Run prosody-exporter setup --alerts=JID, or add the section alerts to the configuration ' +
        'file (docs/alerts.md) and restart the exporter.',
    )
  }
  const { xmpp } = servers.find(({ name }) => name === alerts.server)!
  let text: string | undefined
  try {
    text = await askForTestMessage(xmpp, owner, ANSWER_MS)
  } catch (error) {
    const { message } = error as Error
    return error instanceof UnansweredError ? failUnknown(message) : fail(message)
  }
  if (text === undefined) {
    return fail(
      'No exporter with a control socket runs on this machine. Start it (systemctl start prosody-exporter), and run ' +
        'doctor --send-test again.',
    )
  }
  const report = parseTestReport(text)
  if (report === undefined) {
    return failUnknown(
      'This version of doctor cannot read the response of the running service. Restart the service: ' +
        'systemctl restart prosody-exporter',
    )
  }
  const { problem, recipients = [] } = report
  if (problem !== undefined) return fail(problem)
  for (const each of recipients) {
    print(judgeRecipient(each), describeRecipient(each))
  }
  const missing = recipients.filter(({ result }) => result !== 'delivered')
  return { isDelivered: missing.length === 0, verdict: formatTestVerdict(recipients, missing) }
}

const fail = (reason: string) => ({
  isDelivered: false,
  verdict: `The test message was not sent: ${reason}`,
})

const failUnknown = (reason: string) => ({
  isDelivered: false,
  verdict: `It is unknown whether the test message was sent. Check whether it arrived. ${reason}`,
})

/** Prosody confirms only what it delivers itself, so a message to another server or to a component is a note. */
function judgeRecipient({ result, isRoom, isLocal }: TestedRecipient): Finding['result'] {
  if (result !== 'delivered') return 'failed'
  return isRoom || isLocal !== false ? 'ok' : 'note'
}

/** Describes what is known about the message to one recipient. */
function describeRecipient(recipient: TestedRecipient): string {
  const { to, isRoom, isLocal, result, reason = 'no reason is known' } = recipient
  switch (result) {
    case 'delivered':
      if (isRoom) return `${to}: the room has shown it to its occupants`
      return isLocal === false
        ? `${to}: Prosody passes it to another server or a component, which confirms nothing. If that fails later, the exporter logs it`
        : `${to}: Prosody accepted it, to show it now or at the next login`
    case 'rejected':
      return `${to}: rejected: ${reason}`
    case 'pending':
      return `${to}: not delivered yet: ${reason}`
  }
}

function formatTestVerdict(
  { length: all }: readonly TestedRecipient[],
  { length: missing }: readonly TestedRecipient[],
): string {
  const recipients = all === 1 ? 'the recipient' : `all ${all} recipients`
  if (missing === 0) return `All good: Prosody accepted the test message for ${recipients}.`
  return (
    `Not working: ${missing} of ${all} recipients did not get the test message. Each line with FAILED says why, and what ` +
    'to change. Then run prosody-exporter doctor --send-test again.'
  )
}

// XEP-0050: Ad-Hoc Commands, version 1.3.0. The requester, for commands that need at most one form.

import { CommandError } from '../errors.js'
import type { Connection } from './connection.js'
import { readDataForm, type DataForm } from './data-form.js'
import { NS_COMMANDS, NS_DATA_FORM } from './namespaces.js'
import { xml, type Element } from './xml.js'

export type CommandResult = {
  readonly status: 'completed'
  /** The whole `<command/>`, for payloads other than a form. */
  readonly element: Element
  readonly notes: readonly { readonly type: string; readonly text: string }[]
  readonly form: DataForm | undefined
}

/**
 * Runs a command to completion and returns its result.
 *
 * If the command asks for input, it gets the payload. Without a payload, or if the command asks again, it is cancelled
 * and fails. Otherwise Prosody would keep its session forever. The strings of the result are slices of the stanza, and
 * V8 keeps the whole stanza for each: copy the strings that you store.
 *
 * @param options.to The JID of the command. Default: the domain of the connection.
 * @param options.payload Sent with the request, for servers that read it immediately, and in reply to the form of the
 *   server, for servers that do not (Prosody before 0.12).
 * @param options.timeoutMs Milliseconds to wait for the result.
 * @throws {CommandError} The reply is not a result; see `failure`.
 * @throws {DecodeError} The form in the reply is malformed.
 * @throws {StanzaError} The server refused, for example with `forbidden` or `item-not-found`.
 * @throws {LinkError | TimeoutError | NotHandledError} See `Connection.request`.
 * @see XEP-0050 §2.4.1 Simple Execution, §2.4.2 Multiple Stages, §2.4.3 Canceling, §3.3
 */
export async function runCommand(
  connection: Pick<Connection, 'request'>,
  node: string,
  { to, payload, timeoutMs }: { to?: string; payload?: Element; timeoutMs: number },
): Promise<CommandResult> {
  const startedAt = performance.now()
  const fail = (failure: CommandError['failure'], detail: string) =>
    new CommandError(node, failure, detail)

  /** Sends an action, and returns the `<command/>` of the reply. */
  async function sendAction(
    attrs: Readonly<Record<string, string>>,
    payload?: Element,
    ms = timeoutMs,
  ) {
    const request = xml('command', { xmlns: NS_COMMANDS, node, ...attrs }, payload)
    const options = { ...(to !== undefined && { to }), timeoutMs: ms }
    const reply = await connection.request('set', request, options)
    const element = reply.getChild('command', NS_COMMANDS)
    if (!element) throw fail('no-command', 'the answer has no <command/>')
    const { node: answered } = element.attrs
    if (answered === node) return element
    throw fail('wrong-node', `the answer is of another command, ${answered ?? 'without a name'}`)
  }

  let element = await sendAction({ action: 'execute' }, payload)
  const { sessionid } = element.attrs
  const isExecuting = () => element.attrs['status'] === 'executing'
  if (payload && sessionid && isExecuting()) {
    const leftMs = Math.max(startedAt + timeoutMs - performance.now(), 1)
    element = await sendAction({ action: 'complete', sessionid }, payload, leftMs)
  }
  if (isExecuting()) {
    // Not awaited, because the command has failed anyway. Without an answer, the server only keeps the session.
    if (sessionid) sendAction({ action: 'cancel', sessionid }).catch(() => {})
    throw fail('needs-input', 'it asks for input')
  }
  const { status } = element.attrs
  if (status === 'canceled') throw fail('canceled', 'the server cancelled it')
  if (status !== 'completed') {
    throw fail('bad-status', `the answer's status is ${status ?? 'missing'}`)
  }

  const notes = element
    .getChildren('note', NS_COMMANDS)
    .map((note) => ({ type: note.attrs['type'] ?? 'info', text: note.text() }))
  const failed = notes.find((note) => note.type === 'error')
  if (failed) throw fail('error-note', failed.text || 'it failed without a reason')

  const x = element.getChild('x', NS_DATA_FORM)
  return { status, element, notes, form: x && readDataForm(x) }
}

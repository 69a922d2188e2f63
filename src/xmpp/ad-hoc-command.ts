// XEP-0050: Ad-Hoc Commands, version 1.3.0: the requester's side, for commands that need at most one form.

import { CommandError } from '../errors.js'
import type { Connection } from './connection.js'
import { readDataForm, type DataForm } from './data-form.js'
import { NS_COMMANDS, NS_DATA_FORM } from './namespaces.js'
import { xml, type Element } from './xml.js'

export type CommandResult = {
  readonly status: 'completed'
  /** `<command/>` itself, for a payload of one's own. */
  readonly element: Element
  readonly notes: readonly { readonly type: string; readonly text: string }[]
  readonly form: DataForm | undefined
}

/**
 * Runs a command to completion and returns its answer.
 *
 * One that asks for input gets the form; without a form, or when it asks again, it is cancelled and
 * fails, so that the server keeps no session for us (Prosody keeps them for ever). Strings of the
 * result are cut out of the stanza, and V8 keeps the whole stanza for each: copy what you keep longer.
 *
 * @param options.to Whose command it is. Default: the connection's own domain.
 * @param options.payload Sent along with the request, for servers that read it at once, and in answer to
 *   the server's own form, for those that don't (Prosody before 0.12).
 * @param options.timeoutMs Milliseconds to wait for the result.
 * @throws {CommandError} The answer is not the command's result; `failure` says how.
 * @throws {DecodeError} The answer's form is malformed.
 * @throws {StanzaError} The server refused, e.g. `forbidden`, or `item-not-found`.
 * @throws What `request` throws: LinkError, TimeoutError, NotHandledError.
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

  /** `<command/>` of the answer. */
  async function act(attrs: Readonly<Record<string, string>>, payload?: Element, ms = timeoutMs) {
    const request = xml('command', { xmlns: NS_COMMANDS, node, ...attrs }, payload)
    const options = { ...(to !== undefined && { to }), timeoutMs: ms }
    const reply = await connection.request('set', request, options)
    const element = reply.getChild('command', NS_COMMANDS)
    if (!element) throw fail('no-command', 'the answer has no <command/>')
    const { node: answered } = element.attrs
    if (answered === node) return element
    throw fail('wrong-node', `the answer is of another command, ${answered ?? 'without a name'}`)
  }

  let element = await act({ action: 'execute' }, payload)
  const { sessionid } = element.attrs
  const isExecuting = () => element.attrs['status'] === 'executing'
  if (payload && sessionid && isExecuting()) {
    const leftMs = Math.max(startedAt + timeoutMs - performance.now(), 1)
    element = await act({ action: 'complete', sessionid }, payload, leftMs)
  }
  if (isExecuting()) {
    // Nobody waits for it: the caller has its failure already, and a server that does not answer
    // this keeps a session and nothing more.
    if (sessionid) act({ action: 'cancel', sessionid }).catch(() => {})
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

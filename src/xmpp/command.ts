// XEP-0050: Ad-Hoc Commands, version 1.3.0: the requester's side, for commands that need no dialogue.

import { CommandError } from '../errors.js'
import type { Connection } from './connection.js'
import { readDataForm, type DataForm } from './data-form.js'
import { NS_COMMANDS, NS_DATA_FORM } from './namespaces.js'
import { xml, type Element } from './stream.js'

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
 * A command that asks for input is cancelled and fails, so that the server keeps no session for us
 * (Prosody keeps them for ever). Strings of the result are cut out of the stanza, and V8 keeps the
 * whole stanza for each: copy what you keep longer.
 *
 * @param options.to Whose command it is. Default: the connection's own domain.
 * @param options.payload Sent along with the request, for a command that reads it at once: a filled-in form.
 * @param options.timeoutMs Milliseconds to wait for the answer.
 * @throws {CommandError} The answer is not the command's result; `failure` says how.
 * @throws {DecodeError} The answer's form is malformed.
 * @throws {StanzaError} The server refused, e.g. `forbidden`, or `item-not-found`.
 * @throws What `request` throws: LinkError, TimeoutError, NotHandledError.
 * @see XEP-0050 §2.4.1 Simple Execution, §2.4.3 Canceling, §3.3 Possible Statuses
 */
export async function runCommand(
  connection: Pick<Connection, 'request'>,
  node: string,
  { payload, ...options }: { to?: string; payload?: Element; timeoutMs: number },
): Promise<CommandResult> {
  const request = xml('command', { xmlns: NS_COMMANDS, node, action: 'execute' }, payload)
  const reply = await connection.request('set', request, options)

  const fail = (failure: CommandError['failure'], detail: string) =>
    new CommandError(node, failure, detail)
  const element = reply.getChild('command', NS_COMMANDS)
  if (!element) throw fail('no-command', 'the answer has no <command/>')
  const { node: answered, status, sessionid } = element.attrs
  if (answered !== node) {
    throw fail('wrong-node', `the answer is of another command, ${answered ?? 'without a name'}`)
  }
  if (status === 'executing') {
    if (sessionid) cancel(sessionid)
    throw fail('needs-input', 'it asks for input')
  }
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

  // Nobody waits for it: the caller has its failure already, and a server that does not answer
  // this keeps a session and nothing more.
  function cancel(sessionid: string): void {
    const action = xml('command', { xmlns: NS_COMMANDS, node, sessionid, action: 'cancel' })
    connection.request('set', action, options).catch(() => {})
  }
}

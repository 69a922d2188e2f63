// The requester of XEP-0050 (Ad-Hoc Commands, version 1.3.0). It supports commands that ask for at most one form.

import { CommandError } from '../errors.js'
import type { Connection } from './connection.js'
import { readDataForm, type DataForm } from './data-form.js'
import { NS_COMMANDS, NS_DATA_FORM } from './namespaces.js'
import { xml, type Element } from './xml.js'

export type CommandResult = {
  readonly status: 'completed'
  /** The whole `<command/>` of the reply. It can contain payloads other than a form. */
  readonly element: Element
  readonly notes: readonly { readonly type: string; readonly text: string }[]
  readonly form: DataForm | undefined
}

type CommandOptions = { readonly to?: string; readonly timeoutMs: number }

const fail = (node: string, failure: CommandError['failure'], detail: string) =>
  new CommandError(node, failure, detail)

/** Sends a request with an action such as `execute` or `cancel`, and returns the `<command/>` of the reply. */
async function sendAction(
  connection: Pick<Connection, 'request'>,
  attrs: Readonly<Record<string, string>> & { readonly node: string },
  options: CommandOptions,
  payload?: Element,
): Promise<Element> {
  const request = xml('command', { xmlns: NS_COMMANDS, ...attrs }, payload)
  const reply = await connection.request('set', request, options)
  const element = reply.getChild('command', NS_COMMANDS)
  if (!element) throw fail(attrs.node, 'no-command', 'the reply has no <command/>')
  const { node } = element.attrs
  if (node === attrs.node) return element
  throw fail(attrs.node, 'wrong-node', `the reply names another command: ${node ?? 'none'}`)
}

/**
 * Requests the form for which an ad-hoc command asks, and cancels the command. The result is undefined if the command
 * asks for no form.
 *
 * @throws The errors of `runCommand`.
 * @see XEP-0050 §2.4.2 Multiple Stages, §2.4.3 Canceling
 */
export async function requestForm(
  connection: Pick<Connection, 'request'>,
  node: string,
  options: CommandOptions,
): Promise<DataForm | undefined> {
  const element = await sendAction(connection, { node, action: 'execute' }, options)
  const { sessionid, status } = element.attrs
  if (status !== 'executing') return undefined
  if (sessionid) {
    sendAction(connection, { node, action: 'cancel', sessionid }, options).catch(() => {})
  }
  const x = element.getChild('x', NS_DATA_FORM)
  return x && readDataForm(x)
}

/**
 * Runs an ad-hoc command to completion and returns its result.
 *
 * If the command asks for input, this function submits the payload. Without a payload, or if the command asks a second
 * time, this function cancels the command and throws. Without a session id in the reply, it only throws. Prosody stores
 * the session of a command forever if nobody completes or cancels it.
 *
 * The strings of the result can be slices of the stanza's text, and each slice keeps the whole text in memory. Copy the
 * strings that you store.
 *
 * @param options.to The JID of the entity that offers the command. Default: the component's own domain.
 * @param options.payload The form to submit. Prosody 0.12 and later read it from the first request. Prosody before 0.12
 *   first sends an empty form, and this function then submits the payload.
 * @param options.timeoutMs Milliseconds to wait for the result.
 * @throws {CommandError} The reply is not the result of the command. The field `failure` of the error says why.
 * @throws {DecodeError} The form in the reply is malformed.
 * @throws {StanzaError} The server refused the command, for example with `forbidden` or `item-not-found`.
 * @throws {LinkError | TimeoutError | NotHandledError} See `Connection.request`.
 * @see XEP-0050 §2.4.1 Simple Execution, §2.4.2 Multiple Stages, §2.4.3 Canceling, §3.3
 */
export async function runCommand(
  connection: Pick<Connection, 'request'>,
  node: string,
  { to, payload, timeoutMs }: CommandOptions & { readonly payload?: Element },
): Promise<CommandResult> {
  const startedAt = performance.now()
  const send = (action: Readonly<Record<string, string>>, payload?: Element, ms = timeoutMs) =>
    sendAction(
      connection,
      { node, ...action },
      { ...(to !== undefined && { to }), timeoutMs: ms },
      payload,
    )

  let element = await send({ action: 'execute' }, payload)
  const { sessionid } = element.attrs
  const isExecuting = () => element.attrs['status'] === 'executing'
  if (payload && sessionid && isExecuting()) {
    const leftMs = Math.max(startedAt + timeoutMs - performance.now(), 1)
    element = await send({ action: 'complete', sessionid }, payload, leftMs)
  }
  if (isExecuting()) {
    // The reply to `cancel` is not awaited, because the command has failed in any case. If the server does not handle
    // `cancel`, the only effect is that the session of the command remains in the server.
    if (sessionid) send({ action: 'cancel', sessionid }).catch(() => {})
    throw fail(node, 'needs-input', 'the command asks for input that the exporter does not have')
  }
  const { status } = element.attrs
  if (status === 'canceled') throw fail(node, 'canceled', 'the server canceled the command')
  if (status !== 'completed') {
    throw fail(node, 'bad-status', `the status in the reply is ${status ?? 'missing'}`)
  }

  const notes = element
    .getChildren('note', NS_COMMANDS)
    .map((note) => ({ type: note.attrs['type'] ?? 'info', text: note.text() }))
  const failed = notes.find((note) => note.type === 'error')
  if (failed)
    throw fail(
      node,
      'error-note',
      failed.text || 'the command failed, and the server gave no reason',
    )

  const x = element.getChild('x', NS_DATA_FORM)
  return { status, element, notes, form: x && readDataForm(x) }
}

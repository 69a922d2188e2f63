/**
 * The classes of errors. The class of an error determines the reason that a failed collection has in logs and metrics.
 */

/**
 * A flag, an environment variable or a file is invalid. The message is one line that names the invalid setting. At the
 * start, this error ends the exporter with exit code 2.
 */
export class ConfigError extends Error {
  override name = 'ConfigError'
}

/** The exporter is not connected to the server, or the stream ended before the reply to a request. */
export class LinkError extends Error {
  override name = 'LinkError'
}

/** The server did not reply to a request in time. */
export class TimeoutError extends Error {
  override name = 'TimeoutError'
}

/**
 * The server replied to a request with an error stanza.
 *
 * @see RFC 6120 §8.3
 */
export class StanzaError extends Error {
  override name = 'StanzaError'
  /** The error condition that RFC 6120 §8.3.3 defines, for example `forbidden`. */
  readonly condition: string
  /** The error text of the server, shortened to 1000 characters. Empty if the error has no text. */
  readonly text: string
  constructor(
    condition: string,
    /** The error type: `auth`, `cancel`, `continue`, `modify` or `wait`. */
    readonly type: string,
    text: string,
  ) {
    const shortCondition = shorten(condition)
    const shortText = shorten(text)
    super(shortText === '' ? shortCondition : `${shortCondition}: ${shortText}`)
    this.condition = shortCondition
    this.text = shortText
  }
}

/** A request to the component's own domain came back to the exporter, because no module of the server handles it. */
export class NotHandledError extends Error {
  override name = 'NotHandledError'
}

/** A reply violates its protocol. */
export class DecodeError extends Error {
  override name = 'DecodeError'
  constructor(what: string, expected: string, got: string) {
    super(`${what}: expected ${expected}, got ${got.length > 80 ? `${got.slice(0, 80)}…` : got}`)
  }
}

/** Why the reply to an ad-hoc command is not a result. */
export type CommandFailure =
  'no-command' | 'wrong-node' | 'bad-status' | 'needs-input' | 'canceled' | 'error-note'

/**
 * The reply to an ad-hoc command is not a result.
 *
 * @see XEP-0050 §2.4, §3.3
 */
export class CommandError extends Error {
  override name = 'CommandError'
  constructor(
    readonly node: string,
    readonly failure: CommandFailure,
    detail: string,
  ) {
    super(`command ${node}: ${shorten(detail)}`)
  }
}

// A text from the server can be as long as a stanza. Error messages are logged and searched for names to mask, so the
// limit keeps both fast.
const MAX_TEXT_LENGTH = 1000

/** Shortens a text from the server. A shortened text is a copy, because a slice keeps the whole stanza in memory. */
function shorten(text: string): string {
  return text.length > MAX_TEXT_LENGTH
    ? `${Buffer.from(text.slice(0, MAX_TEXT_LENGTH)).toString()}…`
    : text
}

/** Returns the message of an error, or the text of another thrown value. */
export function getErrorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/**
 * Splits a message for the operator at the end of its first sentence, which names the cause. The rest, which can be
 * empty, is the remedy. A full stop ends a sentence only if a capital letter follows, so that names such as
 * `prosody.cfg.lua` stay whole.
 */
export function splitMessage(text: string): { readonly cause: string; readonly remedy: string } {
  const end = /\.(?= \p{Lu})/u.exec(text)
  const cause = end ? text.slice(0, end.index + 1) : text
  return { cause, remedy: text.slice(cause.length).trim() }
}

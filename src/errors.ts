/** The errors of the exporter. Each kind has its own class, from which the reason of a failed collection derives. */

/** A flag, an environment variable or a file is wrong. The message is one line that names it. Exit code 2. */
export class ConfigError extends Error {
  override name = 'ConfigError'
}

/** There is no stream to the server, or it was lost before the reply to a request. */
export class LinkError extends Error {
  override name = 'LinkError'
}

/** The server did not answer in time. */
export class TimeoutError extends Error {
  override name = 'TimeoutError'
}

/**
 * The server answered with an error stanza.
 *
 * @see RFC 6120 §8.3
 */
export class StanzaError extends Error {
  override name = 'StanzaError'
  /** The defined condition, for example `forbidden`. */
  readonly condition: string
  /** The text of the server, shortened; empty if there is none. */
  readonly text: string
  constructor(
    condition: string,
    /** `auth`, `cancel`, `continue`, `modify` or `wait`. */
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

/** How the reply to a command differs from a result. */
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

// Errors are logged, and searched for names to mask. The text of a server can be as long as a stanza.
const MAX_TEXT_LENGTH = 1000

/** Shortens a text of the server, and copies it if it is long, so that the stanza is not kept in memory. */
function shorten(text: string): string {
  return text.length > MAX_TEXT_LENGTH
    ? `${Buffer.from(text.slice(0, MAX_TEXT_LENGTH)).toString()}…`
    : text
}

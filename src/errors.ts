/** What can go wrong, each kind by its own class: the scrape turns them into reasons, the log into advice. */

/** A wrong flag, environment variable or file; `message` is one line that names it. Exit code 2. */
export class ConfigError extends Error {
  override name = 'ConfigError'
}

/** There is no stream to the server, or it was lost while a request was under way. */
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
  /** The defined condition, e.g. `forbidden`. */
  readonly condition: string
  /** The server's own words, cut when they are many; empty when it gave none. */
  readonly text: string
  constructor(
    condition: string,
    /** `auth`, `cancel`, `continue`, `modify` or `wait`. */
    readonly type: string,
    text: string,
  ) {
    const [what, words] = [brief(condition), brief(text)]
    super(words === '' ? what : `${what}: ${words}`)
    this.condition = what
    this.text = words
  }
}

/** The iq that we sent to our own domain came back to us: nobody on the server handles it. */
export class NotHandledError extends Error {
  override name = 'NotHandledError'
}

/** An answer arrived but is not what the protocol says. */
export class DecodeError extends Error {
  override name = 'DecodeError'
  constructor(what: string, expected: string, got: string) {
    super(`${what}: expected ${expected}, got ${got.length > 80 ? `${got.slice(0, 80)}…` : got}`)
  }
}

/** What a command answered instead of its result. */
export type CommandFailure =
  'no-command' | 'wrong-node' | 'bad-status' | 'needs-input' | 'canceled' | 'error-note'

/**
 * An ad-hoc command was answered, but not with its result.
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
    super(`command ${node}: ${brief(detail)}`)
  }
}

// Errors are logged and searched for names, and a server may write as much as a stanza holds.
const MAX_WORDS = 1000

/** A server's words, cut, and a copy that does not hold the stanza. */
function brief(text: string): string {
  return text.length > MAX_WORDS ? `${Buffer.from(text.slice(0, MAX_WORDS)).toString()}…` : text
}

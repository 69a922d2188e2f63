/** Why a stream ended. */
export type StreamEnd = {
  /**
   * `refused`: a stream error of the server's; `network`: the socket's; `timeout`: ours;
   * `protocol`: what came is no XMPP, or more than we take; `closed`, `stopped`: by the server, by us.
   */
  readonly kind: 'refused' | 'network' | 'timeout' | 'protocol' | 'closed' | 'stopped'
  /** The stream error's condition, the socket's error code, or what did not come in time. */
  readonly condition: string
  /** The other side's own words, on one line of at most 200 characters; may be empty. */
  readonly text: string
}

// RFC 6120 §4.9.3 and XEP-0114: all others are one kind.
const CONDITIONS: ReadonlySet<string> = new Set([
  ...['bad-format', 'bad-namespace-prefix', 'conflict', 'connection-timeout', 'host-gone'],
  ...['host-unknown', 'improper-addressing', 'internal-server-error', 'invalid-from'],
  ...['invalid-namespace', 'invalid-xml', 'not-authorized', 'not-well-formed', 'policy-violation'],
  ...['remote-connection-failed', 'reset', 'resource-constraint', 'restricted-xml'],
  ...['see-other-host', 'system-shutdown', 'undefined-condition', 'unsupported-encoding'],
  ...['unsupported-feature', 'unsupported-stanza-type', 'unsupported-version'],
])

/** A key for the kind of an end, which the server cannot choose freely. */
export function kindOf({ kind, condition }: StreamEnd, wasOnline: boolean): string {
  const isOurs = kind !== 'refused' || CONDITIONS.has(condition)
  return [wasOnline ? 'lost' : 'none', kind, isOurs ? condition : 'another'].join(' ')
}

/** A server's words for a log: on one line, short, and a copy that does not hold the stanza. */
export function oneLine(text: string): string {
  return Buffer.from(text.slice(0, 200).replace(/\s+/g, ' ')).toString()
}

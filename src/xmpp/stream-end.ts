/** Why a stream ended. */
export type StreamEnd = {
  /**
   * `refused`: the server sent a stream error. `network`: an error of the socket. `timeout`: the exporter waited too long.
   * `protocol`: the data is no XMPP, or exceeds a limit. `closed`: by the server. `stopped`: by the exporter.
   */
  readonly kind: 'refused' | 'network' | 'timeout' | 'protocol' | 'closed' | 'stopped'
  /** The condition of the stream error, the code of the socket error, or the phase that took too long. */
  readonly condition: string
  /** The text of the server or the library, on one line of at most 200 characters; may be empty. */
  readonly text: string
}

// RFC 6120 §4.9.3 and XEP-0114. All other conditions are one kind.
const CONDITIONS: ReadonlySet<string> = new Set([
  ...['bad-format', 'bad-namespace-prefix', 'conflict', 'connection-timeout', 'host-gone'],
  ...['host-unknown', 'improper-addressing', 'internal-server-error', 'invalid-from'],
  ...['invalid-namespace', 'invalid-xml', 'not-authorized', 'not-well-formed', 'policy-violation'],
  ...['remote-connection-failed', 'reset', 'resource-constraint', 'restricted-xml'],
  ...['see-other-host', 'system-shutdown', 'undefined-condition', 'unsupported-encoding'],
  ...['unsupported-feature', 'unsupported-stanza-type', 'unsupported-version'],
])

/** Returns a key for the kind of an end. The server cannot create new keys. */
export function kindOf({ kind, condition }: StreamEnd, wasOnline: boolean): string {
  const isKnown = kind !== 'refused' || CONDITIONS.has(condition)
  return [wasOnline ? 'lost' : 'none', kind, isKnown ? condition : 'another'].join(' ')
}

/** Shortens a text of the server to one line, and copies it, so that the stanza is not kept in memory. */
export function oneLine(text: string): string {
  return Buffer.from(text.slice(0, 200).replace(/\s+/g, ' ')).toString()
}

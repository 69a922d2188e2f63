/** Why a stream ended. */
export type StreamEnd = {
  /**
   * `refused`: the server sent a stream error. `network`: the socket had an error. `timeout`: the server did not answer
   * or read in time, or its data was lost. `protocol`: the received data is not XMPP, or exceeds a limit. `closed`: the
   * server closed the stream. `stopped`: the exporter closed the stream.
   */
  readonly kind: 'refused' | 'network' | 'timeout' | 'protocol' | 'closed' | 'stopped'
  /**
   * The condition of the stream error, the code of the socket error, the protocol of the port (`PortProtocol`), or a
   * word for the phase or the problem. Can be empty.
   */
  readonly condition: string
  /** Details from the server, the library or the exporter, on one line of at most 200 characters. Can be empty. */
  readonly text: string
}

// The conditions of stream errors that RFC 6120 §4.9.3 and XEP-0114 define. `kindOf` treats all other conditions as
// one.
const CONDITIONS: ReadonlySet<string> = new Set([
  ...['bad-format', 'bad-namespace-prefix', 'conflict', 'connection-timeout', 'host-gone'],
  ...['host-unknown', 'improper-addressing', 'internal-server-error', 'invalid-from'],
  ...['invalid-namespace', 'invalid-xml', 'not-authorized', 'not-well-formed', 'policy-violation'],
  ...['remote-connection-failed', 'reset', 'resource-constraint', 'restricted-xml'],
  ...['see-other-host', 'system-shutdown', 'undefined-condition', 'unsupported-encoding'],
  ...['unsupported-feature', 'unsupported-stanza-type', 'unsupported-version'],
])

/** Returns whether RFC 6120 or XEP-0114 defines this condition of stream errors. */
export const isDefinedCondition = (condition: string) => CONDITIONS.has(condition)

/** Returns a key for the reason of a stream end. The number of keys is limited: the server cannot create new keys. */
export function kindOf({ kind, condition }: StreamEnd, wasOnline: boolean): string {
  const isKnown = kind !== 'refused' || isDefinedCondition(condition)
  return [wasOnline ? 'lost' : 'none', kind, isKnown ? condition : 'another'].join(' ')
}

/**
 * Shortens a text to one line of at most 200 characters. The result is a copy, because a slice keeps the whole stanza
 * in memory.
 */
export function oneLine(text: string): string {
  return Buffer.from(text.slice(0, 200).replace(/\s+/g, ' ')).toString()
}

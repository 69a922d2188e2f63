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

/** A server's words for a log: on one line, short, and a copy that does not hold the stanza. */
export function oneLine(text: string): string {
  return Buffer.from(text.slice(0, 200).replace(/\s+/g, ' ')).toString()
}

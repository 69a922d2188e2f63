const [BACKSLASH, QUOTE, LINE_FEED, N] = [0x5c, 0x22, 0x0a, 0x6e]

// Both functions loop over bytes, because a regular expression took 40 s and 2 GB of memory for a label value with
// millions of escapes.

/** Decodes the escapes of the text format. As in Prometheus, an unknown escape sequence stays unchanged. */
export function unescape(text: string): string {
  if (!text.includes('\\')) return text
  const from = Buffer.from(text, 'latin1')
  let length = 0
  for (let i = 0; i < from.length; i++) {
    const next = from[i + 1]
    const isEscape = from[i] === BACKSLASH
    if (isEscape && (next === BACKSLASH || next === QUOTE || next === N)) {
      from[length++] = next === N ? LINE_FEED : next
      i++
    } else from[length++] = from[i]!
  }
  return from.toString('latin1', 0, length)
}

/** Escapes the value of a label or a quoted name. */
export function escape(text: string): string {
  if (!/[\\"\n]/.test(text)) return text
  const from = Buffer.from(text, 'latin1')
  const to = Buffer.alloc(2 * from.length)
  let length = 0
  for (const byte of from) {
    if (byte === BACKSLASH || byte === QUOTE || byte === LINE_FEED) to[length++] = BACKSLASH
    to[length++] = byte === LINE_FEED ? N : byte
  }
  return to.toString('latin1', 0, length)
}

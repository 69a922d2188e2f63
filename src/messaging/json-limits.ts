const [QUOTE, BACKSLASH, COLON, OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] =
  Buffer.from('"\\:[]{}')

export type JsonLimits = {
  /** The maximum number of objects and lists. */
  readonly maxNodes: number
  /** The maximum number of objects and lists within each other. */
  readonly maxDepth: number
  /** The maximum number of names in an object. */
  readonly maxNames: number
}

/**
 * Returns whether a JSON text is within the limits. Call this before JSON.parse(), which can need a hundred times the size of
 * the text in memory: two bytes are enough for an empty object. The text need not be valid JSON.
 */
export function isWithinLimits(
  json: Uint8Array,
  { maxNodes, maxDepth, maxNames }: JsonLimits,
): boolean {
  let [nodes, depth] = [0, 0]
  // The number of names in the open object of each depth.
  const names = new Uint32Array(maxDepth + 1)
  for (let i = 0; i < json.length; i++) {
    const byte = json[i]
    if (byte === QUOTE) i = findStringEnd(json, i)
    else if (byte === COLON) {
      if (++names[depth]! > maxNames) return false
    } else if (byte === OPEN_OBJECT || byte === OPEN_LIST) {
      nodes++
      depth++
      if (nodes > maxNodes || depth > maxDepth) return false
      names[depth] = 0
    } else if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) depth = Math.max(depth - 1, 0)
  }
  return true
}

/** Returns the position of the quote that ends a string, or the end of the text. */
function findStringEnd(json: Uint8Array, start: number): number {
  let i = start + 1
  while (i < json.length && json[i] !== QUOTE) i += json[i] === BACKSLASH ? 2 : 1
  return i
}

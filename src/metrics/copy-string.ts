/**
 * Returns a copy of a text that was cut out of a stanza. Without the copy, V8 keeps the whole stanza in memory
 * for it.
 */
export function copyString(text: string): string {
  return Buffer.from(text).toString()
}

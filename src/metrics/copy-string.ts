/** Returns a copy of the text. V8 keeps a whole stanza in memory for a string that is cut out of it. */
export function copyString(text: string): string {
  return Buffer.from(text).toString()
}

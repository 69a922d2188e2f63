/**
 * Escapes control characters. In the text of a server, they could move the cursor of the terminal, or change the
 * direction of the text.
 */
export function escapeControls(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`,
  )
}

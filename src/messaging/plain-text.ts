// Characters that change how a client shows the text around them, or that XML forbids (XML 1.0 §2.2). \p{Cf} contains the
// changes of the text direction, with which a label could rearrange the words of a message, and invisible characters.
// U+200C and U+200D are necessary in emoji and in words of some languages.
const FORBIDDEN = /(?![\n\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Noncharacter_Code_Point}]/gu

/**
 * Converts a text from outside to one line that a chat client shows unchanged: without line breaks and control
 * characters, and cut to `max` characters. A long text takes no more time than a short one.
 */
export function toOneLine(text: string, max: number): string {
  const start = text.slice(0, 4 * max)
  const line = removeControls(start.replace(/[\s\x85]/g, ' '))
    .replace(/ {2,}/g, ' ')
    .trim()
  return clip(start.length < text.length ? `${line}…` : line, max)
}

/** Removes control characters, except for line breaks. */
export function removeControls(text: string): string {
  return text.replace(FORBIDDEN, '')
}

/** Cuts a text to `max` characters. A text that is cut ends with `…`. */
export function clip(text: string, max: number): string {
  if (text.length <= max) return text
  // A cut between the two halves of a character would leave a lone surrogate, which XML forbids.
  return `${text.slice(0, max - 1).replace(/[\ud800-\udbff]$/, '')}…`
}

/**
 * Returns a web address as a chat client recognizes it. Returns an empty text for any other text, and for an address that
 * is longer than `max`, because a cut link does not work.
 */
export function toLink(text: string, max: number): string {
  if (text.length > max || !URL.canParse(text)) return ''
  const url = new URL(text)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return ''
  // The recipients of an alert need not know a password in the address.
  url.username = ''
  url.password = ''
  return url.href.length > max ? '' : url.href
}

import { escape, unescape } from './unescape.js'
import { parseNumber } from './parse-number.js'

export type ParsedSample = {
  readonly name: string
  /** The labels in a canonical form: sorted, with uniform escaping, and without labels that have an empty value. */
  readonly labels: string
  /**
   * The labels after their values are unescaped a second time, because util.openmetrics of Prosody escapes label values
   * twice. Missing if no label value has an escape.
   */
  readonly labelsEscapedTwice?: string
  readonly value: number
}

type Cursor = { readonly line: string; at: number }
type Label = { readonly name: string; readonly value: string }
type LabelSet = { readonly labels: readonly Label[]; readonly quotedName?: string }

const ONLY_LABEL_NAME = /^[a-zA-Z_]\w*$/
const [TAB, SPACE, QUOTE, COLON, BACKSLASH, UNDERSCORE] = [0x09, 0x20, 0x22, 0x3a, 0x5c, 0x5f]

/**
 * Parses a sample of either text format in one pass: text 0.0.4 with spaces and tabs between tokens,
 * OpenMetrics 1.0.0 with an exemplar, and quoted names like in Prometheus 3.
 *
 * @returns `undefined` for a line that is not a sample.
 */
export function parseSample(line: string): ParsedSample | undefined {
  const cursor = { line, at: 0 }
  skipBlanks(cursor)
  const bareName = takeName(cursor, ':')
  const nameEnd = cursor.at
  skipBlanks(cursor)
  let set: LabelSet | undefined = { labels: [] }
  if (takeOne(cursor, '{')) set = readLabelSet(cursor, bareName === undefined)
  // Without labels, a blank must separate name and value: `a1` and `a.5` are no samples.
  else if (cursor.at === nameEnd) return undefined
  const name = bareName ?? set?.quotedName
  if (set === undefined || name === undefined) return undefined
  const value = readNumberAndTimestamp(cursor)
  if (value === undefined || !isExemplarOrEnd(cursor)) return undefined
  return { name, value, ...formatLabels(set.labels) }
}

/** Reads labels up to the closing brace. The cursor must be behind the opening brace. */
function readLabelSet(cursor: Cursor, mayHoldName: boolean): LabelSet | undefined {
  const labels: Label[] = []
  const names = new Set<string>()
  let quotedName: string | undefined
  for (;;) {
    skipBlanks(cursor)
    if (takeOne(cursor, '}')) return quotedName === undefined ? { labels } : { labels, quotedName }
    const bare = takeName(cursor)
    const quoted = bare === undefined ? takeQuoted(cursor) : undefined
    const name = bare ?? (quoted === undefined ? undefined : unescape(quoted))
    if (name === undefined || name === '') return undefined
    skipBlanks(cursor)
    if (takeOne(cursor, '=')) {
      skipBlanks(cursor)
      const value = takeQuoted(cursor)
      if (value === undefined || name === '__name__' || names.has(name)) return undefined
      names.add(name)
      labels.push({ name, value })
    } else {
      // A quoted name without a value is the name of the metric.
      if (quoted === undefined || !mayHoldName || quotedName !== undefined) return undefined
      quotedName = name
    }
    skipBlanks(cursor)
    if (!takeOne(cursor, ',') && cursor.line[cursor.at] !== '}') return undefined
  }
}

/** Reads the value, and skips a timestamp of either format. */
function readNumberAndTimestamp(cursor: Cursor): number | undefined {
  skipBlanks(cursor)
  const value = parseNumber(takeToken(cursor))
  skipBlanks(cursor)
  if (value === undefined || cursor.at === cursor.line.length) return value
  if (cursor.line[cursor.at] === '#') return value
  const isTimestamp = Number.isFinite(parseNumber(takeToken(cursor)))
  skipBlanks(cursor)
  return isTimestamp ? value : undefined
}

/** @see OpenMetrics 1.0.0, Exemplars: ` # {labels} value timestamp` */
function isExemplarOrEnd(cursor: Cursor): boolean {
  if (takeOne(cursor, '#')) {
    skipBlanks(cursor)
    if (!takeOne(cursor, '{') || readLabelSet(cursor, false) === undefined) return false
    if (readNumberAndTimestamp(cursor) === undefined) return false
  }
  return cursor.at === cursor.line.length
}

function formatLabels(
  labels: readonly Label[],
): Pick<ParsedSample, 'labels' | 'labelsEscapedTwice'> {
  let hasEscapes = false
  const once: string[] = []
  for (const { name, value } of labels) {
    if (value.includes('\\')) hasEscapes = true
    addLabel(once, name, unescape(value))
  }
  if (!hasEscapes) return { labels: sortAndJoin(once) }
  const twice: string[] = []
  for (const { name, value } of labels) addLabel(twice, name, unescape(unescape(value)))
  return { labels: sortAndJoin(once), labelsEscapedTwice: sortAndJoin(twice) }
}

function addLabel(texts: string[], name: string, value: string): void {
  // For Prometheus, a label with an empty value is the same as no label.
  if (value === '') return
  const shownName = ONLY_LABEL_NAME.test(name) ? name : `"${escape(name)}"`
  texts.push(`${shownName}="${normalizeBound(name, value) ?? escape(value)}"`)
}

function sortAndJoin(texts: string[]): string {
  return texts.length > 1 ? texts.sort().join(',') : (texts[0] ?? '')
}

// The bucket bounds `1` and `1.0` are equal, and Prometheus 3 stores them in the same form.
function normalizeBound(name: string, value: string): string | undefined {
  if (name !== 'le' && name !== 'quantile') return undefined
  const bound = parseNumber(value)
  if (bound === Infinity) return '+Inf'
  return bound === undefined || Number.isNaN(bound) ? undefined : String(bound)
}

function skipBlanks(cursor: Cursor): void {
  while (isBlank(cursor.line.charCodeAt(cursor.at))) cursor.at++
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB
}

/** @param extraCharacter A character that the name may contain, besides letters, `_` and digits. */
function takeName(cursor: Cursor, extraCharacter?: ':'): string | undefined {
  const { line, at } = cursor
  let end = at
  for (; end < line.length; end++) {
    const code = line.charCodeAt(end)
    const isDigit = code >= 0x30 && code <= 0x39
    const isLetter = (code | 0x20) >= 0x61 && (code | 0x20) <= 0x7a
    const isPart =
      isLetter || code === UNDERSCORE || (code === COLON && extraCharacter !== undefined)
    if (!isPart && (!isDigit || end === at)) break
  }
  if (end === at) return undefined
  cursor.at = end
  return line.slice(at, end)
}

/** Takes the text up to the next blank. At the end of the line, the result is an empty text. */
function takeToken(cursor: Cursor): string {
  const { line, at } = cursor
  let end = at
  while (end < line.length && !isBlank(line.charCodeAt(end))) end++
  cursor.at = end
  return line.slice(at, end)
}

function takeOne(cursor: Cursor, character: string): boolean {
  if (cursor.line[cursor.at] !== character) return false
  cursor.at++
  return true
}

/** Takes a quoted text and returns it without the quotes, still escaped. */
function takeQuoted(cursor: Cursor): string | undefined {
  const { line, at } = cursor
  if (line[at] !== '"') return undefined
  // This loop replaces a regular expression, which exhausts the stack on a long text with escapes.
  let end = at + 1
  while (end < line.length && line.charCodeAt(end) !== QUOTE) {
    end += line.charCodeAt(end) === BACKSLASH ? 2 : 1
  }
  if (end >= line.length) return undefined
  cursor.at = end + 1
  return line.slice(at + 1, end)
}

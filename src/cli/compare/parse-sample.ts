import { escape, unescape } from './unescape.js'
import { parseNumber } from './parse-number.js'

export type ParsedSample = {
  readonly name: string
  /** Between the braces: sorted, escaped alike whatever the exposition escapes, no empty values. */
  readonly labels: string
  /** The labels if they were escaped twice, as util.openmetrics does; only where there are escapes. */
  readonly labelsEscapedTwice?: string
  readonly value: number
}

type Cursor = { readonly line: string; at: number }
type Label = { readonly name: string; readonly value: string }
type LabelSet = { readonly labels: readonly Label[]; readonly quotedName?: string }

const ONLY_LABEL_NAME = /^[a-zA-Z_]\w*$/
const [TAB, SPACE, QUOTE, COLON, BACKSLASH, UNDERSCORE] = [0x09, 0x20, 0x22, 0x3a, 0x5c, 0x5f]

/**
 * Reads a sample of either text format, in one pass: text 0.0.4 with blanks and tabs between tokens,
 * OpenMetrics 1.0.0 with an exemplar, and names in quotes as Prometheus 3 has them.
 *
 * @returns `undefined` for a line that is no sample.
 */
export function parseSample(line: string): ParsedSample | undefined {
  const cursor = { line, at: 0 }
  skipBlanks(cursor)
  const bareName = takeName(cursor, ':')
  const nameEnd = cursor.at
  skipBlanks(cursor)
  let set: LabelSet | undefined = { labels: [] }
  if (takeOne(cursor, '{')) set = readLabelSet(cursor, bareName === undefined)
  // `a1` and `a.5` have no value.
  else if (cursor.at === nameEnd) return undefined
  const name = bareName ?? set?.quotedName
  if (set === undefined || name === undefined) return undefined
  const value = readNumberAndTimestamp(cursor)
  if (value === undefined || !isExemplarOrEnd(cursor)) return undefined
  return { name, value, ...formatLabels(set.labels) }
}

/** Reads up to the closing brace; the opening one has been read. */
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
      // A name in quotes without a value is the metric's.
      if (quoted === undefined || !mayHoldName || quotedName !== undefined) return undefined
      quotedName = name
    }
    skipBlanks(cursor)
    if (!takeOne(cursor, ',') && cursor.line[cursor.at] !== '}') return undefined
  }
}

/** Reads the value, and a timestamp in either format, which is not compared. */
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
  // A label without a value is no label to Prometheus.
  if (value === '') return
  const shownName = ONLY_LABEL_NAME.test(name) ? name : `"${escape(name)}"`
  texts.push(`${shownName}="${normalizeBound(name, value) ?? escape(value)}"`)
}

function sortAndJoin(texts: string[]): string {
  return texts.length > 1 ? texts.sort().join(',') : (texts[0] ?? '')
}

// Bounds are one number, `1` there and `1.0` here: Prometheus 3 stores them alike.
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

/** @param alsoPart A character that may be anywhere in the name, besides letters, `_` and digits. */
function takeName(cursor: Cursor, alsoPart?: ':'): string | undefined {
  const { line, at } = cursor
  let end = at
  for (; end < line.length; end++) {
    const code = line.charCodeAt(end)
    const isDigit = code >= 0x30 && code <= 0x39
    const isLetter = (code | 0x20) >= 0x61 && (code | 0x20) <= 0x7a
    const isPart = isLetter || code === UNDERSCORE || (code === COLON && alsoPart !== undefined)
    if (!isPart && (!isDigit || end === at)) break
  }
  if (end === at) return undefined
  cursor.at = end
  return line.slice(at, end)
}

/** Takes all up to a blank; nothing at the end of the line. */
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

/** Takes a text in quotes and returns it without them, as it is escaped. */
function takeQuoted(cursor: Cursor): string | undefined {
  const { line, at } = cursor
  if (line[at] !== '"') return undefined
  // No pattern: one with an alternative for escapes exhausts the stack on a long text.
  let end = at + 1
  while (end < line.length && line.charCodeAt(end) !== QUOTE) {
    end += line.charCodeAt(end) === BACKSLASH ? 2 : 1
  }
  if (end >= line.length) return undefined
  cursor.at = end + 1
  return line.slice(at + 1, end)
}

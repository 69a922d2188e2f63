import { isUtf8 } from 'node:buffer'
import { ConfigError } from '../../errors.js'
import { readLines } from './split-lines.js'
import { parseSample, type ParsedSample } from './parse-sample.js'

/** Receives the TYPE lines and samples of an exposition, in the order of the lines. */
export type ExpositionSink = {
  /** Called with each name that has a TYPE line. */
  type(name: string): void
  sample(sample: ParsedSample): void
}

export type ReadResult = {
  readonly samples: number
  /**
   * The number of lines that are not blank, a sample, valid metadata or a comment. Lines after `# EOF` in
   * OpenMetrics and lines that are not UTF-8 also count.
   */
  readonly unreadable: number
  /** The first unreadable lines. */
  readonly examples: readonly { readonly number: number; readonly line: string }[]
}

const MAX_EXAMPLES = 5
const MAX_EXAMPLE_LENGTH = 200

// Matches the name of a metric family, with or without quotes.
const NAME = String.raw`(?:([a-zA-Z_:][\w:]*)|"((?:[^"\\]|\\.){1,1000})")`
const TYPES = 'counter|gauge|histogram|summary|untyped|unknown|info|stateset|gaugehistogram'
const METADATA = /^[ \t]*#[ \t]+(HELP|TYPE)[ \t]/
const HELP = new RegExp(String.raw`^[ \t]*#[ \t]+HELP[ \t]+${NAME}(?![^ \t])`)
const TYPE = new RegExp(String.raw`^[ \t]*#[ \t]+TYPE[ \t]+${NAME}[ \t]+(?:${TYPES})[ \t]*$`)
const EMPTY_OR_COMMENT = /^[ \t]*(?:#|$)/

/**
 * Reads an exposition in either text format line by line, while it arrives. Like Prometheus, it accepts
 * mistakes that Prosody's modules make: families in any order, metadata in any place, and numbers as C prints
 * them.
 *
 * The strings that `sink` receives have one character for each byte of the UTF-8 text.
 *
 * @throws {ConfigError} for an exposition that is truncated or too long.
 */
export async function readExposition(
  chunks: AsyncIterable<Uint8Array>,
  isOpenMetrics: boolean,
  sink: ExpositionSink,
): Promise<ReadResult> {
  const examples: ReadResult['examples'][number][] = []
  const counts = { lines: 0, samples: 0, unreadable: 0, ends: 0 }
  const readNext = (line: string): void => {
    counts.lines++
    const kind = isOpenMetrics && counts.ends > 0 ? 'unreadable' : readLine(line, sink)
    if (kind === 'end') counts.ends++
    if (kind === 'sample') counts.samples++
    if (kind !== 'unreadable') return
    counts.unreadable++
    if (examples.length < MAX_EXAMPLES) {
      examples.push({ number: counts.lines, line: line.slice(0, MAX_EXAMPLE_LENGTH) })
    }
  }
  const rest = await readLines(chunks, readNext)
  // Each line must end with a line feed, except for `# EOF` at the end of OpenMetrics.
  if (isOpenMetrics && rest === '# EOF') readNext(rest)
  else if (rest !== '')
    throw new ConfigError(`the metrics are truncated in line ${counts.lines + 1}`)
  if (isOpenMetrics && counts.ends === 0) {
    throw new ConfigError(
      'the metrics are truncated: the line "# EOF" at the end of OpenMetrics is missing',
    )
  }
  return { samples: counts.samples, unreadable: counts.unreadable, examples }
}

function readLine(line: string, sink: ExpositionSink): 'sample' | 'other' | 'end' | 'unreadable' {
  if (line === '') return 'other'
  if (/[^\0-\x7F]/.test(line) && !isUtf8(Buffer.from(line, 'latin1'))) return 'unreadable'
  if (!EMPTY_OR_COMMENT.test(line)) {
    const sample = parseSample(line)
    if (sample === undefined) return 'unreadable'
    sink.sample(sample)
    return 'sample'
  }
  if (line === '# EOF') return 'end'
  const [, kind] = METADATA.exec(line) ?? []
  if (kind === undefined) return 'other'
  const [, bare, quoted] = (kind === 'TYPE' ? TYPE : HELP).exec(line) ?? []
  const name = bare ?? quoted
  if (name === undefined) return 'unreadable'
  if (kind === 'TYPE') sink.type(name)
  return 'other'
}

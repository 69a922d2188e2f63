import { ConfigError } from '../../errors.js'
import { createComparison } from './compare.js'
import { readExposition, type ReadResult, type ExpositionSink } from './read-exposition.js'
import { toPrintable, renderReport } from './compare-report.js'
import { isHttpUrl, fetchExposition, formatUrlForMessage } from './fetch-exposition.js'

const OURS = 'http://127.0.0.1:9347/metrics'
const USAGE = 'Usage: prosody-exporter compare OLD_METRICS_URL [NEW_METRICS_URL]'

/**
 * `prosody-exporter compare OLD_METRICS_URL [NEW_METRICS_URL]`: shows family by family what of an old
 * `/metrics` the new one has.
 *
 * @returns The text to print, and the exit code: 0 when nothing is missing, 1 when something is, 2 when
 *   some lines could not be read.
 * @throws {ConfigError} For a wrong URL, or one that does not answer with metrics; exit code 2.
 */
export async function compareCommand(
  args: readonly string[],
): Promise<{ text: string; exitCode: 0 | 1 | 2 }> {
  if (args.some((arg) => arg === '--help' || arg === '-h')) {
    return { text: `${USAGE}\nNEW_METRICS_URL is ${OURS} unless given.\n`, exitCode: 0 }
  }
  const [oldUrl, newUrl = OURS, ...more] = args
  if (oldUrl === undefined || more.length > 0) throw new ConfigError(USAGE)
  const urls = { old: parseUrl(oldUrl), new: parseUrl(newUrl) }
  const comparison = createComparison()
  // One after the other: both make Prosody collect, and the later one has all that the first had.
  const old = await readMetrics(urls.old, comparison.old)
  const now = await readMetrics(urls.new, comparison.new)
  const result = comparison.result()
  const text = renderReport({ comparison: result, old, new: now })
  if (old.unreadable + now.unreadable > 0) return { text, exitCode: 2 }
  return { text, exitCode: result.isComplete ? 0 : 1 }
}

async function readMetrics(url: URL, sink: ExpositionSink): Promise<ReadResult> {
  try {
    const { body, isOpenMetrics } = await fetchExposition(url)
    const read = await readExposition(body, isOpenMetrics, sink)
    // Of a page for people, or of nothing, nothing is missing.
    if (read.samples === 0)
      throw new ConfigError(`expected metrics, got no sample${quoteFirstExample(read)}`)
    return read
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    throw new ConfigError(`${formatUrlForMessage(url)}: ${error.message}`, { cause: error })
  }
}

function quoteFirstExample({ examples }: ReadResult): string {
  const [example] = examples
  return example ? `; line ${example.number} is ${toPrintable(example.line)}` : ''
}

function parseUrl(text: string): URL {
  // The argument is not shown: it may have a password.
  if (URL.canParse(text) && isHttpUrl(new URL(text))) return new URL(text)
  throw new ConfigError(USAGE)
}

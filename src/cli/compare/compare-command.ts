import { ConfigError } from '../../errors.js'
import { DEFAULT_NEW_URL, findCommand, formatUsage } from '../commands.js'
import { createComparison } from './compare.js'
import { readExposition, type ReadResult, type ExpositionSink } from './read-exposition.js'
import { toPrintable, renderReport } from './compare-report.js'
import { isHttpUrl, fetchExposition, formatUrlForMessage } from './fetch-exposition.js'

const USAGE = `Usage: ${formatUsage(findCommand('compare')).join(' ')}`

/**
 * `prosody-exporter compare OLD_METRICS_URL [NEW_METRICS_URL]`: shows for each metric family which series of the
 * old URL are missing at the new URL.
 *
 * @returns The text to print, and the exit code: 0 when no series is missing, 1 when series are missing, 2 when
 *   some lines of the metrics could not be read.
 * @throws {ConfigError} for an invalid URL, and for a URL that does not return metrics. The command then exits with 2.
 */
export async function compareCommand(
  args: readonly string[],
): Promise<{ text: string; exitCode: 0 | 1 | 2 }> {
  const [oldUrl, newUrl = DEFAULT_NEW_URL, ...more] = args
  if (oldUrl === undefined || more.length > 0) throw new ConfigError(USAGE)
  const urls = { old: parseUrl(oldUrl), new: parseUrl(newUrl) }
  const comparison = createComparison()
  // The old URL is read first. A series that appears between the two requests is then only in the new exposition, and
  // does not count as missing.
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
    // Without this check, a web page or an empty response at the old URL would have no missing series.
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
  // The message does not show the invalid URL, which can contain a password.
  if (URL.canParse(text) && isHttpUrl(new URL(text))) return new URL(text)
  throw new ConfigError(USAGE)
}

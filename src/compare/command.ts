import { ConfigError } from '../errors.js'
import { compare, comparisonText } from './compare.js'

const OURS = 'http://127.0.0.1:9347/metrics'
const TIMEOUT_MS = 30_000
const USAGE = `prosody-exporter compare OLD_URL [NEW_URL], NEW_URL being ${OURS} unless given`

/**
 * `prosody-exporter compare OLD_URL [NEW_URL]`: shows family by family what of an old `/metrics` the
 * new one has.
 *
 * @returns The text to print, and the exit code: 0 when nothing is missing, else 1.
 * @throws ConfigError for a wrong URL, or one that does not answer with metrics.
 */
export async function compareCommand(
  args: readonly string[],
): Promise<{ text: string; exitCode: 0 | 1 }> {
  const [oldUrl, newUrl = OURS, ...more] = args
  if (oldUrl === undefined || more.length > 0) throw new ConfigError(`expected ${USAGE}`)
  // One after the other: both make Prosody collect, and the later one has all that the first had.
  const oldText = await get(oldUrl)
  const newText = await get(newUrl)
  const comparison = compare(oldText, newText)
  return { text: comparisonText(comparison), exitCode: comparison.isComplete ? 0 : 1 }
}

async function get(url: string): Promise<string> {
  const shown = withoutUser(url)
  let response: Response
  try {
    const headers = { Accept: 'text/plain;version=0.0.4' }
    response = await fetch(url, { headers, signal: AbortSignal.timeout(TIMEOUT_MS) })
  } catch (error) {
    const { cause, message } = error as Error
    throw new ConfigError(`${shown}: ${cause instanceof Error ? cause.message : message}`, {
      cause,
    })
  }
  if (!response.ok)
    throw new ConfigError(`${shown}: expected metrics, got status ${response.status}`)
  return await response.text()
}

/** The URL as a message may show it. */
function withoutUser(url: string): string {
  if (!URL.canParse(url) || !/^https?:/.test(url)) {
    throw new ConfigError('compare: expected a URL, http://…, got something else')
  }
  const parsed = new URL(url)
  parsed.username = parsed.password = ''
  return parsed.href
}

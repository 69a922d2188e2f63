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
  // Of a page for people, or of nothing, nothing is missing.
  if (comparison.families.length === 0) {
    throw new ConfigError(`${withoutUser(read(oldUrl))}: expected metrics, got no sample`)
  }
  return { text: comparisonText(comparison), exitCode: comparison.isComplete ? 0 : 1 }
}

async function get(url: string): Promise<string> {
  const asked = read(url)
  const shown = withoutUser(asked)
  let status: number
  let text: string
  try {
    const headers = { Accept: 'text/plain;version=0.0.4', ...authorizationOf(asked) }
    const response = await fetch(shown, { headers, signal: AbortSignal.timeout(TIMEOUT_MS) })
    status = response.ok ? 0 : response.status
    // May be cut, as mod_http_openmetrics's is at 4 MiB, or never end.
    text = await response.text()
  } catch (error) {
    const { cause, message } = error as Error
    throw new ConfigError(`${shown}: ${cause instanceof Error ? cause.message : message}`, {
      cause,
    })
  }
  if (status !== 0) throw new ConfigError(`${shown}: expected metrics, got status ${status}`)
  return text
}

// `fetch` takes no URL with a user in it, and its message shows the password.
function authorizationOf({ username, password }: URL): Readonly<Record<string, string>> {
  if (username === '' && password === '') return {}
  const user = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  return { Authorization: `Basic ${Buffer.from(user).toString('base64')}` }
}

function read(url: string): URL {
  if (URL.canParse(url) && /^https?:/.test(url)) return new URL(url)
  throw new ConfigError('compare: expected a URL, http://…, got something else')
}

/** The URL as a message may show it. */
function withoutUser(url: URL): string {
  const bare = new URL(url)
  bare.username = bare.password = ''
  return bare.href
}

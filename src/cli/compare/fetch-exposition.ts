import { get as getHttp, type IncomingMessage } from 'node:http'
import { get as getHttps } from 'node:https'
import { pipeline, type Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { ConfigError } from '../../errors.js'

const RESPONSE_S = 30
// A large exposition takes a slow machine a while.
const BODY_S = 180
const MAX_REDIRECTS = 10
const CHUNK_BYTES = 65_536
const REDIRECTS: readonly (number | undefined)[] = [301, 302, 303, 307, 308]

export type FetchedExposition = {
  readonly isOpenMetrics: boolean
  /** Decompressed, as it comes. */
  readonly body: AsyncIterable<Uint8Array>
}

/**
 * Requests an exposition. Not with `fetch`, which takes a gzip stream that is cut off for a whole one.
 *
 * @throws {ConfigError} When there is no answer, or one that is no exposition; from `body` too.
 */
export async function fetchExposition(url: URL): Promise<FetchedExposition> {
  const signal = AbortSignal.timeout(BODY_S * 1000)
  let response: IncomingMessage | undefined
  try {
    response = await followRedirects(url, signal)
    const type = checkHeaders(response)
    return {
      isOpenMetrics: type === 'application/openmetrics-text',
      body: readBody(decompress(response), signal),
    }
  } catch (error) {
    response?.destroy()
    throw toOneLineError(error, signal)
  }
}

async function followRedirects(url: URL, signal: AbortSignal): Promise<IncomingMessage> {
  const authorization = buildAuthorization(url)
  let at = removeUser(url)
  for (let count = 0; ; count++) {
    // A password is for the server that it was given for.
    const headers = at.origin === url.origin ? authorization : {}
    const response = await getOnce(at, headers, signal)
    const { location } = response.headers
    if (!REDIRECTS.includes(response.statusCode) || location === undefined) return response
    response.destroy()
    if (!URL.canParse(location, at.href) || !isHttpUrl(new URL(location, at))) {
      throw new ConfigError('the server redirects to something that is no http:// or https:// URL')
    }
    at = removeUser(new URL(location, at))
    if (count === MAX_REDIRECTS) throw new ConfigError(`more than ${MAX_REDIRECTS} redirects`)
  }
}

function getOnce(
  url: URL,
  authorization: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const headers = {
    Accept: 'text/plain;version=0.0.4',
    'Accept-Encoding': 'gzip',
    ...authorization,
  }
  const get = url.protocol === 'https:' ? getHttps : getHttp
  return new Promise((resolve, reject) => {
    const sent = get(url, { headers, signal, agent: false }, (response) => {
      clearTimeout(timer)
      resolve(response)
    })
    const timer = setTimeout(() => {
      sent.destroy(new ConfigError(`no response within ${RESPONSE_S} s`))
    }, RESPONSE_S * 1000)
    sent.on('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
  })
}

/** @returns The media type, or an empty text. */
function checkHeaders({ statusCode, headers }: IncomingMessage): string {
  if (statusCode !== 200) throw new ConfigError(`expected metrics, got status ${statusCode!}`)
  const [type = ''] = /^[\w.+/-]+/.exec(headers['content-type']?.toLowerCase() ?? '') ?? []
  if (/html|json|xml|protobuf/.test(type)) {
    throw new ConfigError(
      `expected metrics as text, got Content-Type ${type}; give the URL of the metrics, e.g. http://127.0.0.1:5280/metrics`,
    )
  }
  return type
}

function decompress(response: IncomingMessage): Readable {
  const encoding = response.headers['content-encoding']?.toLowerCase() ?? 'identity'
  if (encoding === 'identity') return response
  if (encoding !== 'gzip') {
    throw new ConfigError(
      'the server uses a Content-Encoding that was not requested; expected gzip',
    )
  }
  // Errors reach the reader of the body, and when it stops, the response is closed.
  return pipeline(response, createGunzip({ chunkSize: CHUNK_BYTES }), () => undefined)
}

async function* readBody(stream: Readable, signal: AbortSignal): AsyncIterable<Uint8Array> {
  try {
    for await (const chunk of stream) yield chunk as Uint8Array
  } catch (error) {
    throw toOneLineError(error, signal)
  }
}

/** What an operator can read: one line. */
function toOneLineError(error: unknown, signal: AbortSignal): Error {
  if (error instanceof ConfigError) return error
  if (signal.aborted) return new ConfigError(`no complete response within ${BODY_S} s`)
  const { message, code, errors, reason } = error as NodeJS.ErrnoException & {
    /** Of each address, when there are several. */
    errors?: readonly Error[]
    /** OpenSSL's, whose message has several lines. */
    reason?: string
  }
  if (code === 'ECONNRESET') return new ConfigError('the connection was closed before the end')
  if (code === 'Z_BUF_ERROR') return new ConfigError('the gzip stream is cut off')
  const words = reason ?? errors?.map((each) => each.message).join(', ') ?? message
  // Those of a certificate are another's words.
  return new ConfigError(words.replace(/[^\x20-\x7e]+/g, ' ').trim(), { cause: error })
}

function buildAuthorization({ username, password }: URL): Readonly<Record<string, string>> {
  if (username === '' && password === '') return {}
  let user: string
  try {
    user = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  } catch {
    throw new ConfigError('the user or the password in the URL has a % that is not %25')
  }
  return { Authorization: `Basic ${Buffer.from(user).toString('base64')}` }
}

export function isHttpUrl({ protocol }: URL): boolean {
  return protocol === 'http:' || protocol === 'https:'
}

function removeUser(url: URL): URL {
  const bare = new URL(url)
  bare.username = bare.password = ''
  return bare
}

/** The URL as a message may show it: without a password, and without parameters, which may be tokens. */
export function formatUrlForMessage({ origin, pathname, search }: URL): string {
  return `${origin}${pathname}${search === '' ? '' : '?...'}`
}

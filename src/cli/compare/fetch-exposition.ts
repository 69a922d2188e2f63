import { get as getHttp, type IncomingMessage } from 'node:http'
import { get as getHttps } from 'node:https'
import { pipeline, type Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { ConfigError } from '../../errors.js'

const MAX_RESPONSE_S = 30
// The limit for the time until the end of a response. A slow machine needs some time for a large exposition.
const MAX_BODY_S = 180
const MAX_REDIRECTS = 10
const CHUNK_BYTES = 65_536
const REDIRECT_STATUSES: readonly (number | undefined)[] = [301, 302, 303, 307, 308]

export type FetchedExposition = {
  readonly isOpenMetrics: boolean
  /** The decompressed chunks of the response, in the order of arrival. */
  readonly body: AsyncIterable<Uint8Array>
}

/**
 * Requests an exposition. This function does not use `fetch`, which accepts a truncated gzip stream as complete.
 *
 * @throws {ConfigError} when there is no response, or the response is not an exposition. Reading `body` can throw a
 *   ConfigError too.
 */
export async function fetchExposition(url: URL): Promise<FetchedExposition> {
  const signal = AbortSignal.timeout(MAX_BODY_S * 1000)
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
    // After a redirect to another server, the password is not sent, because it is for the server in the given URL.
    const headers = at.origin === url.origin ? authorization : {}
    const response = await getOnce(at, headers, signal)
    const { location } = response.headers
    if (!REDIRECT_STATUSES.includes(response.statusCode) || location === undefined) return response
    response.destroy()
    if (!URL.canParse(location, at.href) || !isHttpUrl(new URL(location, at))) {
      throw new ConfigError(
        'the server redirects to a location that is not an http:// or https:// URL',
      )
    }
    at = removeUser(new URL(location, at))
    if (count === MAX_REDIRECTS)
      throw new ConfigError(`the server sent more than ${MAX_REDIRECTS} redirects`)
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
      sent.destroy(new ConfigError(`no response within ${MAX_RESPONSE_S} s`))
    }, MAX_RESPONSE_S * 1000)
    sent.on('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
  })
}

/** @returns The media type, or an empty text if the header is missing. */
function checkHeaders({ statusCode, headers }: IncomingMessage): string {
  if (statusCode !== 200)
    throw new ConfigError(
      `expected metrics, got HTTP status ${statusCode!}; check the URL, its user and password`,
    )
  const [type = ''] = /^[\w.+/-]+/.exec(headers['content-type']?.toLowerCase() ?? '') ?? []
  if (/html|json|xml|protobuf/.test(type)) {
    throw new ConfigError(
      `expected metrics as text, got Content-Type ${type}; use the URL of the metrics, for example http://127.0.0.1:5280/metrics`,
    )
  }
  return type
}

function decompress(response: IncomingMessage): Readable {
  const encoding = response.headers['content-encoding']?.toLowerCase() ?? 'identity'
  if (encoding === 'identity') return response
  if (encoding !== 'gzip') {
    throw new ConfigError(
      'the server uses a Content-Encoding that compare did not request; expected gzip',
    )
  }
  // pipeline() passes errors to the reader of the body, and closes the response when the reader stops.
  return pipeline(response, createGunzip({ chunkSize: CHUNK_BYTES }), () => undefined)
}

async function* readBody(stream: Readable, signal: AbortSignal): AsyncIterable<Uint8Array> {
  try {
    for await (const chunk of stream) yield chunk as Uint8Array
  } catch (error) {
    throw toOneLineError(error, signal)
  }
}

/** Turns an error into one line for the operator. */
function toOneLineError(error: unknown, signal: AbortSignal): Error {
  if (error instanceof ConfigError) return error
  if (signal.aborted) return new ConfigError(`no complete response within ${MAX_BODY_S} s`)
  const { message, code, errors, reason } = error as NodeJS.ErrnoException & {
    /** The errors of the connection attempts, when the host has several addresses. */
    errors?: readonly Error[]
    /** The short reason of a TLS error from OpenSSL, whose `message` has several lines. */
    reason?: string
  }
  if (code === 'ECONNRESET')
    return new ConfigError('the server closed the connection before the end of the response')
  if (code === 'Z_BUF_ERROR') return new ConfigError('the gzip stream of the response is truncated')
  const text = reason ?? errors?.map((each) => each.message).join(', ') ?? message
  // The message of a TLS error can quote the certificate of the server, which may contain control characters.
  return new ConfigError(text.replace(/[^\x20-\x7e]+/g, ' ').trim(), { cause: error })
}

function buildAuthorization({ username, password }: URL): Readonly<Record<string, string>> {
  if (username === '' && password === '') return {}
  let user: string
  try {
    user = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  } catch {
    throw new ConfigError(
      'the user or password in the URL has an invalid % escape; write a % as %25',
    )
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

/** Returns the URL for a message: without the password, and without parameters, which can contain tokens. */
export function formatUrlForMessage({ origin, pathname, search }: URL): string {
  return `${origin}${pathname}${search === '' ? '' : '?...'}`
}

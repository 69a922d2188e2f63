import type { Exposition } from '../exposition/exposition.js'
import { acceptsGzip, negotiate, type Negotiated } from '../exposition/negotiate.js'

/** The status, body and headers of a response. @hono/node-server passes them to node:http without a change. */
export type ExpositionResponse = {
  readonly status: number
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly headers: Readonly<Record<string, string>>
}

/** The format and compression of a response. The headers of the request determine both. */
export type ResponseVariant = Negotiated & { readonly isCompressed: boolean }

/**
 * A cache of responses. Each exposition has one response for each variant, which is garbage with the
 * exposition.
 */
export type Responses = {
  chooseVariant(accept: string | undefined, acceptEncoding: string | undefined): ResponseVariant
  /** Returns the cached response; `undefined` if `build` has not built it. */
  find(exposition: Exposition, variant: ResponseVariant): ExpositionResponse | undefined
  /** Builds a response and adds it to the cache. */
  build(
    exposition: Exposition,
    variant: ResponseVariant,
    status: number,
  ): Promise<ExpositionResponse>
}

// Scrapers send few different Accept headers. The limit keeps the cache small if a hostile client sends many.
const MAX_CACHED_HEADERS = 32

export function createResponses(): Responses {
  const negotiateCached = cacheByHeader(negotiate)
  const acceptsGzipCached = cacheByHeader(acceptsGzip)
  // The key of each map is the content type. There are few content types, even with many different Accept
  // headers.
  const plain = new WeakMap<Exposition, Map<string, ExpositionResponse>>()
  const compressed = new WeakMap<Exposition, Map<string, ExpositionResponse>>()
  return {
    chooseVariant(accept, acceptEncoding) {
      const { format, contentType } = negotiateCached(accept)
      return { format, contentType, isCompressed: acceptsGzipCached(acceptEncoding) }
    },
    find: (exposition, { isCompressed, contentType }) =>
      (isCompressed ? compressed : plain).get(exposition)?.get(contentType),
    async build(exposition, variant, status) {
      const response = { status, ...(await buildResponse(exposition, variant)) }
      const all = variant.isCompressed ? compressed : plain
      const built = all.get(exposition) ?? new Map<string, ExpositionResponse>()
      all.set(exposition, built.set(variant.contentType, response))
      return response
    },
  }
}

async function buildResponse(
  exposition: Exposition,
  { format, contentType, isCompressed }: ResponseVariant,
): Promise<Omit<ExpositionResponse, 'status'>> {
  const bytes = isCompressed ? await exposition.gzip(format) : await exposition.bytes(format)
  const headers = createHeaders(bytes, contentType, {
    ...(isCompressed && { 'Content-Encoding': 'gzip' }),
    Vary: 'Accept, Accept-Encoding',
  })
  return { bytes, headers }
}

/**
 * Creates the headers of a response. They include Content-Length, because node:http cannot compute it for a
 * response to HEAD.
 */
export function createHeaders(
  bytes: Uint8Array,
  contentType: string,
  headers: Readonly<Record<string, string>>,
): Record<string, string> {
  return {
    'Content-Type': contentType,
    'Content-Length': String(bytes.byteLength),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    ...headers,
  }
}

/** Wraps a function of a header value in a cache of its results. */
function cacheByHeader<T>(
  read: (header: string | undefined) => T,
): (header: string | undefined) => T {
  const results = new Map<string | undefined, T>()
  return (header) => {
    const known = results.get(header)
    if (known !== undefined) return known
    const result = read(header)
    if (results.size === MAX_CACHED_HEADERS) results.clear()
    results.set(header, result)
    return result
  }
}

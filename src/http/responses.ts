import type { Exposition } from '../exposition/exposition.js'
import { acceptsGzip, negotiate, type Negotiated } from '../exposition/negotiate.js'

/** The status, the body and the headers of a response, as @hono/node-server hands them to node:http. */
export type ExpositionResponse = {
  readonly status: number
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly headers: Readonly<Record<string, string>>
}

/** All that a response depends on in the headers of its request. */
export type ResponseVariant = Negotiated & { readonly isCompressed: boolean }

/** The responses of each exposition, built once for each variant and dropped with the exposition. */
export type Responses = {
  chooseVariant(accept: string | undefined, acceptEncoding: string | undefined): ResponseVariant
  /** Returns the response if it has been built. */
  find(exposition: Exposition, variant: ResponseVariant): ExpositionResponse | undefined
  build(
    exposition: Exposition,
    variant: ResponseVariant,
    status: number,
  ): Promise<ExpositionResponse>
}

// Scrapers send few different headers. A hostile client may send any number of them.
const MAX_CACHED_HEADERS = 32

export function createResponses(): Responses {
  const negotiateCached = cacheByHeader(negotiate)
  const acceptsGzipCached = cacheByHeader(acceptsGzip)
  // By content type: there are few of them, however many Accept headers lead to them.
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

/** Returns the headers of a body. They include Content-Length: a response to HEAD has no body. */
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

/** Returns the same function of a header, with a cache of its latest results. */
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

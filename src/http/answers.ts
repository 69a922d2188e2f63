import type { Exposition } from '../exposition/exposition.js'
import { acceptsGzip, negotiate, type Negotiated } from '../exposition/negotiate.js'

/** What goes out: a status, and bytes with a plain record of headers. */
export type Answer = {
  readonly status: number
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly headers: Readonly<Record<string, string>>
}

/** All of a reader's headers that an answer depends on. */
export type Wish = Negotiated & { readonly zipped: boolean }

/** The answers of each exposition, made once for each wish and gone with it. */
export type Answers = {
  /** The answer, if it has been made. */
  find(exposition: Exposition, wish: Wish): Answer | undefined
  make(exposition: Exposition, wish: Wish, status: number): Promise<Answer>
}

// Of what readers send there are a few; a hostile one may send as many as it likes.
const MAX_REMEMBERED = 32
const negotiated = remembering(negotiate)
const gzipAccepted = remembering(acceptsGzip)

export function wishOf(accept: string | undefined, acceptEncoding: string | undefined): Wish {
  const { format, contentType } = negotiated(accept)
  return { format, contentType, zipped: gzipAccepted(acceptEncoding) }
}

export function createAnswers(): Answers {
  // Of content types there are a few, however many Accept headers lead to them.
  const plain = new WeakMap<Exposition, Map<string, Answer>>()
  const zipped = new WeakMap<Exposition, Map<string, Answer>>()
  return {
    find: (exposition, wish) =>
      (wish.zipped ? zipped : plain).get(exposition)?.get(wish.contentType),
    async make(exposition, wish, status) {
      const answer = { status, ...(await makeAnswer(exposition, wish)) }
      const ready = wish.zipped ? zipped : plain
      const made = ready.get(exposition) ?? new Map<string, Answer>()
      ready.set(exposition, made.set(wish.contentType, answer))
      return answer
    },
  }
}

async function makeAnswer(
  exposition: Exposition,
  { format, contentType, zipped }: Wish,
): Promise<Omit<Answer, 'status'>> {
  const bytes = zipped ? await exposition.gzip(format) : await exposition.bytes(format)
  const headers = headersFor(bytes, contentType, {
    ...(zipped && { 'Content-Encoding': 'gzip' }),
    Vary: 'Accept, Accept-Encoding',
  })
  return { bytes, headers }
}

/** With Content-Length, for HEAD too, which gets these headers without the body. */
export function headersFor(
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

/** The same function of a header, remembering what the last ones came to. */
function remembering<T>(
  read: (header: string | undefined) => T,
): (header: string | undefined) => T {
  const known = new Map<string | undefined, T>()
  return (header) => {
    const before = known.get(header)
    if (before !== undefined) return before
    const result = read(header)
    if (known.size === MAX_REMEMBERED) known.clear()
    known.set(header, result)
    return result
  }
}

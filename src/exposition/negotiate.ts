import type { TextFormat } from './metric-names.js'

/** A text format, or delimited protobuf. */
export type ExpositionFormat = TextFormat | 'protobuf'

export type Negotiated = {
  readonly format: ExpositionFormat
  /** The whole header: Prometheus 3 refuses a scrape whose media type it does not know. */
  readonly contentType: string
}

const PROTOBUF = 'application/vnd.google.protobuf'

type Clause = { readonly value: string; readonly q: number; readonly params: Map<string, string> }

// Our names need no escaping, so any scheme is kept by echoing it.
const ESCAPINGS: ReadonlySet<string> = new Set(['allow-utf-8', 'underscores', 'dots', 'values'])

/**
 * The format that an Accept header prefers; text 0.0.4 for what we don't have, for wildcards, garbage and no header at all. There is no 406: a reader that gets text can say so.
 *
 * @see prometheus/common expfmt `NegotiateAccept`; RFC 9110 §12.5.1
 */
export function negotiate(accept: string | undefined): Negotiated {
  let escaping = 'underscores'
  const clauses = parseList(accept ?? '')
    .filter(({ q }) => q > 0)
    .sort((a, b) => b.q - a.q)
  for (const { value, params } of clauses) {
    // As in expfmt, the scheme holds for what follows too: no reader sends two.
    const asked = params.get('escaping') ?? ''
    if (ESCAPINGS.has(asked)) escaping = asked
    const match = matchClause(value, params)
    if (match) {
      return { format: match.format, contentType: `${match.contentType}; escaping=${escaping}` }
    }
  }
  return { format: 'text', contentType: `${textType('0.0.4')}; escaping=${escaping}` }
}

/**
 * Whether the reader takes gzip and does not like it less than no compression. Without a header it
 * gets none: it may be a person with curl.
 *
 * @see RFC 9110 §12.5.3 Accept-Encoding
 */
export function acceptsGzip(acceptEncoding: string | undefined): boolean {
  const qs = new Map(parseList(acceptEncoding ?? '').map(({ value, q }) => [value, q]))
  // RFC 9110 §8.4.1.3: x-gzip is gzip.
  const gzip = qs.get('gzip') ?? qs.get('x-gzip') ?? qs.get('*') ?? 0
  return gzip > 0 && gzip >= (qs.get('identity') ?? 0)
}

/** The content type is without the escaping. */
function matchClause(
  mediaType: string,
  params: ReadonlyMap<string, string>,
): Negotiated | undefined {
  const version = params.get('version') ?? ''
  if (mediaType === 'application/openmetrics-text') {
    // Without a version expfmt takes 0.0.1. The two are the same to us.
    const given = version || '0.0.1'
    if (given === '1.0.0' || given === '0.0.1') {
      const contentType = `application/openmetrics-text; version=${given}; charset=utf-8`
      return { format: 'openmetrics', contentType }
    }
  }
  if (mediaType === 'text/plain') {
    // 1.0.0 is 0.0.4 with names in quotes, which ours never need.
    const given = version || '0.0.4'
    if (given === '1.0.0' || given === '0.0.4') {
      return { format: 'text', contentType: textType(given) }
    }
  }
  // Of its encodings we have what Prometheus asks for: not its two text forms.
  const isMetricFamily = params.get('proto') === 'io.prometheus.client.metricfamily'
  if (mediaType === PROTOBUF && isMetricFamily && params.get('encoding') === 'delimited') {
    const contentType = `${PROTOBUF}; proto=io.prometheus.client.MetricFamily; encoding=delimited`
    return { format: 'protobuf', contentType }
  }
  return undefined
}

function textType(version: string): string {
  return `text/plain; version=${version}; charset=utf-8`
}

/** The clauses of a header like Accept, as given. Of a parameter given twice the last counts. */
function parseList(header: string): Clause[] {
  return split(header, ',').map((clause) => {
    const [value = '', ...rest] = split(clause, ';')
    const params = new Map(rest.map(parseParameter))
    return { value: value.trim().toLowerCase(), q: quality(params.get('q')), params }
  })
}

function parseParameter(text: string): [name: string, value: string] {
  const [name = '', ...rest] = text.split('=')
  const value = rest.join('=').trim()
  const unquoted = /^"(.*)"$/s.exec(value)?.[1]?.replace(/\\(.)/gs, '$1')
  return [name.trim().toLowerCase(), (unquoted ?? value).toLowerCase()]
}

/** What is no number counts as 1, as in goautoneg, from which expfmt has its parser. */
function quality(text = ''): number {
  return /^-?(?:\d+\.?\d*|\.\d+)$/.test(text) ? Number(text) : 1
}

/** Splits at separators that are not between quotation marks. Linear in the text's length. */
function split(text: string, separator: ',' | ';'): string[] {
  const part =
    separator === ',' ? /(?:[^,"]|"(?:\\.|[^"\\])*"?)+/gs : /(?:[^;"]|"(?:\\.|[^"\\])*"?)+/gs
  return text.match(part) ?? []
}

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

// The exported names need no escaping. Echoing any scheme is therefore correct.
const ESCAPINGS: ReadonlySet<string> = new Set(['allow-utf-8', 'underscores', 'dots', 'values'])

/**
 * Returns the format that an Accept header prefers. It is text 0.0.4 for unknown formats, wildcards,
 * garbage and a missing header. The exporter never responds 406: a client can report that it got text.
 *
 * @see prometheus/common expfmt `NegotiateAccept`; RFC 9110 §12.5.1
 */
export function negotiate(accept: string | undefined): Negotiated {
  let escaping = 'underscores'
  const clauses = parseList(accept ?? '')
    .filter(({ q }) => q > 0)
    .sort((a, b) => b.q - a.q)
  for (const { value, params } of clauses) {
    // As in expfmt, the scheme also applies to the clauses that follow. No client sends two schemes.
    const asked = params.get('escaping') ?? ''
    if (ESCAPINGS.has(asked)) escaping = asked
    const match = matchClause(value, params)
    if (match) {
      return { format: match.format, contentType: `${match.contentType}; escaping=${escaping}` }
    }
  }
  return { format: 'text', contentType: `${formatTextType('0.0.4')}; escaping=${escaping}` }
}

/**
 * Whether the client accepts gzip and does not prefer no compression. Without a header the response is
 * not compressed: the client may be a person with curl.
 *
 * @see RFC 9110 §12.5.3 Accept-Encoding
 */
export function acceptsGzip(acceptEncoding: string | undefined): boolean {
  const qs = new Map(parseList(acceptEncoding ?? '').map(({ value, q }) => [value, q]))
  // RFC 9110 §8.4.1.3: x-gzip is gzip.
  const gzip = qs.get('gzip') ?? qs.get('x-gzip') ?? qs.get('*') ?? 0
  return gzip > 0 && gzip >= (qs.get('identity') ?? 0)
}

/** Returns the format of a clause; its content type has no escaping yet. */
function matchClause(
  mediaType: string,
  params: ReadonlyMap<string, string>,
): Negotiated | undefined {
  const version = params.get('version') ?? ''
  if (mediaType === 'application/openmetrics-text') {
    // Without a version expfmt assumes 0.0.1. The exporter renders both versions alike.
    const given = version || '0.0.1'
    if (given === '1.0.0' || given === '0.0.1') {
      const contentType = `application/openmetrics-text; version=${given}; charset=utf-8`
      return { format: 'openmetrics', contentType }
    }
  }
  if (mediaType === 'text/plain') {
    // 1.0.0 is 0.0.4 with names in quotes, which the exported names never need.
    const given = version || '0.0.4'
    if (given === '1.0.0' || given === '0.0.4') {
      return { format: 'text', contentType: formatTextType(given) }
    }
  }
  // Prometheus asks for the delimited encoding. The two text encodings are not supported.
  const isMetricFamily = params.get('proto') === 'io.prometheus.client.metricfamily'
  if (mediaType === PROTOBUF && isMetricFamily && params.get('encoding') === 'delimited') {
    const contentType = `${PROTOBUF}; proto=io.prometheus.client.MetricFamily; encoding=delimited`
    return { format: 'protobuf', contentType }
  }
  return undefined
}

function formatTextType(version: string): string {
  return `text/plain; version=${version}; charset=utf-8`
}

/** Parses the clauses of a header like Accept. If a parameter is given twice, the last one counts. */
function parseList(header: string): Clause[] {
  return split(header, ',').map((clause) => {
    const [value = '', ...rest] = split(clause, ';')
    const params = new Map(rest.map(parseParameter))
    return { value: value.trim().toLowerCase(), q: parseQuality(params.get('q')), params }
  })
}

function parseParameter(text: string): [name: string, value: string] {
  const [name = '', ...rest] = text.split('=')
  const value = rest.join('=').trim()
  const unquoted = /^"(.*)"$/s.exec(value)?.[1]?.replace(/\\(.)/gs, '$1')
  return [name.trim().toLowerCase(), (unquoted ?? value).toLowerCase()]
}

/** Parses `q`. Anything but a number counts as 1, as in goautoneg, whose parser expfmt uses. */
function parseQuality(text = ''): number {
  return /^-?(?:\d+\.?\d*|\.\d+)$/.test(text) ? Number(text) : 1
}

/** Splits at separators outside of quotation marks, in time linear in the text's length. */
function split(text: string, separator: ',' | ';'): string[] {
  const part =
    separator === ',' ? /(?:[^,"]|"(?:\\.|[^"\\])*"?)+/gs : /(?:[^;"]|"(?:\\.|[^"\\])*"?)+/gs
  return text.match(part) ?? []
}

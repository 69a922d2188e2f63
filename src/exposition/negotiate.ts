import type { TextFormat } from './metric-names.js'

/** A text format, or protobuf messages with a length before each. */
export type ExpositionFormat = TextFormat | 'protobuf'

export type Negotiated = {
  readonly format: ExpositionFormat
  /**
   * The value of the header Content-Type. Prometheus 3 rejects a response whose media type it does not know.
   */
  readonly contentType: string
}

const PROTOBUF = 'application/vnd.google.protobuf'

/** One alternative of a header like Accept, for example `text/plain;version=0.0.4;q=0.5`. */
type Clause = { readonly value: string; readonly q: number; readonly params: Map<string, string> }

// The escaping schemes of Prometheus. All exported names are ASCII names that no scheme changes, so the
// Content-Type can state whichever scheme the client requested.
const ESCAPINGS: ReadonlySet<string> = new Set(['allow-utf-8', 'underscores', 'dots', 'values'])

/**
 * Chooses the format that an Accept header prefers. If the header is missing, malformed, or has only wildcards
 * and unknown formats, the choice is the text format 0.0.4. The exporter never responds with status 406 (Not
 * Acceptable).
 *
 * @see prometheus/common expfmt `NegotiateAccept`; RFC 9110 §12.5.1
 */
export function negotiate(accept: string | undefined): Negotiated {
  let escaping = 'underscores'
  const clauses = parseList(accept ?? '')
    .filter(({ q }) => q > 0)
    .sort((a, b) => b.q - a.q)
  for (const { value, params } of clauses) {
    // An escaping scheme also applies to the clauses after it, as in the expfmt package of Prometheus.
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
 * Whether the header Accept-Encoding allows gzip and does not prefer an uncompressed response. A response to a
 * request without this header is not compressed, because the client may be a person with curl.
 *
 * @see RFC 9110 §12.5.3 Accept-Encoding
 */
export function acceptsGzip(acceptEncoding: string | undefined): boolean {
  const qs = new Map(parseList(acceptEncoding ?? '').map(({ value, q }) => [value, q]))
  // Recipients should treat `x-gzip` like `gzip` (RFC 9110 §8.4.1.3).
  const gzip = qs.get('gzip') ?? qs.get('x-gzip') ?? qs.get('*') ?? 0
  return gzip > 0 && gzip >= (qs.get('identity') ?? 0)
}

/**
 * Returns the format for one clause of an Accept header. The `contentType` of the result lacks the parameter
 * `escaping`.
 */
function matchClause(
  mediaType: string,
  params: ReadonlyMap<string, string>,
): Negotiated | undefined {
  const version = params.get('version') ?? ''
  if (mediaType === 'application/openmetrics-text') {
    // Without a version, the client gets OpenMetrics 0.0.1, as in the expfmt package of Prometheus. The
    // exporter renders the same bytes for OpenMetrics 0.0.1 and 1.0.0.
    const given = version || '0.0.1'
    if (given === '1.0.0' || given === '0.0.1') {
      const contentType = `application/openmetrics-text; version=${given}; charset=utf-8`
      return { format: 'openmetrics', contentType }
    }
  }
  if (mediaType === 'text/plain') {
    // The text format 1.0.0 differs from 0.0.4 only in quoted names. No exported name needs quotes.
    const given = version || '0.0.4'
    if (given === '1.0.0' || given === '0.0.4') {
      return { format: 'text', contentType: formatTextType(given) }
    }
  }
  // Prometheus requests protobuf with the encoding `delimited`. The encodings `text` and `compact-text` are not
  // supported.
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

/** Parses the clauses of a header like Accept. If a clause has a parameter twice, the last value applies. */
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

/**
 * Parses the parameter `q`. A value that is not a number counts as 1, as in the goautoneg package that
 * Prometheus uses.
 */
function parseQuality(text = ''): number {
  return /^-?(?:\d+\.?\d*|\.\d+)$/.test(text) ? Number(text) : 1
}

/** Splits a header at separators outside of quotation marks. The time is linear in the length of the header. */
function split(text: string, separator: ',' | ';'): string[] {
  const part =
    separator === ',' ? /(?:[^,"]|"(?:\\.|[^"\\])*"?)+/gs : /(?:[^;"]|"(?:\\.|[^"\\])*"?)+/gs
  return text.match(part) ?? []
}

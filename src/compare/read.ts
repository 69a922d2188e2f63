/** One series: the sample's name and its labels, sorted, as one text. */
export type Series = {
  readonly value: number
  /** The same text if labels were escaped twice, as util.openmetrics does. */
  readonly escapedTwice: string
}

export type Read = {
  /** By the families' names, and by the series' text. */
  readonly families: ReadonlyMap<string, ReadonlyMap<string, Series>>
  /** Lines that are no sample and no comment. */
  readonly unreadable: number
}

// `-nan` and `inf` are C's, as mod_http_openmetrics writes them.
const NUMBERS: Readonly<Record<string, number>> = {
  '+Inf': Infinity,
  '-Inf': -Infinity,
  inf: Infinity,
  '-inf': -Infinity,
  NaN: NaN,
  nan: NaN,
  '-nan': NaN,
}

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: -?[\d.]+)?$/
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"(?:,|$)/gsy

/**
 * Reads an exposition of any of Prosody's modules or of ours, in either text format, forgiving what
 * the modules have wrong, as a counter's TYPE with or without `_total`.
 *
 * A family's name is that of its samples less what its type adds, so that both formats have the same.
 */
export function readExposition(text: string): Read {
  const types = new Map<string, string>()
  const families = new Map<string, Map<string, Series>>()
  let unreadable = 0
  for (const line of text.split('\n')) {
    const [, typed, type] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? []
    if (typed !== undefined && type !== undefined) types.set(typed, type)
    if (line === '' || line.startsWith('#')) continue
    const [, name, labels = '', valueText] = SAMPLE.exec(line) ?? []
    const value = NUMBERS[valueText ?? ''] ?? Number(valueText)
    const read = readLabels(labels, unescape)
    if (
      name === undefined ||
      read === undefined ||
      (Number.isNaN(value) && !/nan/i.test(valueText!))
    ) {
      unreadable++
      continue
    }
    const family = familyOf(name, types)
    const series = families.get(family) ?? new Map<string, Series>()
    families.set(family, series)
    const twice = readLabels(labels, (text) => unescape(unescape(text)))!
    series.set(`${name}{${read}}`, { value, escapedTwice: `${name}{${twice}}` })
  }
  return { families, unreadable }
}

function familyOf(sample: string, types: ReadonlyMap<string, string>): string {
  const suffix = /_(total|created|bucket|sum|count|info)$/.exec(sample)?.[0] ?? ''
  const base = sample.slice(0, sample.length - suffix.length)
  // A name that is typed as it stands is a family's own, as that of a gauge `x_count`.
  return suffix !== '_total' && types.has(sample)
    ? sample
    : types.has(base) || suffix === '_total'
      ? base
      : sample
}

function readLabels(text: string, unescape: (text: string) => string): string | undefined {
  const pairs: string[] = []
  let end = 0
  for (const [whole, name = '', value = ''] of text.matchAll(LABEL)) {
    // A label without a value is no label to Prometheus.
    if (value !== '')
      pairs.push(`${name}=${JSON.stringify(boundOf(name, value) ?? unescape(value))}`)
    end += whole.length
  }
  return end === text.length ? pairs.sort().join(',') : undefined
}

// Bounds are one number, `1` there and `1.0` here: Prometheus 3 stores them alike.
function boundOf(name: string, value: string): string | undefined {
  const isBound = (name === 'le' || name === 'quantile') && !Number.isNaN(Number(value))
  return isBound ? String(Number(value)) : undefined
}

function unescape(text: string): string {
  return text.replace(/\\(.)/gs, (_, c: string) => (c === 'n' ? '\n' : c))
}

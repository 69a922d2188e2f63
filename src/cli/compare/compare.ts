import { ConfigError } from '../../errors.js'
import type { ExpositionSink } from './read-exposition.js'
import type { ParsedSample } from './parse-sample.js'

export type Comparison = {
  /** Metric families of the old exposition, sorted by name. */
  readonly families: readonly FamilyComparison[]
  /** Names of families that only the new exposition has. */
  readonly added: readonly string[]
  /**
   * For each exposition, the number of samples whose series already had a sample in the same exposition. In the new
   * exposition, only series of the old exposition count.
   */
  readonly repeated: { readonly old: number; readonly new: number }
  /** Whether the new exposition has every series of the old one. */
  readonly isComplete: boolean
}

export type FamilyComparison = {
  readonly name: string
  readonly series: number
  /** The series of the old exposition that the new exposition does not have. */
  readonly missing: readonly string[]
  /** The number of series with different values in the two expositions. Values normally change over time. */
  readonly changed: number
}

/** A series of the old exposition. */
type OldSeries = {
  readonly value: number
  /** The value of the series in the new exposition; missing if the new exposition does not have the series. */
  newValue?: number
  /** Whether the new exposition has the series with the same label values, without removing a second escaping. */
  isExact?: boolean
}

const MAX_SERIES = 1_000_000

/**
 * Compares an old exposition with a new one, series by series. The old exposition must be added completely before the
 * new one, because only series of the old exposition are stored.
 *
 * Series are matched by sample names, which are the same in both text formats. `_created` series are ignored,
 * because the exporter writes them only if that is configured.
 */
export function createComparison(maxSeries = MAX_SERIES): {
  readonly old: ExpositionSink
  readonly new: ExpositionSink
  result(): Comparison
} {
  const typed = new Set<string>()
  const type = (name: string) => {
    typed.add(name)
    checkCount(typed.size, maxSeries, 'metric families')
  }
  const oldSeries = createOldSeries(maxSeries)
  const newNames = new Set<string>()
  const repeated = { old: 0, new: 0 }
  return {
    old: {
      type,
      sample(sample) {
        if (!oldSeries.add(sample)) repeated.old++
      },
    },
    new: {
      type,
      sample(sample) {
        newNames.add(sample.name)
        checkCount(newNames.size, maxSeries, 'metric names')
        if (!oldSeries.match(sample)) repeated.new++
      },
    },
    result() {
      const families = compareFamilies(oldSeries.series, typed)
      const old = new Set(Array.from(oldSeries.series.keys(), (name) => getFamilyName(name, typed)))
      const current = new Set(Array.from(newNames, (name) => getFamilyName(name, typed)))
      return {
        families,
        added: [...current].filter((name) => !old.has(name)).sort(),
        repeated,
        isComplete: families.every(({ missing }) => missing.length === 0),
      }
    },
  }
}

function checkCount(count: number, limit: number, what: string): void {
  if (count > limit) throw new ConfigError(`the metrics have more than ${limit} ${what}`)
}

function createOldSeries(maxSeries: number) {
  /** The series of the old exposition, by sample name and then by labels. */
  const series = new Map<string, Map<string, OldSeries>>()
  /** Series whose labels may have been escaped twice, by their name and the labels without the second escaping. */
  const escapedTwice = new Map<string, OldSeries[]>()
  let count = 0
  return {
    series,
    /** @returns False if the series already has a sample. As in Prometheus, the first sample of a series counts. */
    add({ name, labels, labelsEscapedTwice, value }: ParsedSample): boolean {
      const byLabels = series.get(name) ?? new Map<string, OldSeries>()
      if (byLabels.has(labels)) return false
      checkCount(++count, maxSeries, 'series')
      const added: OldSeries = { value }
      series.set(name, byLabels.set(labels, added))
      if (labelsEscapedTwice !== undefined) {
        const key = formatSeries(name, labelsEscapedTwice)
        const all = escapedTwice.get(key) ?? []
        all.push(added)
        escapedTwice.set(key, all)
      }
      return true
    },
    /**
     * Stores the new value of an old series.
     *
     * @returns False if the series already has a value from the new exposition.
     */
    match({ name, labels, value }: ParsedSample): boolean {
      if (escapedTwice.size > 0) {
        const key = formatSeries(name, labels)
        for (const old of escapedTwice.get(key) ?? []) old.newValue ??= value
        escapedTwice.delete(key)
      }
      const old = series.get(name)?.get(labels)
      if (old?.isExact) return false
      if (old) {
        old.newValue = value
        old.isExact = true
      }
      return true
    },
  }
}

function compareFamilies(
  series: ReadonlyMap<string, ReadonlyMap<string, OldSeries>>,
  typed: ReadonlySet<string>,
): FamilyComparison[] {
  const families = new Map<string, { series: number; missing: string[]; changed: number }>()
  for (const [name, byLabels] of series) {
    if (isStartTime(name, typed)) continue
    const family = getFamilyName(name, typed)
    const compared = families.get(family) ?? { series: 0, missing: [], changed: 0 }
    families.set(family, compared)
    compared.series += byLabels.size
    for (const [labels, { value, newValue }] of byLabels) {
      if (newValue === undefined) compared.missing.push(formatSeries(name, labels))
      else if (!Object.is(newValue, value)) compared.changed++
    }
  }
  return Array.from(families, ([name, compared]) => ({ name, ...compared })).sort((a, b) =>
    a.name < b.name ? -1 : 1,
  )
}

/**
 * Returns whether the sample is the start time of a counter, histogram or summary, which ends in `_created`. A name
 * with its own TYPE line is a metric instead, for example a gauge `file_created`.
 */
function isStartTime(sample: string, typed: ReadonlySet<string>): boolean {
  return sample.endsWith('_created') && !typed.has(sample)
}

/** Returns the name of the family without the suffix of its type, so that it is the same in both formats. */
function getFamilyName(sample: string, typed: ReadonlySet<string>): string {
  const suffix = /_(total|created|bucket|sum|count|info)$/.exec(sample)?.[0] ?? ''
  const base = sample.slice(0, sample.length - suffix.length)
  // A name with its own TYPE line is the name of a family, for example a gauge `x_count`.
  return suffix !== '_total' && typed.has(sample)
    ? sample
    : typed.has(base) || suffix === '_total'
      ? base
      : sample
}

/** Formats the name and the labels of a series as in the text format. */
function formatSeries(name: string, labels: string): string {
  if (/^[a-zA-Z_:][\w:]*$/.test(name)) return `${name}{${labels}}`
  return `{"${name}"${labels === '' ? '' : `,${labels}`}}`
}

import { ConfigError } from '../../errors.js'
import type { ExpositionSink } from './read-exposition.js'
import type { ParsedSample } from './parse-sample.js'

export type Comparison = {
  /** Families of the old exposition, by name. */
  readonly families: readonly FamilyComparison[]
  /** Families that only the new one has. */
  readonly added: readonly string[]
  /** Samples of a series that had one already, in either exposition. */
  readonly repeated: { readonly old: number; readonly new: number }
  /** Nothing of the old one is missing. */
  readonly isComplete: boolean
}

export type FamilyComparison = {
  readonly name: string
  readonly series: number
  /** Series that the new exposition lacks. */
  readonly missing: readonly string[]
  /** Series whose value is another one, as is to be expected of what moves. */
  readonly moved: number
}

/** A series of the old exposition. */
type OldSeries = {
  readonly value: number
  /** In the new exposition. */
  now?: number
  /** The new exposition has the same labels, not those of labels escaped twice. */
  isExact?: boolean
}

const MAX_SERIES = 1_000_000

/**
 * What of an old exposition is in a new one, series by series. Only the old one's series are stored: it
 * is read to its end first.
 *
 * Series are compared by the names of their samples, which are the same in both formats. `_created`
 * series are not compared: ours come where they are asked for.
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
  const before = createOldSeries(maxSeries)
  const namesNow = new Set<string>()
  const repeated = { old: 0, new: 0 }
  return {
    old: {
      type,
      sample(sample) {
        if (!before.add(sample)) repeated.old++
      },
    },
    new: {
      type,
      sample(sample) {
        namesNow.add(sample.name)
        checkCount(namesNow.size, maxSeries, 'names of metrics')
        if (!before.find(sample)) repeated.new++
      },
    },
    result() {
      const families = compareFamilies(before.series, typed)
      const old = new Set(Array.from(before.series.keys(), (name) => getFamilyName(name, typed)))
      const now = new Set(Array.from(namesNow, (name) => getFamilyName(name, typed)))
      return {
        families,
        added: [...now].filter((name) => !old.has(name)).sort(),
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
  /** By the samples' names, and by their labels. */
  const series = new Map<string, Map<string, OldSeries>>()
  /** Those whose labels may have been escaped twice, by what they are then. */
  const escapedTwice = new Map<string, OldSeries[]>()
  let count = 0
  return {
    series,
    /** @returns Whether the series is a new one. As in Prometheus, its first sample counts. */
    add({ name, labels, labelsEscapedTwice, value }: ParsedSample): boolean {
      const ofName = series.get(name) ?? new Map<string, OldSeries>()
      if (ofName.has(labels)) return false
      checkCount(++count, maxSeries, 'series')
      const added: OldSeries = { value }
      series.set(name, ofName.set(labels, added))
      if (labelsEscapedTwice !== undefined) {
        const key = formatSeries(name, labelsEscapedTwice)
        const all = escapedTwice.get(key) ?? []
        all.push(added)
        escapedTwice.set(key, all)
      }
      return true
    },
    /** @returns Whether it is the first sample of this series, as far as the old exposition has it. */
    find({ name, labels, value }: ParsedSample): boolean {
      if (escapedTwice.size > 0) {
        const key = formatSeries(name, labels)
        for (const old of escapedTwice.get(key) ?? []) old.now ??= value
        escapedTwice.delete(key)
      }
      const old = series.get(name)?.get(labels)
      if (old?.isExact) return false
      if (old) {
        old.now = value
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
  const families = new Map<string, { series: number; missing: string[]; moved: number }>()
  for (const [name, ofName] of series) {
    if (isStartTime(name, typed)) continue
    const family = getFamilyName(name, typed)
    const compared = families.get(family) ?? { series: 0, missing: [], moved: 0 }
    families.set(family, compared)
    compared.series += ofName.size
    for (const [labels, { value, now }] of ofName) {
      if (now === undefined) compared.missing.push(formatSeries(name, labels))
      else if (!Object.is(now, value)) compared.moved++
    }
  }
  return Array.from(families, ([name, compared]) => ({ name, ...compared })).sort((a, b) =>
    a.name < b.name ? -1 : 1,
  )
}

/** A name with a TYPE of its own is a gauge's, as `file_created`. */
function isStartTime(sample: string, typed: ReadonlySet<string>): boolean {
  return sample.endsWith('_created') && !typed.has(sample)
}

/** A family's name is that of its samples less what its type adds, so that both formats have the same. */
function getFamilyName(sample: string, typed: ReadonlySet<string>): string {
  const suffix = /_(total|created|bucket|sum|count|info)$/.exec(sample)?.[0] ?? ''
  const base = sample.slice(0, sample.length - suffix.length)
  // A name that is typed as it stands is a family's own, as that of a gauge `x_count`.
  return suffix !== '_total' && typed.has(sample)
    ? sample
    : typed.has(base) || suffix === '_total'
      ? base
      : sample
}

/** The series as an exposition has it. */
function formatSeries(name: string, labels: string): string {
  if (/^[a-zA-Z_:][\w:]*$/.test(name)) return `${name}{${labels}}`
  return `{"${name}"${labels === '' ? '' : `,${labels}`}}`
}

import { addCount } from '../../metrics/counts.js'
import { countValuesPerRow, type Family } from '../../metrics/family.js'
import { getLabels } from '../../metrics/labels.js'
import { createTable, type Table } from '../../metrics/table.js'
import { createLegacyRuleFinder, type LegacyRule } from './mod-prometheus-names.js'
import { createWindow } from './mod-prometheus-window.js'
import type { RegistrySource } from './registry-family.js'

/** A series under a name of mod_prometheus (legacy name). It combines rows of one or more families of the registry. */
type LegacySeries = { readonly table: Table; readonly row: number; readonly rule: LegacyRule }

/** A rule, and for each row of a family the index of its legacy series, or -1 for a row without a legacy series. */
type Mapping = { readonly rule: LegacyRule; readonly seriesOfRow: number[] }

type SourceMappings = { readonly mappings: readonly Mapping[]; readonly isComplete: boolean }

type LegacyResult = {
  readonly families: readonly Family[]
  /** Families whose legacy series lack some information. They are also served under their own names. */
  readonly incomplete: readonly RegistrySource[]
  /** For each legacy family name, the number of rows that are not served because another series has the same labels. */
  readonly clashes: ReadonlyMap<string, number>
}

const HELP = 'Statistics of Prosody under the names of mod_prometheus.'

/**
 * Exports Prosody's registry under the names that mod_prometheus used for Prosody 0.10 and 0.11. A series is named
 * `prosody_SECTION{type="NAME"}`, and has a label `host` if the statistic belongs to a host. A counter becomes a rate
 * per second, and a histogram or summary becomes an average. Rates and averages cover the time since an earlier
 * collection.
 */
export function createModPrometheus() {
  const mappingsOfSource = new Map<RegistrySource, SourceMappings>()
  const legacy = createLegacySeries()
  const window = createWindow()

  function addMappings(sources: readonly RegistrySource[]): void {
    if (mappingsOfSource.size === sources.length) return
    const findRules = createLegacyRuleFinder(sources)
    for (const source of sources) {
      if (mappingsOfSource.has(source)) continue
      const { rules, isComplete } = findRules(source)
      const mappings = rules.map((rule) => ({ rule, seriesOfRow: [] }))
      mappingsOfSource.set(source, { mappings, isComplete })
    }
  }

  return {
    families(sources: readonly RegistrySource[], atMs: number): LegacyResult {
      addMappings(sources)
      const mapped = Array.from(mappingsOfSource, ([source, { mappings }]) =>
        mappings.map((mapping) => [mapping, source.table.snapshot()] as const),
      ).flat()
      for (const [mapping, family] of mapped) mapNewRows(mapping, family, legacy)
      const totals = new Float64Array(2 * legacy.all.length).fill(NaN)
      for (const [mapping, family] of mapped) addToTotals(totals, mapping, family)
      window.advance(atMs, totals)
      legacy.all.forEach((series, index) => {
        updateSeries(series, index, totals, window)
      })
      return {
        families: legacy.families(),
        incomplete: sources.filter((source) => mappingsOfSource.get(source)?.isComplete !== true),
        clashes: legacy.clashes,
      }
    },
  }
}

/** Stores all legacy series in the order of their creation, and a table for each legacy family. */
function createLegacySeries() {
  const familyOfName = new Map<string, { table: Table; indexOfLabels: Map<string, number> }>()
  const all: LegacySeries[] = []
  const clashes = new Map<string, number>()

  function getFamily(name: string) {
    const known = familyOfName.get(name)
    if (known) return known
    const table = createTable({ name, type: 'gauge', help: HELP, unit: '', bounds: [] })
    const family = { table, indexOfLabels: new Map<string, number>() }
    familyOfName.set(name, family)
    return family
  }

  return {
    all,
    clashes,
    families: () => Array.from(familyOfName.values(), ({ table }) => table.snapshot()),

    /** Returns the index in `all` of the legacy series of a row, or -1 if the row has no legacy series. */
    findOrAdd(rule: LegacyRule, rowLabels: string): number {
      const labels = rule.convertLabels(rowLabels)
      if (labels === undefined) return -1
      const { table, indexOfLabels } = getFamily(rule.name)
      const known = indexOfLabels.get(labels)
      if (known !== undefined) {
        if (all[known]!.rule.statistic === rule.statistic) return known
        addCount(clashes, rule.name, 1)
        return -1
      }
      indexOfLabels.set(labels, all.length)
      return all.push({ table, row: table.append(labels), rule }) - 1
    },
  }
}

function mapNewRows(
  { rule, seriesOfRow }: Mapping,
  { labels, length }: Family,
  legacy: ReturnType<typeof createLegacySeries>,
): void {
  while (seriesOfRow.length < length) {
    seriesOfRow.push(legacy.findOrAdd(rule, getLabels(labels, seriesOfRow.length)))
  }
}

/** Adds the values of the rows of a family to the totals of their legacy series. */
function addToTotals(totals: Float64Array, { rule, seriesOfRow }: Mapping, family: Family): void {
  const { order, values } = family
  const columns = countValuesPerRow(family)
  const { kind, combine } = rule
  for (const row of order) {
    if (seriesOfRow[row]! < 0) continue
    const at = 2 * seriesOfRow[row]!
    // The last two values of a histogram or summary row are its sum and its count.
    const end = (row + 1) * columns
    const value = values[kind === 'average' ? end - 2 : end - 1]!
    const sum = totals[at]!
    if (Number.isNaN(sum)) totals[at] = value
    else totals[at] = combine === 'max' ? Math.max(sum, value) : sum + value
    totals[at + 1] = (totals[at + 1] || 0) + (kind === 'average' ? values[end - 1]! : 0)
  }
}

/** Sets the value of a legacy series, or marks it as missing. */
function updateSeries(
  { table, row, rule: { kind } }: LegacySeries,
  index: number,
  totals: Float64Array,
  window: ReturnType<typeof createWindow>,
): void {
  const hasRows = !Number.isNaN(totals[2 * index + 1]!)
  const value = kind === 'value' ? totals[2 * index]! : window.valueOf(index, kind)
  const isPresent = hasRows && (kind === 'value' || !Number.isNaN(value))
  table.setMissing(row, !isPresent)
  if (isPresent) table.set(row, 0, value)
}

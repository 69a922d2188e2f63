import { addCount } from '../../metrics/counts.js'
import { labelsOf, width, type Family } from '../../metrics/family.js'
import { createTable, type Table } from '../../metrics/table.js'
import { legacyRulesOf, type LegacyRule } from './mod-prometheus-names.js'
import { createWindow } from './mod-prometheus-window.js'
import type { RegistrySource } from './registry-lines.js'

/** One series, which rows of one or more families make up. */
type Target = { readonly table: Table; readonly row: number; readonly figure: LegacyRule }
/** A family, with the place of each of its series by label text. */
type Shown = { readonly table: Table; readonly places: Map<string, number> }

/** Of which series each row of a source is a part, as a place in the list of all; -1 for none. */
type Route = { readonly figure: LegacyRule; readonly targets: number[] }
type Plan = { readonly routes: readonly Route[]; readonly isWhole: boolean }

type Result = {
  readonly families: readonly Family[]
  /** Sources of which not all is told by an old name: they keep their own as well. */
  readonly rest: readonly RegistrySource[]
  /** Series that another statistic has the name and labels of, by name of their family. */
  readonly clashes: ReadonlyMap<string, number>
}

/**
 * The registry as mod_prometheus showed the statistics of Prosody 0.10 and 0.11:
 * `prosody_SECTION{type="NAME"}`, and `host` where a statistic was one of a host. What was an event
 * is told in events a second, and what was timed on average, in the time between two readings.
 */
export function createModPrometheus() {
  const plans = new Map<RegistrySource, Plan>()
  const shown = new Map<string, Shown>()
  const targets: Target[] = []
  const clashes = new Map<string, number>()
  const window = createWindow()

  function plan(sources: readonly RegistrySource[]): void {
    if (plans.size === sources.length) return
    const find = legacyRulesOf(sources)
    for (const source of sources) {
      if (plans.has(source)) continue
      const { figures, isWhole } = find(source)
      plans.set(source, { routes: figures.map((figure) => ({ figure, targets: [] })), isWhole })
    }
  }

  function familyNamed(name: string): Shown {
    const known = shown.get(name)
    if (known) return known
    const help = "mod_prometheus's figures of Prosody's statistics, by their names there."
    const table = createTable({ name, type: 'gauge', help, unit: '', bounds: [] })
    const family = { table, places: new Map<string, number>() }
    shown.set(name, family)
    return family
  }

  function placeOf(figure: LegacyRule, labels: string): number {
    const text = figure.labelsOf(labels)
    if (text === undefined) return -1
    const { table, places } = familyNamed(figure.name)
    const known = places.get(text)
    if (known !== undefined) {
      if (targets[known]!.figure.of === figure.of) return known
      addCount(clashes, figure.name, 1)
      return -1
    }
    places.set(text, targets.length)
    return targets.push({ table, row: table.append(text), figure }) - 1
  }

  /** Finds the places of rows that are new. */
  function route({ figure, targets: known }: Route, { labels, length }: Family): void {
    while (known.length < length) {
      known.push(placeOf(figure, labelsOf(labels, known.length)))
    }
  }

  /** Adds a family's values to the sums and counts. */
  function add(counted: Float64Array, { figure, targets: known }: Route, family: Family): void {
    const { order, values } = family
    const columns = width(family)
    const { kind, isSame } = figure
    for (const row of order) {
      if (known[row]! < 0) continue
      const at = 2 * known[row]!
      // Sum and count are the last two values of a row that has several.
      const end = (row + 1) * columns
      const value = values[kind === 'average' ? end - 2 : end - 1]!
      const before = counted[at]!
      if (Number.isNaN(before)) counted[at] = value
      else counted[at] = isSame ? Math.max(before, value) : before + value
      counted[at + 1] = (counted[at + 1] || 0) + (kind === 'average' ? values[end - 1]! : 0)
    }
  }

  function tell({ table, row, figure: { kind } }: Target, place: number, counted: Float64Array) {
    const isThere = !Number.isNaN(counted[2 * place + 1]!)
    const value = kind === 'value' ? counted[2 * place]! : window.valueOf(place, kind)
    const isKnown = isThere && (kind === 'value' || !Number.isNaN(value))
    table.setMissing(row, !isKnown)
    if (isKnown) table.set(row, 0, value)
  }

  return {
    families(sources: readonly RegistrySource[], atMs: number): Result {
      plan(sources)
      const all = Array.from(plans, ([source, { routes }]) =>
        routes.map((each) => [each, source.table.snapshot()] as const),
      ).flat()
      for (const [each, family] of all) route(each, family)
      const counted = new Float64Array(2 * targets.length).fill(NaN)
      for (const [each, family] of all) add(counted, each, family)
      window.advance(atMs, counted)
      targets.forEach((target, place) => {
        tell(target, place, counted)
      })
      const rest = sources.filter((source) => plans.get(source)?.isWhole !== true)
      return {
        families: Array.from(shown.values(), ({ table }) => table.snapshot()),
        rest,
        clashes,
      }
    },
  }
}

import { labelsOf, type Family } from '../metrics/family.js'
import { createTable, type Table } from '../metrics/store.js'
import { figuresOf, type Figure } from './mod-prometheus-names.js'
import { createWindow } from './mod-prometheus-window.js'
import type { RegistrySource } from './registry-lines.js'

/** One series: what it is made of is added up at each reading. */
type Target = {
  readonly table: Table
  readonly row: number
  readonly figure: Figure
  /** Sum of values, or of what was observed. */
  sum: number
  /** Number of observations, where an average is told. */
  count: number
  isThere: boolean
}

/** Which series each row of a source is a part of. */
type Route = { readonly figure: Figure; readonly targets: (Target | undefined)[] }
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
  const tables = new Map<string, Table>()
  const targets = new Map<string, Target>()
  const clashes = new Map<string, number>()
  const window = createWindow<Target>()

  function plan(sources: readonly RegistrySource[]): void {
    if (plans.size === sources.length) return
    const find = figuresOf(sources)
    for (const source of sources) {
      if (plans.has(source)) continue
      const { figures, isWhole } = find(source)
      plans.set(source, { routes: figures.map((figure) => ({ figure, targets: [] })), isWhole })
    }
  }

  function tableNamed(name: string): Table {
    const known = tables.get(name)
    if (known) return known
    const help = "mod_prometheus's figures of Prosody's statistics, by their names there."
    const table = createTable({ name, type: 'gauge', help, unit: '', bounds: [] })
    tables.set(name, table)
    return table
  }

  function targetOf(figure: Figure, labels: ReadonlyMap<string, string>): Target | undefined {
    const text = figure.labelsOf(labels)
    if (text === undefined) return undefined
    const key = `${figure.name}{${text}}`
    const known = targets.get(key)
    if (known) {
      if (known.figure.of === figure.of) return known
      clashes.set(figure.name, (clashes.get(figure.name) ?? 0) + 1)
      return undefined
    }
    const table = tableNamed(figure.name)
    const target = { table, row: table.append(text), figure, sum: 0, count: 0, isThere: false }
    targets.set(key, target)
    return target
  }

  function add({ figure, targets: known }: Route, family: Family, width: number): void {
    const { order, values, labels, length } = family
    while (known.length < length) {
      known.push(targetOf(figure, readLabels(labelsOf(labels, known.length))))
    }
    const isAverage = figure.kind === 'average'
    for (const row of order) {
      const target = known[row]
      if (!target) continue
      // Sum and count are the last two values of a row that has several.
      const end = (row + 1) * width
      const value = values[isAverage ? end - 2 : end - 1]!
      target.sum = figure.isSame ? Math.max(target.sum, value) : target.sum + value
      if (isAverage) target.count += values[end - 1]!
      target.isThere = true
    }
  }

  function tell(target: Target): void {
    const { table, row, figure, sum, isThere } = target
    const isValue = figure.kind === 'value'
    const value = figure.kind === 'value' ? sum : window.valueOf(target, figure.kind)
    const isKnown = isThere && (isValue || !Number.isNaN(value))
    table.setMissing(row, !isKnown)
    if (isKnown) table.set(row, 0, value)
  }

  return {
    families(sources: readonly RegistrySource[], atMs: number): Result {
      plan(sources)
      for (const target of targets.values()) {
        target.sum = target.count = 0
        target.isThere = false
      }
      const rest: RegistrySource[] = []
      for (const [source, { routes, isWhole }] of plans) {
        for (const route of routes) add(route, source.table.snapshot(), source.table.width)
        if (!isWhole) rest.push(source)
      }
      window.advance(atMs, targets.values())
      for (const target of targets.values()) tell(target)
      return { families: Array.from(tables.values(), (table) => table.snapshot()), rest, clashes }
    },
  }
}

/** Label text as a family has it; values stay escaped. */
function readLabels(text: string): ReadonlyMap<string, string> {
  const pairs = text.matchAll(/([^=,]+)="((?:\\.|[^"\\])*)"/gs)
  return new Map(Array.from(pairs, ([, name, value]) => [name!, value!]))
}

import type { Family } from '../metrics/family.js'
import { compareNames, exposedName, type Format } from './metric-names.js'
import { collisions, textCollisions } from './validity.js'

type Plan = {
  /** Name, type and whether there are rows, of each family given: all that the plan depends on. */
  readonly names: readonly string[]
  readonly types: readonly string[]
  readonly hasRows: readonly boolean[]
  /** Which of them are shown, in order. */
  readonly shown: readonly number[]
}

// The last one: from snapshot to snapshot it is mostly the same, and finding it costs as much as
// rendering some hundred changed values.
const plans = new Map<Format, Plan>()

/** The families that a format shows, sorted by exposed name; each once. */
export function planned(families: readonly Family[], format: Format): Family[] {
  const known = plans.get(format)
  if (known && fits(known, families)) return known.shown.map((index) => families[index]!)

  const leftOut = format === 'text' ? textCollisions(families) : collisions(families)
  const shown = [...new Set(families)]
    .filter((family) => !leftOut.has(family))
    .map((family) => ({ family, name: exposedName(family, format) }))
    .sort((a, b) => compareNames(a.name, b.name))
    .map(({ family }) => family)
  plans.delete(format)
  // The same object given twice is shown once, and two of the same name are not: names can't tell.
  if (new Set(families.map(({ name }) => name)).size === families.length) {
    const indexes = new Map(families.map((family, index) => [family, index]))
    plans.set(format, {
      names: families.map(({ name }) => name),
      types: families.map(({ type }) => type),
      hasRows: families.map(({ order }) => order.length > 0),
      shown: shown.map((family) => indexes.get(family)!),
    })
  }
  return shown
}

function fits({ names, types, hasRows }: Plan, families: readonly Family[]): boolean {
  if (names.length !== families.length) return false
  for (let i = 0; i < families.length; i++) {
    const { name, type, order } = families[i]!
    if (names[i] !== name || types[i] !== type || hasRows[i] !== order.length > 0) return false
  }
  return true
}

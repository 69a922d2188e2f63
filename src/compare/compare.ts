import { readExposition } from './read.js'

export type Comparison = {
  /** Families of the old exposition, by name. */
  readonly families: readonly FamilyComparison[]
  /** Families that only the new one has. */
  readonly added: readonly string[]
  readonly unreadable: number
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

/**
 * What of an old exposition is in a new one, series by series.
 *
 * `_created` series are not compared: ours come where they are asked for.
 */
export function compare(oldText: string, newText: string): Comparison {
  const before = readExposition(oldText)
  const after = readExposition(newText)
  const families = [...before.families]
    .map(([name, series]): FamilyComparison => {
      const ours = after.families.get(name)
      const pairs = [...series]
        .filter(([key]) => !/^[^{]*_created\{/.test(key))
        .map(([key, old]) => ({ key, old, now: ours?.get(key) ?? ours?.get(old.escapedTwice) }))
      return {
        name,
        series: pairs.length,
        missing: pairs.filter(({ now }) => now === undefined).map(({ key }) => key),
        moved: pairs.filter(({ now, old }) => now && !Object.is(now.value, old.value)).length,
      }
    })
    .filter(({ series }) => series > 0)
    .sort((a, b) => (a.name < b.name ? -1 : 1))
  return {
    families,
    added: [...after.families.keys()].filter((name) => !before.families.has(name)).sort(),
    unreadable: before.unreadable,
    isComplete: families.every(({ missing }) => missing.length === 0),
  }
}

const MISSING_SHOWN = 5

/** The comparison for a terminal, one line a family. */
export function comparisonText({ families, added, unreadable, isComplete }: Comparison): string {
  const width = Math.max(6, ...families.map(({ name }) => name.length))
  const lines = [`${'family'.padEnd(width)}  series  moved  missing`]
  for (const { name, series, moved, missing } of families) {
    lines.push(
      `${name.padEnd(width)}  ${String(series).padStart(6)}  ${String(moved).padStart(5)}  ${String(missing.length).padStart(7)}`,
      ...missing.slice(0, MISSING_SHOWN).map((key) => `    missing: ${key}`),
    )
    if (missing.length > MISSING_SHOWN) {
      lines.push(`    and ${missing.length - MISSING_SHOWN} more`)
    }
  }
  if (added.length > 0) lines.push('', `only in the new one: ${added.join(', ')}`)
  if (unreadable > 0) lines.push('', `${unreadable} lines of the old one are no samples`)
  const lost = families.filter(({ missing }) => missing.length > 0).length
  lines.push(
    '',
    isComplete
      ? `All ${families.length} families of the old one are in the new one, with every series.`
      : `Of ${lost} of ${families.length} families series are missing in the new one.`,
    '',
  )
  return lines.join('\n')
}

import type { Family } from '../metrics/family.js'
import { getLabels } from '../metrics/labels.js'

/** A series. Its labels are not parsed, because to parse the labels of thousands of hosts takes too long. */
export type Row = { readonly labels: string; readonly value: number }

export type RowReader = (name: string) => readonly Row[] | undefined

/** Returns a function that finds a family by its name and reads its series. */
export function createRowReader(families: readonly Family[]): RowReader {
  const byName = new Map(families.map((family) => [family.name, family]))
  return (name) => {
    // With `exposition.names: openmetrics`, the family `prosody_mod_c2s__connections` has two underscores after the name
    // of the module. With `single_underscore`, it has one underscore.
    const family = byName.get(name) ?? byName.get(name.replace('__', '_'))
    return family && toRows(family)
  }
}

function toRows(family: Family): Row[] {
  const width = family.values.length / Math.max(family.length, 1)
  return Array.from(family.order, (row) => ({
    labels: getLabels(family.labels, row),
    value: family.values[row * width]!,
  }))
}

/** Returns the value of a label of a series; `undefined` if the series does not have the label. */
export function findLabel(labels: string, name: string): string | undefined {
  const key = `${name}="`
  // The search for `name="` cannot match inside a label value, because quotes in label values are escaped.
  const at = labels.startsWith(key) ? 0 : labels.indexOf(`,${key}`) + 1
  if (at === 0 && !labels.startsWith(key)) return undefined
  const start = at + key.length
  let end = labels.indexOf('"', start)
  const plain = labels.slice(start, end)
  if (!plain.includes('\\')) return plain
  for (end = start; labels[end] !== '"'; end++) if (labels[end] === '\\') end++
  return labels
    .slice(start, end)
    .replace(/\\(.)/g, (_, sign) => (sign === 'n' ? '\n' : String(sign)))
}

export const addUp = (rows: readonly Row[] | undefined) =>
  rows?.reduce((sum, { value }) => sum + value, 0)

import { escapeControls } from '../escape-controls.js'
import type { Comparison, FamilyComparison } from './compare.js'
import type { ReadResult } from './read-exposition.js'

const MAX_MISSING = 5
const MAX_ADDED = 100
const MAX_WIDTH = 100
const MAX_SHOWN = 300

const UP_NOTE = [
  'With the exporter, `up` only shows that the exporter is reachable.',
  'Alert on `xmpp_up == 0`, or set `web.fail_when_down`.',
]

export type Report = {
  readonly comparison: Comparison
  readonly old: ReadResult
  readonly new: ReadResult
}

/** Renders the comparison for a terminal, with a line for each metric family. */
export function renderReport(report: Report): string {
  const { families, added, repeated } = report.comparison
  const width = Math.max(6, ...listNameWidths(families))
  const lines = [`${'family'.padEnd(width)}  series  changed  missing`]
  for (const family of families) lines.push(...renderFamily(family, width))
  if (added.length > 0) {
    const names = added.slice(0, MAX_ADDED).map(toPrintable).join(', ')
    lines.push('', `Only in the new metrics: ${names}${renderMore(added.length, MAX_ADDED)}`)
  }
  lines.push(...renderUnreadable('old', report.old), ...renderUnreadable('new', report.new))
  for (const side of ['old', 'new'] as const) {
    if (repeated[side] === 0) continue
    lines.push(
      '',
      `Repeated samples in the ${side} metrics: ${repeated[side]}. Only the first sample of a series counts.`,
    )
  }
  lines.push('', renderConclusion(report))
  // If only the new metrics have xmpp_up, the old URL was probably Prosody itself, where `up` showed whether
  // Prosody runs.
  if (added.includes('xmpp_up')) lines.push('', ...UP_NOTE)
  return `${lines.join('\n')}\n`
}

function* listNameWidths(families: readonly FamilyComparison[]): Iterable<number> {
  for (const { name } of families) yield Math.min(MAX_WIDTH, toPrintable(name).length)
}

function renderFamily(
  { name, series, changed, missing }: FamilyComparison,
  width: number,
): string[] {
  const counts = [
    String(series).padStart(6),
    String(changed).padStart(7),
    String(missing.length).padStart(7),
  ]
  const lines = [
    [toPrintable(name).padEnd(width), ...counts].join('  '),
    ...missing.slice(0, MAX_MISSING).map((key) => `    missing: ${toPrintable(key)}`),
  ]
  const more = missing.length - MAX_MISSING
  if (more > 0) lines.push(`    and ${more} more`)
  return lines
}

function renderMore(count: number, shown: number): string {
  return count > shown ? ` and ${count - shown} more` : ''
}

function renderUnreadable(side: 'old' | 'new', { unreadable, examples }: ReadResult): string[] {
  if (unreadable === 0) return []
  return [
    '',
    `Unreadable lines in the ${side} metrics: ${unreadable}`,
    ...examples.map(({ number, line }) => `    line ${number}: ${toPrintable(line)}`),
    ...(unreadable > examples.length ? [`    and ${unreadable - examples.length} more`] : []),
  ]
}

function renderConclusion({ comparison, old, new: now }: Report): string {
  const { families, isComplete } = comparison
  const lost = families.filter(({ missing }) => missing.length > 0).length
  if (!isComplete) {
    return `The new metrics lack series in ${lost} of ${families.length} families.`
  }
  if (old.unreadable + now.unreadable > 0) {
    return 'The comparison is incomplete, because some lines could not be read.'
  }
  return `The new metrics have every series of all ${families.length} families.`
}

/** Formats UTF-8 bytes for a terminal: at most MAX_SHOWN bytes on one line, with control characters escaped. */
export function toPrintable(bytes: string): string {
  const shown = escapeControls(Buffer.from(bytes.slice(0, MAX_SHOWN), 'latin1').toString())
  return bytes.length > MAX_SHOWN ? `${shown}…` : shown
}

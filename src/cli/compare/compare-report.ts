import type { Comparison, FamilyComparison } from './compare.js'
import type { ReadResult } from './read-exposition.js'

const MAX_MISSING = 5
const MAX_ADDED = 100
const MAX_WIDTH = 100
const MAX_SHOWN = 300

const UP_NOTE = [
  'With the exporter, `up` says only that the exporter answers.',
  'Alert on `xmpp_up == 0`, or set `web.fail_when_down`.',
]

export type Report = {
  readonly comparison: Comparison
  readonly old: ReadResult
  readonly new: ReadResult
}

/** The comparison for a terminal, one line a family. */
export function renderReport(report: Report): string {
  const { families, added, repeated } = report.comparison
  const width = Math.max(6, ...listNameWidths(families))
  const lines = [`${'family'.padEnd(width)}  series  moved  missing`]
  for (const family of families) lines.push(...renderFamily(family, width))
  if (added.length > 0) {
    const names = added.slice(0, MAX_ADDED).map(toPrintable).join(', ')
    lines.push('', `only in the new one: ${names}${renderMore(added.length, MAX_ADDED)}`)
  }
  lines.push(...renderUnreadable('old', report.old), ...renderUnreadable('new', report.new))
  for (const side of ['old', 'new'] as const) {
    if (repeated[side] === 0) continue
    lines.push('', `Repeated samples in the ${side} one: ${repeated[side]}. Only the first counts.`)
  }
  lines.push('', renderConclusion(report))
  // The old one is not an exporter's, whose `up` means the same.
  if (added.includes('xmpp_up')) lines.push('', ...UP_NOTE)
  return `${lines.join('\n')}\n`
}

function* listNameWidths(families: readonly FamilyComparison[]): Iterable<number> {
  for (const { name } of families) yield Math.min(MAX_WIDTH, toPrintable(name).length)
}

function renderFamily({ name, series, moved, missing }: FamilyComparison, width: number): string[] {
  const counts = [
    String(series).padStart(6),
    String(moved).padStart(5),
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
    `Unreadable lines in the ${side} one: ${unreadable}`,
    ...examples.map(({ number, line }) => `    line ${number}: ${toPrintable(line)}`),
    ...(unreadable > examples.length ? [`    and ${unreadable - examples.length} more`] : []),
  ]
}

function renderConclusion({ comparison, old, new: now }: Report): string {
  const { families, isComplete } = comparison
  const lost = families.filter(({ missing }) => missing.length > 0).length
  if (!isComplete) {
    return `Of ${lost} of ${families.length} families series are missing in the new one.`
  }
  if (old.unreadable + now.unreadable > 0) {
    return 'The comparison is incomplete: some lines could not be read.'
  }
  return `All ${families.length} families of the old one are in the new one, with every series.`
}

/**
 * Bytes of UTF-8 as a terminal may show them: on one line, without controls, and not too long.
 *
 * A server's text could otherwise move the cursor, or turn the direction of what follows.
 */
export function toPrintable(bytes: string): string {
  const text = Buffer.from(bytes.slice(0, MAX_SHOWN), 'latin1').toString()
  const shown = text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`,
  )
  return bytes.length > MAX_SHOWN ? `${shown}…` : shown
}

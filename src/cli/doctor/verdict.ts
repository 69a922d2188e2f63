import { splitMessage } from '../../errors.js'
import type { Finding } from './findings.js'

/** What the last line of doctor says about one server. */
export type ServerVerdict = {
  readonly state: 'good' | 'noted' | 'partial' | 'broken'
  /** The number of notes, if there are any. */
  readonly notes: number
  /** The most important finding: its cause and its remedy. Empty if all is good. */
  readonly text: string
  /** The number of series, if the statistics work. */
  readonly series: number | undefined
}

/** Decides about one server. The first failure, or else the first note, is the most important finding. */
export function judge(findings: readonly Finding[], series: number | undefined): ServerVerdict {
  const failure = findings.find(({ result }) => result === 'failed')
  const notes = findings.filter(({ result, weight }) => result === 'note' && weight === undefined)
  const [note] = notes
  if (!failure) {
    const state = note ? 'noted' : 'good'
    return { state, notes: notes.length, text: note?.text ?? '', series }
  }
  // With statistics, the failure is that of one collector.
  if (series === undefined)
    return { state: 'broken', notes: notes.length, text: failure.text, series }
  const text = `${failure.step}: ${failure.text}`
  return { state: 'partial', notes: notes.length, text, series }
}

const countSeries = ({ series }: ServerVerdict) =>
  series === undefined ? '' : `: ${series} series`

/** Formats the verdict about one server, for example `All good: 36 series.`. */
export function formatVerdict(verdict: ServerVerdict): string {
  const { state, notes, text } = verdict
  switch (state) {
    case 'good':
      return `All good${countSeries(verdict)}.`
    case 'noted':
      return `Working, with ${notes === 1 ? 'one note' : `${notes} notes`}: ${text}`
    case 'partial':
      return `Partly working: ${text}`
    case 'broken':
      return `Not working: ${text}`
  }
}

const SEVERITY: readonly ServerVerdict['state'][] = ['broken', 'partial', 'noted']

/** Sums up the verdicts about several servers. The line names the first of the servers with the most severe problem. */
export function sumUp(verdicts: ReadonlyMap<string, ServerVerdict>): string {
  const all = [...verdicts]
  const state = SEVERITY.find((state) => all.some(([, verdict]) => verdict.state === state))
  if (state === undefined) {
    const series = all.reduce((sum, [, verdict]) => sum + (verdict.series ?? 0), 0)
    return `All good: ${all.length} servers with ${series} series.`
  }
  const affected = all.filter(([, verdict]) => verdict.state === state)
  const [name, { text }] = affected[0]!
  const count = `${affected.length} of ${all.length} servers`
  const starts = {
    broken: `Not working: ${count}`,
    partial: `Partly working: ${count}`,
    noted: `Working, with notes on ${count}`,
  }
  return `${starts[state as keyof typeof starts]}. ${name}: ${splitMessage(text).cause}`
}

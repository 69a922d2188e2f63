/** What a benchmark says: one line for each figure, a ratio against a named peer of the same run. */

import { readdirSync, readFileSync } from 'node:fs'
import process from 'node:process'

export type Figure = {
  /** What was measured, on what: `Prosody 0.12.3, 10,000 series: CPU for one collection`. */
  readonly what: string
  /** Ours against theirs: `1/25`, `17 times`. */
  readonly ratio: string
  readonly ours: string
  /** With the peer's name, where it is not in `what`. */
  readonly theirs: string
}

/** Tenth percentile, median, ninetieth percentile. */
export type Spread = { readonly low: number; readonly median: number; readonly high: number }

const markdown = process.argv.includes('--markdown')

/** What was given on the command line but options. */
export const parameters = process.argv.slice(2).filter((arg) => !arg.startsWith('-'))

/** Prints a figure, as a row of a table with `--markdown`. */
export function report({ what, ratio, ours, theirs }: Figure): void {
  console.log(
    markdown
      ? `| ${what} | ${ratio} | ${ours} | ${theirs} |`
      : `${what}: ${ratio} (${ours} against ${theirs})`,
  )
}

/** What a reader should know of the figures that follow. */
export function note(text: string): void {
  if (!markdown) console.log(`# ${text}`)
}

export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.round((sorted.length - 1) * share)]!
  return { low: at(0.1), median: at(0.5), high: at(0.9) }
}

const short = (value: number) =>
  value === Infinity ? '∞' : Math.abs(value) >= 1000 ? value.toFixed(0) : value.toPrecision(3)

/** `12.3 ms (11.9 … 14.0)` */
export function shown({ low, median, high }: Spread, unit: string): string {
  return `${short(median)} ${unit} (${short(low)} … ${short(high)})`
}

/** The part that ours is of theirs: `1/25`. Of medians. */
export function partOf(ours: Spread, theirs: Spread): string {
  const factor = theirs.median / ours.median
  if (factor === Infinity) return 'theirs has no end'
  return factor >= 1 ? `1/${factor.toFixed(factor >= 10 ? 0 : 1)}` : (1 / factor).toFixed(2)
}

/** How often ours is theirs: `1.08 times`. Of medians. */
export function timesOf(ours: Spread, theirs: Spread): string {
  const factor = ours.median / theirs.median
  return `${factor >= 10 ? factor.toFixed(0) : factor.toPrecision(3)} times`
}

/**
 * Milliseconds of CPU that all threads of a process have used, to the nanosecond; what a thread that
 * has ended used is lost.
 *
 * @see proc(5), schedstat
 */
export const cpuMs = (pid: number) => schedstat(pid, 0)

/** Milliseconds that its threads could have run and had no processor. */
export const delayMs = (pid: number) => schedstat(pid, 1)

function schedstat(pid: number, column: number): number {
  return readdirSync(`/proc/${pid}/task`)
    .map((task) => readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[column])
    .reduce((sum, ns) => sum + Number(ns) / 1e6, 0)
}

/**
 * Prints the results of the benchmarks. A result is one line, usually with the ratio of two medians: of the exporter,
 * and of the program with which the benchmark compares it (the peer).
 */

import { readdirSync, readFileSync } from 'node:fs'
import process from 'node:process'

export type Measurement = {
  /** The set-up and the measured quantity: `Prosody 0.12.3, 10,000 series: CPU for one collection`. */
  readonly what: string
  /** The exporter's value divided by the peer's, as text: `1/25`, `17 times`. */
  readonly ratio: string
  readonly exporter: string
  /** The peer's value as text. The text includes the name of the peer if `what` does not name it. */
  readonly peer: string
}

/** The 10th percentile, the median and the 90th percentile of the measured values. */
export type Spread = { readonly low: number; readonly median: number; readonly high: number }

const markdown = process.argv.includes('--markdown')

/** The arguments of the command line that do not start with `-`. */
export const parameters = process.argv.slice(2).filter((arg) => !arg.startsWith('-'))

/** Prints a measurement. With `--markdown` on the command line, it is a row of a table. */
export function report({ what, ratio, exporter, peer }: Measurement): void {
  console.log(
    markdown
      ? `| ${what} | ${ratio} | ${exporter} | ${peer} |`
      : `${what}: ${ratio} (${exporter} against ${peer})`,
  )
}

/** Prints a remark about the measurements. With `--markdown` on the command line, prints nothing. */
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

/** Formats a spread as median and percentiles: `12.3 ms (11.9 … 14.0)`. */
export function shown({ low, median, high }: Spread, unit: string): string {
  return `${short(median)} ${unit} (${short(low)} … ${short(high)})`
}

/** Formats the median of the exporter as a fraction of the median of the peer: `1/25`. */
export function partOf(exporter: Spread, peer: Spread): string {
  const factor = peer.median / exporter.median
  if (factor === Infinity) return 'the peer did not finish'
  return factor >= 1 ? `1/${factor.toFixed(factor >= 10 ? 0 : 1)}` : (1 / factor).toFixed(2)
}

/** Formats the median of the exporter as a multiple of the median of the peer: `1.08 times`. */
export function timesOf(exporter: Spread, peer: Spread): string {
  const factor = exporter.median / peer.median
  return `${factor >= 10 ? factor.toFixed(0) : factor.toPrecision(3)} times`
}

/**
 * Milliseconds of CPU time that the current threads of a process have used, with nanosecond precision.
 * The sum does not include the CPU time of threads that have ended.
 *
 * @see proc(5), schedstat
 */
export const cpuMs = (pid: number) => schedstat(pid, 0)

/** Milliseconds for which the threads of a process were ready to run but waited for a CPU. */
export const delayMs = (pid: number) => schedstat(pid, 1)

/** Returns the peak resident memory of a process in megabytes. */
export function peakMB(pid: number): number {
  const [, kB] = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))!
  return Number(kB) / 1024
}

function schedstat(pid: number, column: number): number {
  return readdirSync(`/proc/${pid}/task`)
    .map((task) => readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[column])
    .reduce((sum, ns) => sum + Number(ns) / 1e6, 0)
}

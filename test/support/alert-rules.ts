/** The alert rules of deploy/prometheus with shorter times, and faults that last until a test ends them. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { root } from './setup/process.js'

/** Returns the alert rules. All their times are divided by `times`: `for`, the ranges and offsets, and hours of uptime. */
export function shortenRules(times: number): string {
  const units: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 }
  const short = (number: string, unit: string) =>
    `${Math.round((Number(number) * units[unit]!) / times)}ms`
  return readFileSync(join(root, 'deploy/prometheus/rules.yml'), 'utf8')
    .replace(
      /( for: )(\d+)([mh])$/gm,
      (_, start: string, n: string, u: string) => start + short(n, u),
    )
    .replace(/\[(\d+)([mhd])\]/g, (_, n: string, u: string) => `[${short(n, u)}]`)
    .replace(/ offset (\d+)([hd])/g, (_, n: string, u: string) => ` offset ${short(n, u)}`)
    .replace(/(\d+) \* 3600/g, (_, hours: string) => String((Number(hours) * 3600) / times))
}

/** Repeats an action until the test ends or the returned function is called. */
export function repeat(t: TestContext, everyMs: number, act: () => Promise<unknown>) {
  const stopping = new AbortController()
  const loop = (async () => {
    while (!stopping.signal.aborted) {
      await act().catch(() => undefined)
      await sleep(everyMs, undefined, stopping).catch(() => undefined)
    }
  })()
  const stop = async () => {
    stopping.abort()
    await loop
  }
  t.after(stop)
  return stop
}

/**
 * Prometheus computes the phase at which it scrapes a target from the labels of the target
 * (scrape/target.go, `offset`). The benchmark needs the worst phases. So a scout Prometheus scrapes each target
 * under many job names for a moment, and the benchmark uses the names with the worst phases.
 */

import type { TestContext } from 'node:test'
import { until } from '../test/support/setup/process.js'
import { withPrometheus, type Job } from '../test/support/prometheus.js'

/**
 * One target and the intervals of its scrapers. Each scraper shall scrape `LATE_MS` after the previous one.
 */
export type Meeting = {
  readonly name: string
  readonly target: string
  readonly intervalsMs: readonly number[]
}

// With more names, the scout itself would be late.
const NAMES = 20
const LATE_MS = 40

/** The job for Prometheus that scrapes a target at this interval, under this name. */
export const jobOf = (
  { name, target }: { readonly name: string; readonly target: string },
  intervalMs: number,
  timeoutMs: number,
): Job => ({
  name,
  target,
  extra: [`scrape_interval: ${intervalMs}ms`, `scrape_timeout: ${timeoutMs}ms`],
})

/** Finds job names with the wanted phases: for each meeting one name per interval, in the same order. */
export async function namesThatMeet(
  meetings: readonly Meeting[],
  timeoutMs: number,
): Promise<Map<Meeting, string[]>> {
  const cleanup: (() => unknown)[] = []
  const t: Pick<TestContext, 'after'> = { after: (f) => cleanup.unshift(f as () => unknown) }
  try {
    const candidates = (meeting: Meeting, intervalMs: number) =>
      Array.from({ length: NAMES }, (_, i) => `${meeting.name}-${intervalMs}-${i}`)
    const jobs = meetings.flatMap((meeting) =>
      meeting.intervalsMs.flatMap((intervalMs) =>
        candidates(meeting, intervalMs).map((name) =>
          jobOf({ name, target: meeting.target }, intervalMs, timeoutMs),
        ),
      ),
    )
    const scout = await withPrometheus(t, { major: '3', jobs })
    const seen = await until(
      async () => {
        const history = await scout.history('up')
        return history.length === jobs.length && history
      },
      { what: 'each job was scraped', timeoutMs: 60_000, everyMs: 500 },
    )
    const at = new Map(seen.map(({ labels, samples }) => [labels['job'], samples.at(-1)!.at]))
    return new Map(
      meetings.map((meeting) => {
        const choices = meeting.intervalsMs.map((intervalMs) =>
          candidates(meeting, intervalMs).map((name) => ({ name, atMs: at.get(name)! * 1000 })),
        )
        return [meeting, chooseNames(choices, meeting.intervalsMs)]
      }),
    )
  } finally {
    for (const f of cleanup) await f()
  }
}

type Choice = { readonly name: string; readonly atMs: number }

/** The shortest time from a scrape of `first` to the next scrape of `then`, in milliseconds. */
export function latenessMs(
  first: { atMs: number; intervalMs: number },
  then: { atMs: number; intervalMs: number },
): number {
  const common = greatestCommonDivisor(first.intervalMs, then.intervalMs)
  return (((then.atMs - first.atMs) % common) + common) % common
}

const greatestCommonDivisor = (a: number, b: number): number =>
  b === 0 ? a : greatestCommonDivisor(b, a % b)

/**
 * Chooses one name for each interval, in pairs from the last interval to the first. So the most frequent
 * scrapers, which are last, come closest to `LATE_MS`.
 */
function chooseNames(
  choices: readonly (readonly Choice[])[],
  intervalsMs: readonly number[],
): string[] {
  const missMs = (then: Choice, first: Choice, i: number) =>
    Math.abs(
      LATE_MS -
        latenessMs(
          { atMs: first.atMs, intervalMs: intervalsMs[i - 1]! },
          { atMs: then.atMs, intervalMs: intervalsMs[i]! },
        ),
    )
  const last = choices.length - 1
  const pairs = choices[last]!.flatMap((then) =>
    choices[last - 1]!.map((first) => ({ first, then, by: missMs(then, first, last) })),
  )
  const pair = pairs.reduce((a, b) => (b.by < a.by ? b : a))
  const chosen = [pair.first, pair.then]
  for (let i = last - 1; i > 0; i--) {
    const then = chosen[0]!
    chosen.unshift(
      choices[i - 1]!.reduce((a, b) => (missMs(then, b, i) < missMs(then, a, i) ? b : a)),
    )
  }
  return chosen.map(({ name }) => name)
}

/**
 * Finds job names with which Prometheus scrapes a target at the times that bench/rates.ts needs: each scraper 40 ms
 * after another. Prometheus derives the time within the scrape interval from the labels of the target
 * (scrape/target.go, `offset`), including the job name. So a separate Prometheus, the scout, first scrapes each
 * target under many job names. The benchmark then uses the names with the best times.
 */

import type { TestContext } from 'node:test'
import { until } from '../test/support/setup/process.js'
import { withPrometheus, type Job } from '../test/support/prometheus.js'

/** A target, and the intervals of its scrapers. Each scraper shall scrape 40 ms after the previous scraper. */
export type Meeting = {
  readonly name: string
  readonly target: string
  readonly intervalsMs: readonly number[]
}

// With more job names, the scout Prometheus would send its scrapes late, so their times would be wrong.
const NAMES = 20
const LATE_MS = 40

/** Returns the Prometheus job that scrapes the target at the given interval, under the name of the target. */
export const jobOf = (
  { name, target }: { readonly name: string; readonly target: string },
  intervalMs: number,
  timeoutMs: number,
): Job => ({
  name,
  target,
  extra: [`scrape_interval: ${intervalMs}ms`, `scrape_timeout: ${timeoutMs}ms`],
})

/**
 * Finds job names with which the scrapers of each target follow each other by 40 ms. Returns, for each target, one
 * name for each of its intervals, in the order of the intervals.
 */
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
 * Chooses one job name for each interval, from the last interval to the first. So the delay between the two most
 * frequent scrapers, which are the last two, comes closest to 40 ms.
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

/**
 * Prometheus scrapes a target at a phase of its interval that it computes from the target's labels
 * (scrape/target.go, `offset`). A measurement needs the phases that are worst, so names are tried
 * until their phases are those: a scout scrapes each target under many job names for a moment.
 */

import type { TestContext } from 'node:test'
import { until } from '../test/support/setup/process.js'
import { withPrometheus, type Job } from '../test/support/prometheus.js'

/** One target and the intervals of those who scrape it, each to come `LATE_MS` after the one before. */
export type Meeting = {
  readonly name: string
  readonly target: string
  readonly intervalsMs: readonly number[]
}

// More would make the scout late itself.
const NAMES = 20
const LATE_MS = 40

/** The job to scrape a target with at that interval, under one of its names. */
export const jobOf = (
  { name, target }: { readonly name: string; readonly target: string },
  intervalMs: number,
  timeoutMs: number,
): Job => ({
  name,
  target,
  extra: [`scrape_interval: ${intervalMs}ms`, `scrape_timeout: ${timeoutMs}ms`],
})

/** For each meeting the names of its jobs, in the order of its intervals. */
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
        return [meeting, best(choices, meeting.intervalsMs)]
      }),
    )
  } finally {
    for (const f of cleanup) await f()
  }
}

type Choice = { readonly name: string; readonly atMs: number }

/** Milliseconds from a scrape of one to the other's next, where that is least. */
export function latenessMs(
  first: { atMs: number; intervalMs: number },
  then: { atMs: number; intervalMs: number },
): number {
  const common = divisor(first.intervalMs, then.intervalMs)
  return (((then.atMs - first.atMs) % common) + common) % common
}

const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b))

/** One choice of each, by pairs from the last: the most frequent scrapers meet best. */
function best(choices: readonly (readonly Choice[])[], intervalsMs: readonly number[]): string[] {
  const missBy = (then: Choice, first: Choice, i: number) =>
    Math.abs(
      LATE_MS -
        latenessMs(
          { atMs: first.atMs, intervalMs: intervalsMs[i - 1]! },
          { atMs: then.atMs, intervalMs: intervalsMs[i]! },
        ),
    )
  const last = choices.length - 1
  const pairs = choices[last]!.flatMap((then) =>
    choices[last - 1]!.map((first) => ({ first, then, by: missBy(then, first, last) })),
  )
  const pair = pairs.reduce((a, b) => (b.by < a.by ? b : a))
  const chosen = [pair.first, pair.then]
  for (let i = last - 1; i > 0; i--) {
    const then = chosen[0]!
    chosen.unshift(
      choices[i - 1]!.reduce((a, b) => (missBy(then, b, i) < missBy(then, a, i) ? b : a)),
    )
  }
  return chosen.map(({ name }) => name)
}

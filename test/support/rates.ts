/** What the counters of mod_test_rates should be, and what Prometheus makes of them. */

import { until } from './setup/process.js'
import type { History, RunningPrometheus } from './prometheus.js'
import type { TestProsody } from './prosody.js'

export type Sample = History['samples'][number]

/** One life of a Prosody that counted by itself, when it has ended and the next has begun. */
export type Ended = {
  /** How far it came. */
  readonly inAll: number
  /** Samples from then on, in seconds, are the next one's. */
  readonly at: number
}

/**
 * Ends a Prosody with mod_test_rates and starts it again, to count from `initial`.
 *
 * @param pause What to do between the two: at least to wait for `collection.min_age`, because that
 *   long what it said last is served on.
 */
export async function restartCounting(
  prosody: TestProsody,
  initial: number,
  pause: () => Promise<unknown>,
): Promise<Ended> {
  const before = prosody.server()
  await prosody.stop()
  const [, inAll] = /counted (\d+) in all/.exec(before.log()) ?? []
  if (inAll === undefined) throw new Error(`nothing was counted: ${before.log().slice(-1000)}`)
  await pause()
  const at = Date.now() / 1000
  await prosody.restart({ globals: { test_rates_initial: String(initial) } })
  return { inAll: Number(inAll), at }
}

/** The samples of a series from a moment on (in seconds), when there are at least so many. */
export async function untilSeen(
  server: RunningPrometheus,
  selector: string,
  { since, count }: { since: number; count: number },
): Promise<Sample[]> {
  return await until(
    async () => {
      const samples = (await server.history(selector))[0]?.samples ?? []
      const seen = samples.filter(({ at }) => at > since)
      return seen.length >= count && seen
    },
    { what: `${count} samples of ${selector}`, everyMs: 250 },
  )
}

export type Across = {
  /** What Prometheus says, from the first sample to the last. */
  readonly increase: number
  /** What was counted from the first sample to the last, whoever saw it. */
  readonly truth: number
  /** What was counted after the last scrape before the end: nobody can know of it. */
  readonly lost: number
}

/** increase() of a counter over samples, the first of them the ended life's, the last the next one's. */
export async function increaseAcross(
  server: RunningPrometheus,
  selector: string,
  ended: Ended,
  samples: readonly Sample[],
): Promise<Across> {
  const first = samples[0]!
  const last = samples.at(-1)!
  const lastSeen = samples.filter(({ at }) => at < ended.at).at(-1)!
  // With a sample at each end there is nothing to extrapolate but this millisecond, without which
  // Prometheus 3 leaves the first one out.
  const windowMs = Math.round((last.at - first.at) * 1000) + 1
  const query = `increase(${selector}[${windowMs}ms] @ ${last.at.toFixed(3)})`
  const [answer] = await server.query(query)
  return {
    increase: answer!.value,
    truth: ended.inAll - first.value + last.value,
    lost: ended.inAll - lastSeen.value,
  }
}

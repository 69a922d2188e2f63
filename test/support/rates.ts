/** The expected increase of counters of mod_test_rates over a restart, and the increase() of Prometheus. */

import { until } from './setup/process.js'
import type { History, RunningPrometheus } from './prometheus.js'
import type { TestProsody } from './prosody.js'

export type Sample = History['samples'][number]

/** A stopped instance of Prosody with mod_test_rates, after the next one has started. */
export type Ended = {
  /** The final value of its counter. */
  readonly total: number
  /** When the next instance started, in seconds; later samples belong to it. */
  readonly at: number
}

/**
 * Restarts a Prosody with mod_test_rates; the new instance counts from `initial`.
 *
 * @param pause What to do between stop and start. It must wait at least for `collection.min_age`, because the
 *   exporter serves the last snapshot for that long.
 */
export async function restartCounting(
  prosody: TestProsody,
  initial: number,
  pause: () => Promise<unknown>,
): Promise<Ended> {
  const before = prosody.server()
  await prosody.stop()
  const [, total] = /counted (\d+) in all/.exec(before.log()) ?? []
  if (total === undefined) throw new Error(`nothing was counted: ${before.log().slice(-1000)}`)
  await pause()
  const at = Date.now() / 1000
  await prosody.restart({ globals: { test_rates_initial: String(initial) } })
  return { total: Number(total), at }
}

/** Waits for at least `count` samples of a series after `since` (in seconds), and returns them. */
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
  /** The result of increase() from the first sample to the last. */
  readonly increase: number
  /** The number of counted events from the first sample to the last. */
  readonly truth: number
  /** The events after the last scrape of the stopped instance, which Prometheus cannot know. */
  readonly lost: number
}

/** increase() of a counter over samples from before and after a restart. */
export async function increaseAcross(
  server: RunningPrometheus,
  selector: string,
  ended: Ended,
  samples: readonly Sample[],
): Promise<Across> {
  const first = samples[0]!
  const last = samples.at(-1)!
  const lastSeen = samples.filter(({ at }) => at < ended.at).at(-1)!
  // With a sample at each end of the range, Prometheus extrapolates only this millisecond. Without it,
  // Prometheus 3 would exclude the first sample.
  const windowMs = Math.round((last.at - first.at) * 1000) + 1
  const query = `increase(${selector}[${windowMs}ms] @ ${last.at.toFixed(3)})`
  const [answer] = await server.query(query)
  return {
    increase: answer!.value,
    truth: ended.total - first.value + last.value,
    lost: ended.total - lastSeen.value,
  }
}

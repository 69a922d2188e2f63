/**
 * Compares the increase() that Prometheus calculates for a counter of mod_test_rates over a restart of Prosody with
 * the true increase.
 */

import { until } from './setup/process.js'
import type { History, RunningPrometheus } from './prometheus.js'
import type { TestProsody } from './prosody.js'

export type Sample = History['samples'][number]

/** What a test knows about a stopped Prosody with mod_test_rates, after the next Prosody has started. */
export type Ended = {
  /** The final value of the counter test_rates_counted in the stopped Prosody. */
  readonly total: number
  /**
   * The time in seconds at which the next Prosody was started. Samples after this time come from the next Prosody.
   */
  readonly at: number
}

/**
 * Restarts a Prosody with mod_test_rates. The counters of the new process start at `initial`.
 *
 * @param pause What the test does while Prosody is stopped. It must wait at least for `collection.min_age`, because the
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
  if (total === undefined)
    throw new Error(
      `the log of Prosody has no final value of test_rates_counted: ${before.log().slice(-1000)}`,
    )
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
  /** The result of Prometheus's increase() from the first sample of the counter to the last. */
  readonly increase: number
  /** The number of events that Prosody really counted from the first sample to the last. */
  readonly truth: number
  /** The number of events that Prosody counted between the last scrape and its stop. Prometheus cannot know them. */
  readonly lost: number
}

/** Queries Prometheus for the increase() of a counter over samples from before and after a restart of Prosody. */
export async function increaseAcross(
  server: RunningPrometheus,
  selector: string,
  ended: Ended,
  samples: readonly Sample[],
): Promise<Across> {
  const first = samples[0]!
  const last = samples.at(-1)!
  const lastSeen = samples.filter(({ at }) => at < ended.at).at(-1)!
  // The range begins one millisecond before the first sample, because Prometheus 3 excludes a sample at the beginning
  // of a range. With samples at both ends, increase() extrapolates by that millisecond only.
  const windowMs = Math.round((last.at - first.at) * 1000) + 1
  const query = `increase(${selector}[${windowMs}ms] @ ${last.at.toFixed(3)})`
  const [answer] = await server.query(query)
  return {
    increase: answer!.value,
    truth: ended.total - first.value + last.value,
    lost: ended.total - lastSeen.value,
  }
}

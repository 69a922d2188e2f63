import { LinkError, TimeoutError } from '../errors.js'

// A host that did not answer a scrape counts as recovered if it answers a background query within 3 seconds.
const PROMPT_MS = 3000
// The time-out of a background query. If the whole server hangs for longer, the exporter ends the stream. On the next
// stream, it queries all hosts again.
const BACKGROUND_TIMEOUT_MS = 10_000
const PAUSE_MS = 60_000

/** Reads one host. The function `left` returns the milliseconds until the time-out. */
export type ReadHost<T> = (left: () => number) => Promise<T>

/**
 * Ensures that a host that does not answer delays only one scrape. After a time-out, the exporter queries the host in
 * the background, at most once per minute. Scrapes query it again when it answers within 3 seconds, or when a new
 * stream starts.
 */
export function createSilentHosts(connects: () => number, now: () => number) {
  /**
   * The hosts that did not answer. For each host, `untilMs` is the time of its next background query, and `connects` is
   * the number of the stream on which the host did not answer.
   */
  const silent = new Map<string, { readonly connects: number; readonly untilMs: number }>()

  function pauseUntil(jid: string, untilMs: number): void {
    silent.set(jid, { connects: connects(), untilMs })
  }

  async function queryInBackground(jid: string, read: ReadHost<unknown>): Promise<void> {
    pauseUntil(jid, Infinity)
    // If the first answer takes too long, the host gets a second query, because the whole server may have hung.
    for (let tries = 0; tries < 2; tries++) {
      const startedAt = now()
      const error: unknown = await read(timeLeft(now, BACKGROUND_TIMEOUT_MS)).then(
        () => undefined,
        (reason: unknown) => reason,
      )
      if (error instanceof LinkError) return
      if (error instanceof TimeoutError) break
      if (now() - startedAt < PROMPT_MS) {
        silent.delete(jid)
        return
      }
    }
    pauseUntil(jid, now() + PAUSE_MS)
  }

  return {
    /**
     * Reads one host, unless the host did not answer on this stream before.
     *
     * @param left Returns the milliseconds until the time-out, or throws TimeoutError after it.
     * @throws {TimeoutError} The host does not answer, or an earlier query of the host timed out.
     * @throws The errors of `read`.
     */
    async read<T>(jid: string, left: () => number, read: ReadHost<T>): Promise<T> {
      const known = silent.get(jid)
      if (known?.connects === connects()) {
        if (now() >= known.untilMs) void queryInBackground(jid, read)
        throw new TimeoutError(
          `${jid} did not answer an earlier request. The exporter tries again once per minute.`,
        )
      }
      try {
        return await read(left)
      } catch (error) {
        if (error instanceof TimeoutError) void queryInBackground(jid, read)
        throw error
      }
    },
  }
}

/**
 * Starts a time-out. Until it ends, the returned function returns the remaining milliseconds. Then it throws
 * TimeoutError.
 */
export function timeLeft(now: () => number, ms: number): () => number {
  const deadline = now() + ms
  return () => {
    const left = deadline - now()
    if (left > 0) return left
    throw new TimeoutError(
      `the hosts did not answer all requests of the collector within ${Math.round(ms)} ms`,
    )
  }
}

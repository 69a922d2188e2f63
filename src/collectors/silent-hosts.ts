import { LinkError, TimeoutError } from '../errors.js'

// A host that was silent counts as recovered if it answers within this time.
const PROMPT_MS = 3000
// If the whole server hangs for longer, the exporter ends the stream, and queries all hosts on the next one.
const BACKGROUND_TIMEOUT_MS = 10_000
const PAUSE_MS = 60_000

/** Reads one host. `left` returns the milliseconds until the time-out. */
export type ReadHost<T> = (left: () => number) => Promise<T>

/**
 * Prevents a silent host from delaying every scrape. After a time-out, the host is queried only in the background,
 * once per minute, until it answers in time. A new stream clears all of this.
 */
export function createSilentHosts(connects: () => number, now: () => number) {
  /** The silent hosts, each with the time of its next query and the stream on which it was silent. */
  const silent = new Map<string, { readonly connects: number; readonly untilMs: number }>()

  function pauseUntil(jid: string, untilMs: number): void {
    silent.set(jid, { connects: connects(), untilMs })
  }

  async function queryInBackground(jid: string, read: ReadHost<unknown>): Promise<void> {
    pauseUntil(jid, Infinity)
    // Twice, because the whole server may have hung during the first query.
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
     * @param left Throws TimeoutError after the time-out.
     * @throws {TimeoutError} The host does not answer, or did not answer before and is paused.
     */
    async read<T>(jid: string, left: () => number, read: ReadHost<T>): Promise<T> {
      const known = silent.get(jid)
      if (known?.connects === connects()) {
        if (now() >= known.untilMs) void queryInBackground(jid, read)
        throw new TimeoutError(
          `${jid} did not answer. The exporter queries it again once per minute.`,
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

/** Starts a time-out. The returned function returns the milliseconds that are left, or throws TimeoutError. */
export function timeLeft(now: () => number, ms: number): () => number {
  const deadline = now() + ms
  return () => {
    const left = deadline - now()
    if (left > 0) return left
    throw new TimeoutError(`not finished within ${Math.round(ms)} ms`)
  }
}

import { LinkError, TimeoutError } from '../errors.js'

// Longer than that a host is not waited for once it was found silent or slow.
const PROMPT_MS = 3000
// A server that hangs for longer than that loses its stream, and on the next one all is tried again.
const PATIENCE_MS = 10_000
const PAUSE_MS = 60_000

/** Reads one host, with a function for the milliseconds that are left. */
export type ReadHost<T> = (left: () => number) => Promise<T>

/**
 * Keeps a host that does not answer from making every scrape late: after one time-out it is asked in
 * the background only, once a minute, until it answers promptly. Another stream begins from nothing.
 */
export function createSilentHosts(connects: () => number, now: () => number) {
  const silent = new Map<string, { readonly connects: number; readonly untilMs: number }>()

  function leave(jid: string, untilMs: number): void {
    silent.set(jid, { connects: connects(), untilMs })
  }

  async function askInBackground(jid: string, read: ReadHost<unknown>): Promise<void> {
    leave(jid, Infinity)
    // Twice: the first may have waited for a server that hung, and not for this host.
    for (let tries = 0; tries < 2; tries++) {
      const startedAt = now()
      const error: unknown = await read(timeLeft(now, PATIENCE_MS)).then(
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
    leave(jid, now() + PAUSE_MS)
  }

  return {
    /**
     * @param left Throws TimeoutError when the time is up.
     * @throws {TimeoutError} It did not answer, now or before.
     */
    async read<T>(jid: string, left: () => number, read: ReadHost<T>): Promise<T> {
      const known = silent.get(jid)
      if (known?.connects === connects()) {
        if (now() >= known.untilMs) void askInBackground(jid, read)
        throw new TimeoutError(`${jid} did not answer; it is asked again once a minute`)
      }
      try {
        return await read(left)
      } catch (error) {
        if (error instanceof TimeoutError) void askInBackground(jid, read)
        throw error
      }
    },
  }
}

/** Milliseconds that are left of so many from now on; throws TimeoutError when there are none. */
export function timeLeft(now: () => number, ms: number): () => number {
  const deadline = now() + ms
  return () => {
    const left = deadline - now()
    if (left > 0) return left
    throw new TimeoutError(`no end within ${Math.round(ms)} ms`)
  }
}

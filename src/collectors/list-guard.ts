import { LinkError, TimeoutError } from '../errors.js'
import { CollectorError } from './failure.js'

// About 500 KB. Over 4 MiB Prosody 13.0 cuts the reply, and the stream is dead.
const MAX_ITEMS = 5000
const WAIT_MS = 3_600_000
// Once may be a restart of the server.
const MAX_LOST = 2

type Known = { lost: number; why?: string; untilMs: number }

/**
 * Stands before lists that the server does not cut: one that was very long, or that was the end of
 * the stream time and again, is not asked for again for an hour.
 */
export function createListGuard(what: string, now: () => number = () => performance.now()) {
  const known = new Map<string, Known>()
  return {
    /** The list's items by `ask`. */
    async read<T extends { readonly items: number }>(jid: string, ask: () => Promise<T>) {
      const { lost = 0, why, untilMs = 0 } = known.get(jid) ?? {}
      if (why !== undefined && now() < untilMs) {
        throw new CollectorError('too_many', `${jid} ${why}; next try within the hour`)
      }
      const wait = (why: string) => {
        known.set(jid, { lost: 0, why, untilMs: now() + WAIT_MS })
      }
      try {
        const list = await ask()
        if (list.items > MAX_ITEMS) {
          wait(`listed ${list.items} ${what}, and ${MAX_ITEMS} is the most that is asked for`)
        } else known.delete(jid)
        return list
      } catch (error) {
        if (!(error instanceof LinkError || error instanceof TimeoutError)) known.delete(jid)
        else if (lost + 1 < MAX_LOST) known.set(jid, { lost: lost + 1, untilMs: 0 })
        else wait(`did not tell its ${what}, ${MAX_LOST} times in a row; the list may be too long`)
        throw error
      }
    },
  }
}

import { CollectorError } from './failure.js'

// About 500 KB. Over 4 MiB Prosody 13.0 cuts the reply, and the stream is dead.
const MAX_ITEMS = 5000
const WAIT_MS = 3_600_000

/** Remembers which host's list was so long that it is better not asked for again, for an hour. */
export function createListGuard(what: string, now: () => number = () => performance.now()) {
  const tooLong = new Map<string, { items: number; untilMs: number }>()
  return {
    check(jid: string): void {
      const found = tooLong.get(jid)
      if (!found || now() >= found.untilMs) return
      throw new CollectorError(
        'too_many',
        `${jid} listed ${found.items} ${what}, and ${MAX_ITEMS} is the most that is asked for; next try within the hour`,
      )
    },
    remember(jid: string, items: number): void {
      if (items > MAX_ITEMS) tooLong.set(jid, { items, untilMs: now() + WAIT_MS })
      else tooLong.delete(jid)
    },
  }
}

import { LinkError, TimeoutError } from '../errors.js'
import { CollectorError } from './failure.js'

// A reply with 5000 items has about 500 KB. That is far below the 4 MiB at which Prosody 13.0 cuts off a reply. After
// such a cut, the stream is useless.
const MAX_ITEMS = 5000
const WAIT_MS = 3_600_000
// The guard blocks a list after two lost replies in a row, because a restart of the server can cause a single loss.
const MAX_LOST = 2

type Known = { lost: number; why?: string; untilMs: number }

/**
 * Protects the server and the stream from requests for very long lists. If the list of a host has more than 5000 items,
 * or if two requests for it in a row end with a lost stream or a time-out, the list is not requested again for an hour.
 *
 * @param what A plural noun for the items of the list in error messages, for example `rooms`.
 */
export function createListGuard(what: string, now: () => number = () => performance.now()) {
  const known = new Map<string, Known>()
  return {
    /**
     * Calls `ask` to request the list of a host. The result of `ask` has the number of items in the list.
     *
     * @throws {CollectorError} The list is blocked for an hour, so `ask` was not called.
     * @throws The error of `ask`.
     */
    async read<T extends { readonly items: number }>(jid: string, ask: () => Promise<T>) {
      const { lost = 0, why, untilMs = 0 } = known.get(jid) ?? {}
      if (why !== undefined && now() < untilMs) {
        throw new CollectorError(
          'too_many',
          `${jid} ${why}. The exporter requests the list again within an hour.`,
        )
      }
      const block = (why: string) => {
        known.set(jid, { lost: 0, why, untilMs: now() + WAIT_MS })
      }
      try {
        const list = await ask()
        if (list.items > MAX_ITEMS) {
          block(`listed ${list.items} ${what}, more than the maximum of ${MAX_ITEMS}`)
        } else known.delete(jid)
        return list
      } catch (error) {
        if (!(error instanceof LinkError || error instanceof TimeoutError)) known.delete(jid)
        else if (lost + 1 < MAX_LOST) known.set(jid, { lost: lost + 1, untilMs: 0 })
        else
          block(`did not return its ${what}, ${MAX_LOST} times in a row; the list may be too long`)
        throw error
      }
    },
  }
}

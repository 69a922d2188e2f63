import { LinkError, TimeoutError } from '../errors.js'
import { CollectorError } from './failure.js'

// About 500 KB. Prosody 13.0 cuts a reply at 4 MiB, which makes the stream useless.
const MAX_ITEMS = 5000
const WAIT_MS = 3_600_000
// A single loss can be a restart of the server.
const MAX_LOST = 2

type Known = { lost: number; why?: string; untilMs: number }

/**
 * Protects the server and the stream from lists without a limit. After a list that was too long, or that repeatedly
 * ended with a lost stream or a time-out, the list of that host is not requested again for an hour.
 *
 * @param what The items of the list, for messages.
 */
export function createListGuard(what: string, now: () => number = () => performance.now()) {
  const known = new Map<string, Known>()
  return {
    /**
     * Requests the list of a host by `ask`, which returns the number of its items.
     *
     * @throws {CollectorError} The list is not requested now.
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

import { randomUUID } from 'node:crypto'
import { LinkError, TimeoutError } from '../errors.js'
import type { Element } from './xml.js'

type Pending = {
  readonly to: string
  readonly settle: (outcome: Element | Error) => void
}

/** The requests that wait for a reply, by id. */
export type Requests = ReturnType<typeof createRequests>

export function createRequests() {
  const pending = new Map<string, Pending>()
  let probeId = ''

  /**
   * Adds a request and returns its id.
   *
   * @param settle Called with the reply or an error, at most once.
   */
  function add(to: string, settle: Pending['settle']): string {
    // The id is unpredictable, so that no other entity can guess it.
    const id = randomUUID()
    pending.set(id, {
      to,
      settle(outcome) {
        if (pending.delete(id)) settle(outcome)
      },
    })
    return id
  }

  return {
    add,
    get: (id: string) => pending.get(id),
    /** Removes a request. A reply that arrives later is dropped. */
    forget(id: string): void {
      pending.delete(id)
    },
    settleAll(error: Error): void {
      for (const { settle } of [...pending.values()]) settle(error)
    },
    /**
     * Adds a probe: a request to an address that replies in order. When a reply to the probe arrives, even an error,
     * the missing replies to earlier requests to this address are lost, so these requests fail. A new probe replaces
     * the previous one, because the previous one may never get a reply.
     */
    addProbe(to: string): string {
      pending.delete(probeId)
      const owed = [...pending.values()].filter((each) => each.to === to)
      probeId = add(to, (outcome) => {
        if (outcome instanceof LinkError) return
        for (const { settle } of owed)
          settle(new TimeoutError('the reply to this request was lost'))
      })
      return probeId
    },
  }
}

import { randomUUID } from 'node:crypto'
import { LinkError, TimeoutError } from '../errors.js'
import type { Element } from './xml.js'

type Pending = {
  readonly to: string
  readonly settle: (outcome: Element | Error) => void
}

/** The requests without a reply, by id. */
export type Requests = ReturnType<typeof createRequests>

export function createRequests() {
  const pending = new Map<string, Pending>()
  let probeId = ''

  /** @param settle Called once, with the reply or an error. */
  function add(to: string, settle: Pending['settle']): string {
    // The id must be unguessable (RFC 6120 §8.1.3).
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
    /** Removes a request. A later reply is dropped. */
    forget(id: string): void {
      pending.delete(id)
    },
    settleAll(error: Error): void {
      for (const { settle } of [...pending.values()]) settle(error)
    },
    /**
     * Adds a request whose reply, even an error, shows that the replies to earlier requests to this address were lost.
     * The address must answer in order. The previous probe is removed, because it may never get a reply.
     */
    addProbe(to: string): string {
      pending.delete(probeId)
      const owed = [...pending.values()].filter((each) => each.to === to)
      probeId = add(to, (outcome) => {
        if (outcome instanceof LinkError) return
        for (const { settle } of owed) settle(new TimeoutError('the reply was lost'))
      })
      return probeId
    },
  }
}

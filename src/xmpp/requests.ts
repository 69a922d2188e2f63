import { randomUUID } from 'node:crypto'
import { LinkError, TimeoutError } from '../errors.js'
import type { Element } from './xml.js'

type Pending = {
  readonly to: string
  readonly settle: (outcome: Element | Error) => void
}

/** What was asked and not answered yet, by id. */
export type Requests = ReturnType<typeof createRequests>

export function createRequests() {
  const pending = new Map<string, Pending>()
  let probeId = ''

  /** @param settle Told once of the answer, or why there is none. */
  function add(to: string, settle: Pending['settle']): string {
    // Unguessable (RFC 6120 §8.1.3).
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
    /** An answer that comes later is dropped. */
    forget(id: string): void {
      pending.delete(id)
    },
    settleAll(error: Error): void {
      for (const { settle } of [...pending.values()]) settle(error)
    },
    /**
     * Adds a request whose answer, whatever it says, shows that those before it to the same address were
     * lost on the way: only for an address that answers in order. The probe before it is forgotten, as
     * it may never be answered.
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

import type { Schedule } from '../xmpp/schedule.js'

export type DeliverySlots = {
  /** Waits for a slot, in the order of the calls. Resolves to false if none is free in time. */
  acquire(timeoutMs: number): Promise<boolean>
  release(): void
  /** Makes all waiting calls resolve to false. */
  cancelWaiting(): void
}

/** Creates a limit on the number of deliveries that run at the same time. */
export function createDeliverySlots(slots: number, schedule: Schedule): DeliverySlots {
  const waiting = new Set<(isAcquired: boolean) => void>()
  let free = slots

  return {
    acquire(timeoutMs) {
      if (free > 0) {
        free--
        return Promise.resolve(true)
      }
      return new Promise((resolve) => {
        const settle = (isAcquired: boolean) => {
          waiting.delete(settle)
          cancel()
          resolve(isAcquired)
        }
        const cancel = schedule(timeoutMs, () => {
          settle(false)
        })
        waiting.add(settle)
      })
    },
    release() {
      const [next] = waiting
      if (next) next(true)
      else free++
    },
    cancelWaiting() {
      for (const settle of [...waiting]) settle(false)
    },
  }
}

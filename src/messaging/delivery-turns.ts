import type { Schedule } from '../xmpp/schedule.js'

const MAX_RUNNING = 4

/** Limits how many deliveries run at the same time, and starts them in the order of the calls. */
export function createDeliveryTurns(schedule: Schedule) {
  const slots = createDeliverySlots(MAX_RUNNING, schedule)
  const running = new Set<Promise<unknown>>()
  let isStopping = false

  return {
    async run<T>(
      timeoutMs: number,
      { onTurn, onNoTurn }: { onTurn: () => Promise<T>; onNoTurn: (reason: string) => T },
    ): Promise<T> {
      // The rest of the time is for the delivery. With too little of it, a message would be sent without a confirmation.
      const hasSlot = !isStopping && (await slots.acquire(timeoutMs / 2))
      if (isStopping) return onNoTurn('the exporter is stopping.')
      if (!hasSlot) return onNoTurn('earlier alerts are still being delivered.')
      const result = onTurn()
      running.add(result)
      try {
        return await result
      } finally {
        running.delete(result)
        slots.release()
      }
    },
    /** Starts no more deliveries. Resolves when the running ones have ended. */
    async stop(): Promise<void> {
      isStopping = true
      slots.cancelWaiting()
      await Promise.allSettled(running)
    },
  }
}

type DeliverySlots = {
  /** Waits for a slot, in the order of the calls. Resolves to false if none is free in time. */
  acquire(timeoutMs: number): Promise<boolean>
  release(): void
  /** Makes all waiting calls resolve to false. */
  cancelWaiting(): void
}

/** Creates a limit on the number of deliveries that run at the same time. */
function createDeliverySlots(slots: number, schedule: Schedule): DeliverySlots {
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

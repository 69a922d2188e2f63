import { getInnerIpv4 } from './dns/private-addresses.js'
import { realTime, type Schedule } from '../xmpp/schedule.js'

/** Limits the connections that checks open. All checks of a process share one limit. */
export type ConnectionLimit = {
  /**
   * Waits until a connection to the address is allowed, and then calls `connect`. No other connection to the address
   * is opened until the returned promise settles.
   *
   * @throws The reason of the signal, if it is aborted before `connect` was called.
   */
  run<T>(address: string, connect: () => Promise<T>, signal: AbortSignal): Promise<T>
}

export type ConnectionLimitOptions = {
  /** Whether the address belongs to the operator. Such an address has no limit per minute. */
  readonly isOwn: (address: string) => boolean
  readonly perMinute: number
  /**
   * The number of connections without a pause. They count for the following minutes: at most `burst` connections
   * start in any `burst / perMinute` minutes. The default is `perMinute`, so that no minute has more than that.
   */
  readonly burst?: number
  readonly schedule?: Schedule
  /** Returns the time of a monotonic clock in milliseconds. */
  readonly now?: () => number
}

/** The limit for servers that do not belong to the operator. */
export const CONNECTIONS_PER_MINUTE = 2

type Visit = {
  /** The functions that start the waiting connections, in the order of the calls. */
  readonly waiting: (() => void)[]
  isConnected: boolean
  /** The times at which the last connections started, at most `burst` of them; the oldest is the first. */
  startsMs: number[]
  cancelTimer: (() => void) | undefined
}

export function createConnectionLimit(options: ConnectionLimitOptions): ConnectionLimit {
  const { isOwn, perMinute, schedule = realTime, now = () => performance.now() } = options
  const burst = Math.max(1, options.burst ?? perMinute)
  const windowMs = (burst / perMinute) * 60_000
  // In the order of the last start, so that entries without a use are at the beginning.
  const visits = new Map<string, Visit>()

  function startNext(address: string, visit: Visit): void {
    if (visit.isConnected || visit.cancelTimer !== undefined) return
    const [start] = visit.waiting
    if (start === undefined) {
      removeUnused()
      return
    }
    const delayMs = isOwn(address) ? 0 : getDelayMs(visit)
    if (delayMs > 0) {
      visit.cancelTimer = schedule(delayMs, () => {
        visit.cancelTimer = undefined
        startNext(address, visit)
      })
      return
    }
    visit.waiting.shift()
    visit.isConnected = true
    visit.startsMs = [...visit.startsMs, now()].slice(-burst)
    visits.delete(address)
    visits.set(address, visit)
    start()
  }

  function getDelayMs({ startsMs }: Visit): number {
    return startsMs.length < burst ? 0 : startsMs[0]! + windowMs - now()
  }

  /** Removes the entries whose connections no longer count, so that the memory of a long run is bounded. */
  function removeUnused(): void {
    for (const [address, { isConnected, waiting, startsMs }] of visits) {
      if (isConnected || waiting.length > 0) continue
      const isRecent = !isOwn(address) && (startsMs.at(-1) ?? -Infinity) + windowMs > now()
      if (isRecent) return
      visits.delete(address)
    }
  }

  function waitForTurn(address: string, visit: Visit, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const start = (): void => {
        signal.removeEventListener('abort', leave)
        resolve()
      }
      const leave = (): void => {
        visit.waiting.splice(visit.waiting.indexOf(start), 1)
        if (visit.waiting.length === 0) {
          visit.cancelTimer?.()
          visit.cancelTimer = undefined
        }
        reject(signal.reason as Error)
      }
      visit.waiting.push(start)
      signal.addEventListener('abort', leave, { once: true })
      startNext(address, visit)
    })
  }

  return {
    async run(connectTo, connect, signal) {
      signal.throwIfAborted()
      // Other addresses of the same server must not raise its limit.
      const address = getInnerIpv4(connectTo) ?? connectTo
      const visit = visits.get(address) ?? createVisit()
      visits.set(address, visit)
      await waitForTurn(address, visit, signal)
      try {
        return await connect()
      } finally {
        visit.isConnected = false
        startNext(address, visit)
      }
    },
  }
}

function createVisit(): Visit {
  return { waiting: [], isConnected: false, startsMs: [], cancelTimer: undefined }
}

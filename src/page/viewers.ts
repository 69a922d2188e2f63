import type { Context } from 'hono'
import { streamSSE } from 'hono/streaming'
import { setTimeout as sleep } from 'node:timers/promises'

/** What is sent to who looks at the page; `undefined`: there is nothing to look at any more. */
export type Event = { readonly event: string; readonly data: string }
export type NextEvents = () => Promise<readonly Event[] | undefined>

// Each is a connection, and a page to make at each collection.
const MAX_VIEWERS = 32
// Several servers may tell something at the same time.
const GAP_MS = 1000

/** Those who look at the page now, each told what is new as fast as they take it, and not faster. */
export type Viewers = {
  /** An answer that goes on, or nothing: there are too many. */
  add(c: Context, next: NextEvents): Response | undefined
  /** Something may be new. */
  readonly wake: () => void
  /** Ends all, and takes no more. */
  readonly close: () => void
  readonly count: () => number
}

export function createViewers(maxViewers = MAX_VIEWERS, gapMs = GAP_MS): Viewers {
  const viewers = new Set<{ wake: () => void; end: () => void }>()
  let isClosed = false

  function add(c: Context, next: NextEvents): Response | undefined {
    if (isClosed || viewers.size >= maxViewers) return undefined
    const ended = new AbortController()
    let isNew = true
    let look = (): void => undefined
    const viewer = {
      wake: () => {
        isNew = true
        look()
      },
      end: () => {
        ended.abort()
        look()
      },
    }
    viewers.add(viewer)
    const { body } = streamSSE(c, async (stream) => {
      stream.onAbort(viewer.end)
      try {
        while (!ended.signal.aborted) {
          if (!isNew) {
            await new Promise<void>((resolve) => (look = resolve))
            continue
          }
          isNew = false
          const events = await next()
          if (!events) break
          // Each waits until the one before was taken.
          for (const event of events) await stream.writeSSE(event)
          await sleep(gapMs, undefined, { signal: ended.signal }).catch(() => undefined)
        }
      } finally {
        viewers.delete(viewer)
      }
    })
    // Not those of streamSSE: a `Connection` header is an error in HTTP/2 (RFC 9113 §8.2.2).
    return new Response(body, {
      headers: {
        'Content-Type': 'text/event-stream',
        'Cache-Control': 'no-store',
        'X-Accel-Buffering': 'no',
        'X-Content-Type-Options': 'nosniff',
      },
    })
  }

  return {
    add,
    wake: () => {
      for (const { wake } of viewers) wake()
    },
    close: () => {
      isClosed = true
      for (const { end } of viewers) end()
    },
    count: () => viewers.size,
  }
}

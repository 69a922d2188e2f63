import type { Context } from 'hono'
import { streamSSE } from 'hono/streaming'
import { setTimeout as sleep } from 'node:timers/promises'

/** A server-sent event. */
export type Event = { readonly event: string; readonly data: string }
/** Returns what is new for one viewer; `undefined` ends the stream of events. */
export type NextEvents = () => Promise<readonly Event[] | undefined>

// Each viewer occupies a connection, and the exporter renders a page for each viewer after each collection.
const MAX_VIEWERS = 32
// The least time between two updates of a viewer: with several servers, many collections can end together.
const GAP_MS = 1000

/** The browsers that have the page open. Each gets updates only as fast as it reads them. */
export type Viewers = {
  /** Returns an endless response with events; `undefined` if there are too many viewers, or after `close`. */
  add(c: Context, next: NextEvents): Response | undefined
  /** Sends what is new to all viewers. */
  readonly wake: () => void
  /** Ends all responses and accepts no more viewers. */
  readonly close: () => void
  readonly count: () => number
}

export function createViewers(maxViewers = MAX_VIEWERS, gapMs = GAP_MS): Viewers {
  const viewers = new Set<{ wake: () => void; end: () => void }>()
  let isClosed = false

  function add(c: Context, next: NextEvents): Response | undefined {
    if (isClosed || viewers.size >= maxViewers) return undefined
    const ended = new AbortController()
    let hasNews = true
    let continueLoop = (): void => undefined
    const viewer = {
      wake: () => {
        hasNews = true
        continueLoop()
      },
      end: () => {
        ended.abort()
        continueLoop()
      },
    }
    viewers.add(viewer)
    const { body } = streamSSE(c, async (stream) => {
      stream.onAbort(viewer.end)
      try {
        while (!ended.signal.aborted) {
          if (!hasNews) {
            await new Promise<void>((resolve) => (continueLoop = resolve))
            continue
          }
          hasNews = false
          const events = await next()
          if (!events) break
          // Resolves when the browser has read the event.
          for (const event of events) await stream.writeSSE(event)
          await sleep(gapMs, undefined, { signal: ended.signal }).catch(() => undefined)
        }
      } finally {
        viewers.delete(viewer)
      }
    })
    // streamSSE sets a `Connection` header, which is an error in HTTP/2 (RFC 9113 §8.2.2).
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

import type { Context } from 'hono'
import { streamSSE } from 'hono/streaming'
import { setTimeout as sleep } from 'node:timers/promises'

/** A server-sent event of the status page. */
export type Event = { readonly event: string; readonly data: string }
/** Returns the events that one viewer has not received yet; `undefined` ends the event stream of the viewer. */
export type NextEvents = () => Promise<readonly Event[] | undefined>

// The maximum number of viewers. Each viewer needs a connection, and after each collection the exporter renders
// the page for each viewer.
const MAX_VIEWERS = 32
// The shortest time between two updates of a viewer. With several servers, many collections can end within a
// second.
const GAP_MS = 1000

/**
 * The browsers that have the status page open. A browser gets an update only after it has read the previous
 * one.
 */
export type Viewers = {
  /**
   * Returns a response with an event stream for a new viewer; `undefined` if there are too many viewers, or
   * after `close`.
   */
  add(c: Context, next: NextEvents): Response | undefined
  /** Sends new events to all viewers. */
  readonly wake: () => void
  /** Ends the event streams of all viewers, and rejects new viewers. */
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
          // The promise of writeSSE() resolves only when the connection accepts more data. So nothing is
          // rendered for a browser that does not read.
          for (const event of events) await stream.writeSSE(event)
          await sleep(gapMs, undefined, { signal: ended.signal }).catch(() => undefined)
        }
      } finally {
        viewers.delete(viewer)
      }
    })
    // The response of streamSSE() has a header `Connection`, which HTTP/2 forbids (RFC 9113 §8.2.2). So only
    // its body is used.
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

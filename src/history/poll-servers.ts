import type { History } from './history.js'

export type PolledServer = { readonly history: History; readonly collect: () => Promise<unknown> }

const TICK_MS = 500
/** In one tick, the exporter starts to poll at most a twentieth of the servers, so that not all are polled together. */
const SPREAD_TICKS = 20

/**
 * Polls each server to whose history no scrape has added a point for more than an interval.
 *
 * @returns A function that stops the polling.
 */
export function pollServers(servers: () => readonly PolledServer[]): () => void {
  const collecting = new Set<History>()
  const tick = () => {
    const all = servers()
    const due = all.filter(({ history }) => history.isDue() && !collecting.has(history))
    for (const { history, collect } of due.slice(0, Math.ceil(all.length / SPREAD_TICKS))) {
      collecting.add(history)
      void collect().finally(() => collecting.delete(history))
    }
  }
  const timer = setInterval(tick, TICK_MS).unref()
  return () => {
    clearInterval(timer)
  }
}

import type { History } from './history.js'

/** How often new points are stored. A crash of the exporter loses at most the points of this time. */
const INTERVAL_MS = 5 * 60_000
const TICK_MS = 500
/** In one tick, at most this share of the histories is stored, so that not all are stored together. */
const SHARE_PER_TICK = TICK_MS / INTERVAL_MS

/**
 * Stores the new points of each history every 5 minutes, and for the first time as soon as it has a point. Then the growth
 * of memory since before a restart of the exporter is known.
 *
 * @returns A function that stops this.
 */
export function storeHistories(
  histories: () => readonly History[],
  { intervalMs = INTERVAL_MS, now = () => performance.now() } = {},
): () => void {
  const dueAtMs = new WeakMap<History, number>()
  const tick = () => {
    const all = histories()
    const due = all.filter(
      (history) => history.countPoints() > 0 && (dueAtMs.get(history) ?? 0) <= now(),
    )
    for (const history of due.slice(0, Math.ceil(all.length * 2 * SHARE_PER_TICK))) {
      dueAtMs.set(history, now() + intervalMs)
      void history.flush()
    }
  }
  const timer = setInterval(tick, TICK_MS).unref()
  return () => {
    clearInterval(timer)
  }
}

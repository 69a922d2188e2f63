import type { History } from './history.js'

/** How often new points are stored. A crash of the exporter loses at most the points of this time. */
const INTERVAL_MS = 5 * 60_000
const TICK_MS = 500

/**
 * Stores the new points of each history every 5 minutes, and for the first time as soon as it has a point. Then the growth
 * of memory since before a restart of the exporter is known. Stores one history after the other, so that a slow disk delays
 * nothing else.
 *
 * @returns A function that stops this.
 */
export function storeHistories(
  histories: () => readonly History[],
  { now = () => performance.now() } = {},
): () => void {
  const storedAtMs = new WeakMap<History, number>()
  let isStoring = false
  let isStopped = false
  const isDue = (history: History) =>
    history.countPoints() > 0 && now() - (storedAtMs.get(history) ?? -Infinity) >= INTERVAL_MS

  async function storeDue(): Promise<void> {
    if (isStoring) return
    isStoring = true
    for (const history of histories().filter(isDue)) {
      if (isStopped) break
      storedAtMs.set(history, now())
      await history.flush()
    }
    isStoring = false
  }

  const timer = setInterval(() => void storeDue(), TICK_MS).unref()
  return () => {
    isStopped = true
    clearInterval(timer)
  }
}

import type { Snapshot } from './snapshot.js'

type CachedSnapshot = {
  readonly snapshot: Snapshot
  /** Monotonic milliseconds. */
  readonly expiresAtMs: number
  readonly wasConnected: boolean
}

/**
 * Caches the last snapshot until it expires.
 *
 * @param isConnected Whether the stream to the server is up.
 */
export function createSnapshotCache(isConnected: () => boolean, now: () => number) {
  let cached: CachedSnapshot | undefined
  let expiry: NodeJS.Timeout | undefined

  return {
    store(snapshot: Snapshot, expiresAtMs: number): void {
      cached = { snapshot, expiresAtMs, wasConnected: isConnected() }
      // The previous timer would hold the previous snapshot in memory.
      clearTimeout(expiry)
      // A slow collection can end after its snapshot has expired. Node 26 warns about a negative delay.
      const leftMs = Math.max(0, expiresAtMs - now())
      // With a thousand servers, expired snapshots would occupy much memory.
      expiry = setTimeout(() => {
        cached = undefined
      }, leftMs).unref()
    },

    find(): Snapshot | undefined {
      if (!cached || now() >= cached.expiresAtMs) return undefined
      // With a long `min_age`, a snapshot could say that the server is up long after the stream was lost.
      return cached.wasConnected === isConnected() ? cached.snapshot : undefined
    },
  }
}

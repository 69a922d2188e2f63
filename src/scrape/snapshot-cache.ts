import type { Snapshot } from './snapshot.js'

type CachedSnapshot = {
  readonly snapshot: Snapshot
  /** The time of expiry, in monotonic milliseconds. */
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
      // The timer of the previous snapshot would keep this snapshot in memory.
      clearTimeout(expiry)
      // The age of a snapshot counts from the start of its collection, so a slow collection can return an expired
      // snapshot. Then the delay must not be negative, because Node.js 26 warns about negative delays.
      const leftMs = Math.max(0, expiresAtMs - now())
      // The timer removes an expired snapshot, because expired snapshots of a thousand servers would take much memory.
      expiry = setTimeout(() => {
        cached = undefined
      }, leftMs).unref()
    },

    find(): Snapshot | undefined {
      if (!cached || now() >= cached.expiresAtMs) return undefined
      // When the stream goes up or down, the cached snapshot is no longer served. Otherwise, with a long `min_age`, its
      // `xmpp_up` could be 1 long after the stream was lost.
      return cached.wasConnected === isConnected() ? cached.snapshot : undefined
    },
  }
}

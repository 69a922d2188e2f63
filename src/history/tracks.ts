/** The names of the values that the history stores. For counters, it stores the rate over about one minute. */
export const TRACKS = [
  ...(['clients', 'serversIn', 'serversOut', 'occupants', 'rooms', 'accounts'] as const),
  // Per second.
  ...(['messages', 'presences', 'iqs'] as const),
  // Per minute; `registrations` per hour.
  ...(['logins', 'loginFailures', 'registrations'] as const),
  ...(['pingMs', 'lagMs'] as const),
  // The CPU share is in CPU seconds per second.
  ...(['memoryBytes', 'cpuShare', 'openFds', 'unauthenticated'] as const),
] as const
export type Track = (typeof TRACKS)[number]

/** The values of a server at one time. If the server did not answer, `isUp` is false, and all tracks are absent. */
export type Point = { readonly atMs: number; readonly isUp: boolean } & Partial<
  Record<Track, number>
>

/** Returns the values of all tracks, in their order; NaN if unknown. */
export function toTrackValues(point: Point): number[] {
  return TRACKS.map((track) => point[track] ?? NaN)
}

/** The inverse of `toTrackValues`. */
export function fromTrackValues(values: ArrayLike<number>): Partial<Record<Track, number>> {
  const known: Partial<Record<Track, number>> = {}
  TRACKS.forEach((track, i) => {
    const value = values[i]!
    if (!Number.isNaN(value)) known[track] = value
  })
  return known
}

/** Returns the points that are not in the future, in the order of their times. The clock can have been set back. */
export function selectUntil(points: readonly Point[], nowMs: number): Point[] {
  return points.filter(({ atMs }) => atMs <= nowMs).sort((a, b) => a.atMs - b.atMs)
}

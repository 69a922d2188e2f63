import type { ServerSummary } from './server-summary.js'
import { getSpanValues, type Span } from './span.js'

const HOUR_MS = 3_600_000

/** How the resident memory of a server changed. */
export type MemoryGrowth = {
  readonly fromBytes: number
  readonly toBytes: number
  readonly overMs: number
}

/** The average resident memory in one hour, with which the present memory is compared. */
export type MemoryBase = { readonly bytes: number; readonly fromMs: number }

/** The time for which the memory of a server is compared. */
export const GROWTH_MS = 24 * HOUR_MS

/**
 * Finds the memory in the first hour that `spans` have of this run of the server. The first hour of a run does not count,
 * because the caches of the server fill in it.
 *
 * @param startedAtMs When the server was started; `undefined` if unknown.
 */
export function findMemoryBase(
  spans: readonly Span[],
  startedAtMs: number | undefined,
): MemoryBase | undefined {
  if (startedAtMs === undefined) return undefined
  const known = spans.filter(
    (span) => getSpanValues(span, 'memoryBytes') && span.fromMs >= startedAtMs + HOUR_MS,
  )
  const [first] = known
  if (!first) return undefined
  const values = known
    .filter(({ fromMs }) => fromMs < first.fromMs + HOUR_MS)
    .map((span) => getSpanValues(span, 'memoryBytes')!.average)
  const bytes = values.reduce((sum, value) => sum + value, 0) / values.length
  return { bytes, fromMs: first.fromMs }
}

export function computeMemoryGrowth(
  base: MemoryBase | undefined,
  { atMs, values: { memoryBytes } }: Pick<ServerSummary, 'atMs' | 'values'>,
): MemoryGrowth | undefined {
  if (!base || memoryBytes === undefined) return undefined
  const overMs = atMs - base.fromMs
  return overMs < HOUR_MS ? undefined : { fromBytes: base.bytes, toBytes: memoryBytes, overMs }
}

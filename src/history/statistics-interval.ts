import { readRegistryUpdateTime } from '../metrics/own-families.js'
import type { CollectorResult } from '../scrape/collector-result.js'

/** Prosody collects its statistics at an interval, because `statistics_interval` is a number. */
export type StatisticsInterval = {
  /** The shortest observed time between two collections of Prosody; `undefined` before the second one. */
  readonly seconds: number | undefined
}

/** The time of a collection of Prosody, and when the exporter first read its values. */
type Observation = {
  /** The clock of Prosody can differ from the clock of the exporter. */
  readonly updatedSeconds: number
  readonly startedAtSeconds: number
  readonly endedAtSeconds: number
}

// The tolerance covers clocks that are adjusted between two collections.
const TOLERANCE_S = 1

/**
 * Creates a function that finds out whether Prosody collects its statistics at an interval. Call the function with the
 * results of each collection and the number of logins so far. It returns `undefined` if Prosody collects for each
 * scrape, or if this is not known yet.
 *
 * With `statistics_interval = "manual"`, Prosody collects between the start and the end of a collection of the
 * exporter. So between two collections, the clock of Prosody advances as much as the clock of the exporter. If it does
 * not, Prosody collects at an interval. Only a restart of Prosody can change this, and it ends the stream.
 */
export function createIntervalDetector() {
  let connects: number | undefined
  let first: Observation | undefined
  let interval: StatisticsInterval | undefined
  let contradictions = 0

  function observe(next: Observation): void {
    const by = first ? next.updatedSeconds - first.updatedSeconds : 0
    // A clock that is set causes one contradiction, and an interval causes one after the other.
    if (first && isAtInterval(first, next)) contradictions++
    else if (by > 0) contradictions = 0
    if (contradictions > 1) interval ??= { seconds: undefined }
    if (by > 0 && interval) {
      interval = { seconds: Math.min(interval.seconds ?? Infinity, Math.round(by)) }
    }
    if (!first || by !== 0) first = next
  }

  return (
    results: readonly CollectorResult[],
    currentConnects: number,
  ): StatisticsInterval | undefined => {
    if (connects !== currentConnects) [first, interval, contradictions] = [undefined, undefined, 0]
    connects = currentConnects
    const output = results.find(({ name }) => name === 'registry')?.output
    const updatedSeconds = readRegistryUpdateTime(output?.collected.exporterFamilies)
    if (output && updatedSeconds !== undefined) {
      const { startedAtSeconds, endedAtSeconds } = output
      observe({ updatedSeconds, startedAtSeconds, endedAtSeconds })
    }
    return interval
  }
}

function isAtInterval(first: Observation, next: Observation): boolean {
  const by = next.updatedSeconds - first.updatedSeconds
  const shortest = next.startedAtSeconds - first.endedAtSeconds - TOLERANCE_S
  const longest = next.endedAtSeconds - first.startedAtSeconds + TOLERANCE_S
  return by < shortest || by > longest
}

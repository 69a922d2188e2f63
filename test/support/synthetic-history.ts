/** Writes history files with invented values, so that tests have a history of months. */

import { open } from 'node:fs/promises'
import {
  createLayout,
  encodeHeader,
  pointToRecord,
  spanToRecord,
  VERSION,
  type FileRecord,
  type Tier,
} from '../../src/history/file-layout.js'
import { writeRecords } from '../../src/history/file-records.js'
import { TRACKS, type Track } from '../../src/history/tracks.js'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** The distance of two points. */
const POINT_MS = 15_000

export type SyntheticHistory = {
  /** The name of the server in the header of the file. Default: `synthetic`. */
  readonly server?: string
  readonly endMs: number
  readonly days: number
  /** Returns the value of a track at a time; by default, a wave with a period of a day. */
  readonly getValue?: (track: Track, atMs: number) => number | undefined
  /** Returns what the exporter knew about the server at a time. Default: `up`. */
  readonly getState?: (atMs: number) => 'up' | 'down' | 'unknown'
}

/** Writes the history file of a server that has been monitored for some days until `endMs`. */
export async function writeSyntheticHistory(
  path: string,
  history: SyntheticHistory,
): Promise<void> {
  const { server = 'synthetic', endMs, days, getValue = getWave, getState = () => 'up' } = history
  const startMs = endMs - days * DAY_MS
  const layout = createLayout()
  const file = await open(path, 'w', 0o600)
  try {
    await file.truncate(layout.bytes)
    const header = { version: VERSION, server, createdAtMs: startMs, tracks: TRACKS }
    await file.write(encodeHeader(header), 0, undefined, 0)
    await writeRecords(file, layout.points, createPointRecords())
    for (const tier of [layout.minutes, layout.hours]) {
      await writeRecords(file, tier, createSpanRecords(tier))
    }
  } finally {
    await file.close()
  }

  function createPointRecords(): FileRecord[] {
    const records: FileRecord[] = []
    for (let atMs = Math.max(endMs - DAY_MS, startMs) + POINT_MS; atMs <= endMs; atMs += POINT_MS) {
      const state = getState(atMs)
      if (state === 'unknown') continue
      const values: Partial<Record<Track, number>> = {}
      for (const track of state === 'up' ? TRACKS : []) {
        const value = getValue(track, atMs)
        if (value !== undefined) values[track] = value
      }
      records.push(pointToRecord({ atMs, isUp: state === 'up', ...values }))
    }
    return records
  }

  function createSpanRecords({ stepMs, slots }: Tier): FileRecord[] {
    const records: FileRecord[] = []
    const lastMs = Math.floor(endMs / stepMs) * stepMs
    for (
      let fromMs = Math.max(lastMs - (slots - 1) * stepMs, startMs);
      fromMs <= lastMs;
      fromMs += stepMs
    ) {
      const state = getState(fromMs)
      if (state === 'unknown') continue
      const values = TRACKS.flatMap((track) => {
        const average = (state === 'up' ? getValue(track, fromMs) : undefined) ?? NaN
        return [average, average * 0.8, average * 1.3]
      })
      const durations = state === 'up' ? { upMs: stepMs, downMs: 0 } : { upMs: 0, downMs: stepMs }
      records.push(spanToRecord({ fromMs, ...durations, values: Float32Array.from(values) }))
    }
    return records
  }
}

function getWave(track: Track, atMs: number): number {
  const base = 10 * (TRACKS.indexOf(track) + 1)
  return base * (1.5 + Math.sin((atMs / DAY_MS) * 2 * Math.PI))
}

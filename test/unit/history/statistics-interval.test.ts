import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createIntervalDetector } from '../../../src/history/statistics-interval.js'
import { gauge } from '../../support/summary-families.js'

/** Creates the result of a collection that starts at a time and takes 0.2 s. Without `updated`, Prosody never collected. */
function collectionAt(startedAtSeconds: number, updated?: number) {
  const family = (value: number) =>
    gauge('prosody_exporter_registry_updated_timestamp_seconds', [{}, value])
  const endedAtSeconds = startedAtSeconds + 0.2
  return [
    {
      ...{ name: 'registry', durationSeconds: 0.2 },
      output: {
        ...{ startedAtSeconds, endedAtSeconds, endedAtMs: 0 },
        collected: {
          families: [],
          exporterFamilies: updated === undefined ? [] : [family(updated)],
          invalid: new Map<string, number>(),
        },
      },
    },
  ]
}

describe('the detector of an interval', () => {
  /** Returns the result after collections at regular times. `updatedAt` returns the time of the last collection in Prosody. */
  const detect = (everySeconds: number, updatedAt: (seconds: number) => number, count = 50) => {
    const observe = createIntervalDetector()
    const results = Array.from({ length: count }, (_, i) => {
      const seconds = 1000 + i * everySeconds
      return observe(collectionAt(seconds, updatedAt(seconds)), 1)
    })
    return results.at(-1)
  }
  const atInterval = (interval: number) => (seconds: number) =>
    Math.floor(seconds / interval) * interval

  test('finds the statistics_interval if it is longer than the time between two collections', () => {
    for (const every of [1, 5, 15, 40]) {
      assert.deepEqual(detect(every, atInterval(60)), { seconds: 60 }, `every ${every} s`)
    }
  })

  test('finds the statistics_interval if it is shorter than the time between two collections', () => {
    assert.deepEqual(detect(15, atInterval(10)), { seconds: 10 })
  })

  test('knows that there is an interval before it knows its length', () => {
    assert.deepEqual(detect(15, atInterval(600), 3), { seconds: undefined })
  })

  test('finds no interval if Prosody collects for each scrape, whatever its clock', () => {
    for (const skew of [0, -3600, 86_400]) {
      // Prosody collects at any time during the collection of the exporter.
      const updatedAt = (seconds: number) => seconds + skew + (seconds % 3) * 0.06
      for (const every of [0.3, 1, 15]) assert.equal(detect(every, updatedAt), undefined)
    }
  })

  test('finds no interval if a clock is set now and then', () => {
    const updatedAt = (seconds: number) => seconds + 3 * Math.floor((seconds - 1000) / 100)
    assert.equal(detect(15, updatedAt), undefined)
  })

  test('knows nothing about a new stream, a failed collection, or before the first collection of Prosody', () => {
    const observe = createIntervalDetector()
    assert.equal(observe(collectionAt(1000), 1), undefined)
    assert.equal(observe(collectionAt(1000, 990), 1), undefined)
    assert.equal(observe(collectionAt(1015, 990), 1), undefined)
    assert.deepEqual(observe(collectionAt(1025, 990), 1), { seconds: undefined })
    assert.deepEqual(observe([{ name: 'registry', durationSeconds: 0 }], 1), { seconds: undefined })
    assert.equal(observe(collectionAt(1030, 990), 2), undefined)
  })
})

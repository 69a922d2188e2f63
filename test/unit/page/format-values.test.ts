import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatDuration, formatNumber } from '../../../src/page/format-values.js'

test('the page shows numbers with few digits, and an unknown number as a dash', () => {
  assert.deepEqual([undefined, 0, 0.123, 12.34, 1234.5].map(formatNumber), [
    '–',
    '0',
    '0.12',
    '12.3',
    '1,235',
  ])
})

test('the page shows durations with at most two units', () => {
  assert.deepEqual(
    [5, 60, 3600, 90_000, 93_780, 86_400 * 40].map((seconds) => formatDuration(seconds * 1000)),
    ['less than a minute', '1 minute', '1 hour', '1 day 1 hour', '1 day 2 hours', '40 days'],
  )
})

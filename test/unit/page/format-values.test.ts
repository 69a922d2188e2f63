import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  formatBytes,
  formatDays,
  formatDuration,
  formatNumber,
} from '../../../src/page/format-values.js'

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

test('the page shows bytes with at most three digits', () => {
  const MIB = 1024 * 1024
  assert.deepEqual(
    [0, 999, 1000, 1536, 9.96 * MIB, 132.4 * MIB, 1000 * MIB, 40e9, 4e15].map(formatBytes),
    [...['0 bytes', '999 bytes', '1 KB', '1.5 KB', '10 MB', '132 MB', '1 GB', '37 GB', '3638 TB']],
  )
})

test('the page shows the time until an expiry with one unit', () => {
  assert.deepEqual(
    [0, 0.9, 1, 47.9, 48, 24 * 71.5].map((hours) => formatDays(hours * 3_600_000)),
    ['less than an hour', 'less than an hour', '1 hour', '47 hours', '2 days', '71 days'],
  )
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatTrack } from '../../../src/page/format-track.js'

test('the page shows bytes with a prefix, and shares in percent', () => {
  const bytes = [0, 999, 1000, 181_234_567, 2.5e9, 3e15].map((value) => formatTrack('bytes', value))
  assert.deepEqual(bytes, ['0 B', '999 B', '1 kB', '181 MB', '2.5 GB', '3,000 TB'])
  assert.equal(formatTrack('percent', 0.0613), '6.13 %')
  assert.equal(formatTrack('number', 1234.5), '1,235')
  for (const format of ['bytes', 'percent', 'number'] as const) {
    assert.equal(formatTrack(format, undefined), '–')
    assert.equal(formatTrack(format, null), '–')
  }
})

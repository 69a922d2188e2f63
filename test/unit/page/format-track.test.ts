import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatTrack } from '../../../src/page/format-track.js'

test('a chart shows bytes with a prefix, and shares in percent', () => {
  assert.equal(formatTrack('bytes', 132 * 1024 ** 2), '132 MB')
  assert.equal(formatTrack('percent', 0.0613), '6.13 %')
  assert.equal(formatTrack('number', 1234.5), '1,235')
  for (const format of ['bytes', 'percent', 'number'] as const) {
    assert.equal(formatTrack(format, undefined), '–')
    assert.equal(formatTrack(format, null), '–')
  }
})

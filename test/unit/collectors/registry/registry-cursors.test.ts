import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  INITIAL_CURSORS,
  formatSince,
  advanceCursors,
} from '../../../../src/collectors/registry/registry-cursors.js'

const ANSWER = fc
  .tuple(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 0, max: 30 }), fc.nat(5))
  .map(([first, length, change]) => ({
    first,
    // The last page of an update also sets the change number of all ids that do not exist yet.
    last: length === 30 ? Infinity : first + length,
    change,
  }))

test('each series id has the change number of the last reply about it, and adjacent cursors have different change numbers', () => {
  fc.assert(
    fc.property(fc.array(ANSWER, { maxLength: 20 }), (answers) => {
      const expected = Array<number>(100).fill(0)
      let cursors = INITIAL_CURSORS
      for (const answer of answers) {
        cursors = advanceCursors(cursors, answer)
        expected.fill(answer.change, answer.first - 1, answer.last)
      }
      const sinceOf = (id: number) => cursors.find(({ last }) => id <= last)!.since
      assert.deepEqual(
        expected.map((_, i) => sinceOf(i + 1)),
        expected,
      )
      assert.equal(cursors.at(-1)!.last, Infinity)
      for (const [i, { last, since }] of cursors.slice(1).entries()) {
        assert.ok(cursors[i]!.last < last)
        assert.notEqual(cursors[i]!.since, since)
      }
    }),
    { numRuns: 2000 },
  )
})

test('a request for a page has only the change numbers of the ids from its first id on', () => {
  let cursors = advanceCursors(INITIAL_CURSORS, { first: 1, last: 700, change: 41 })
  cursors = advanceCursors(cursors, { first: 701, last: 1900, change: 42 })
  cursors = advanceCursors(cursors, { first: 1901, last: Infinity, change: 43 })
  assert.equal(formatSince(cursors, 1), '41:700 42:1900 43')
  assert.equal(formatSince(cursors, 701), '42:1900 43')
  assert.equal(formatSince(INITIAL_CURSORS, 5), '0')
})

test('a request for a page has at most 200 change numbers, however many pages were read before', () => {
  let cursors = INITIAL_CURSORS
  for (let i = 0; i < 5000; i++) {
    cursors = advanceCursors(cursors, { first: 1 + i * 200, last: 200 + i * 200, change: i + 1 })
  }
  assert.equal(formatSince(cursors, 1).split(' ').length, 200)
  assert.ok(formatSince(cursors, 1).endsWith(' 200:40000'))
})

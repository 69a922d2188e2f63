import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRecentResults } from '../../../../src/outside/probe/recent-results.js'

test('a result is made again when it is too old, or when the clock was set back', () => {
  const results = createRecentResults({ maxAgeMs: 100, maxCount: 10 })
  let made = 0
  const get = (nowMs: number) => results.get('a', nowMs, () => ++made)
  assert.deepEqual([1000, 1099, 1100, 1150, 900].map(get), [1, 1, 2, 2, 3])
  assert.equal(
    results.get('b', 900, () => 'b'),
    'b',
  )
})

test('the oldest results are removed', () => {
  const results = createRecentResults({ maxAgeMs: 100, maxCount: 2 })
  const made: string[] = []
  const get = (key: string) => results.get(key, 0, () => made.push(key))
  for (const key of ['a', 'b', 'a', 'c', 'b', 'a', 'c']) get(key)
  assert.deepEqual(made, ['a', 'b', 'c', 'a'])
})

test('an error is not stored', () => {
  const results = createRecentResults({ maxAgeMs: 100, maxCount: 2 })
  assert.throws(() =>
    results.get('a', 0, () => {
      throw new Error('broken')
    }),
  )
  assert.equal(
    results.get('a', 0, () => 1),
    1,
  )
})

import assert from 'node:assert/strict'
import process from 'node:process'
import { test } from 'node:test'
import { until } from '../support/setup/process.js'
import { judge, SERIES } from './faults/judge.js'
import { runAll, type Result } from './faults/lanes.js'
import { NAMED, randomScenario } from './faults/scenarios.js'

test('the check of an exposition rejects mixed epochs, mixed collections, missing series, and series while the server is down', () => {
  const completeExposition = (epoch: number, step: number) => [
    'xmpp_up 1',
    'prosody_exporter_collector_success{collector="registry"} 1',
    ...Array.from({ length: SERIES }, (_, i) => {
      const every = ((i + 1) % 5) + 1
      return `test_faults_a{shard="${i + 1}"} ${epoch * 1_000_000 + Math.floor(step / every) * every}`
    }),
  ]
  const judgeLines = (lines: readonly string[]) => judge(lines.join('\n'), true)
  const right = completeExposition(1234, 60)
  assert.deepEqual(judgeLines(right), { up: true, isRead: true, epoch: 1234, step: 60 })
  for (const wrong of [
    right.with(9, completeExposition(1233, 60)[9]!),
    right.with(9, completeExposition(1234, 50)[9]!),
    right.with(9, right[8]!),
    right.slice(0, -1),
    right.with(0, 'xmpp_up 0'),
    right.with(1, right[1]!.replace(/1$/, '0')),
    right.slice(1),
  ]) {
    assert.throws(() => judgeLines(wrong), assert.AssertionError)
  }
})

// This test runs 40 random scenarios. `npm run faults` runs more of them.
const SEEDS = 40

test(`the exporter recovers from ${NAMED.length} named and ${SEEDS} random faults, and leaves no resource open`, async (t) => {
  const results: Result[] = []
  const before = process.getActiveResourcesInfo().length
  const ends: (() => Promise<void>)[] = []
  const seeds = Array.from({ length: SEEDS }, (_, seed) => randomScenario(seed))
  await runAll(
    { after: (end: () => Promise<void>) => ends.push(end) },
    [...NAMED, ...seeds],
    (result) => results.push(result),
  )
  for (const end of ends) await end()
  for (const result of results) {
    await t.test(`${result.scenario.name} (${result.version})`, () => {
      if ('error' in result) throw result.error
    })
  }
  assert.ok(NAMED.length >= 60)
  assert.equal(results.length, NAMED.length + SEEDS)
  // When the exporter, the Prosody processes and the clients have stopped, no resource of them may remain open.
  await until(() => process.getActiveResourcesInfo().length <= before, {
    what: `at most ${before} timers, sockets and processes remain`,
  })
})

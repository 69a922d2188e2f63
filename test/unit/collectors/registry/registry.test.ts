import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Collected } from '../../../../src/collectors/collector.js'
import { createRegistryCollector } from '../../../../src/collectors/registry/registry.js'
import { createRegistryModel, type Fate } from '../../../support/registry-model.js'

/** Returns the value of each collected series. The keys have the form `family{label}`. */
function seriesOf({ families }: Collected): Map<string, number> {
  const series = new Map<string, number>()
  for (const { name, order, labels, values } of families) {
    for (const row of order) {
      const start = row === 0 ? 0 : labels.ends[row - 1]!
      const text = Buffer.from(labels.bytes.subarray(start, labels.ends[row])).toString()
      series.set(`${name}{${/"(.*)"/.exec(text)![1]!}}`, values[row]!)
    }
  }
  return series
}

function mismatchesOf({ exporterFamilies = [] }: Collected): number {
  return exporterFamilies.find(({ name }) => name === 'prosody_exporter_audit_mismatches')!
    .values[0]!
}

const sorted = (series: Map<string, number>) => [...series].sort(([a], [b]) => (a < b ? -1 : 1))

const LABEL = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g')
const FAMILY = fc.integer({ min: 0, max: 3 })
const STEP = fc.oneof(
  { weight: 8, arbitrary: fc.tuple(fc.constant('set' as const), FAMILY, LABEL, fc.nat(3)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('replace' as const), FAMILY) },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.constant('page size' as const), fc.integer({ min: 1, max: 9 })),
  },
  { weight: 4, arbitrary: fc.tuple(fc.constant('collect' as const), fc.nat(1)) },
)
const FATES = fc.infiniteStream(
  fc.oneof(
    { weight: 9, arbitrary: fc.constant<Fate>('answered') },
    { weight: 1, arbitrary: fc.constantFrom<Fate>('request lost', 'answer lost') },
  ),
)

test('two collectors have the values of the server after random changes of the registry and random lost replies', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(STEP, { maxLength: 60 }), FATES, async (steps, fates) => {
      const model = createRegistryModel()
      let isCalm = false
      const connection = model.connect(() => (isCalm ? 'answered' : (fates.next().value as Fate)))
      const readers = [1, 2].map((auditEvery) =>
        createRegistryCollector(connection, { auditEvery }),
      )
      for (const step of steps) {
        if (step[0] === 'set') model.set(step[1], step[2], step[3])
        else if (step[0] === 'replace') model.replace(step[1])
        else if (step[0] === 'page size') model.pageSize = step[1]
        else {
          const before = model.truth()
          const collected = await readers[step[1]]!.collect({ timeoutMs: 1000 }).catch(
            () => undefined,
          )
          if (collected) assert.deepEqual(sorted(seriesOf(collected)), sorted(before))
        }
      }
      isCalm = true
      for (const reader of readers) {
        const collected = await reader.collect({ timeoutMs: 1000 })
        assert.deepEqual(sorted(seriesOf(collected)), sorted(model.truth()))
        assert.equal(mismatchesOf(collected), 0)
      }
    }),
    { numRuns: 500 },
  )
})

test('the audit finds a changed value that the server did not report, and the next collection returns the right value', async () => {
  const model = createRegistryModel()
  const reader = createRegistryCollector(
    model.connect(() => 'answered'),
    { auditEvery: 2 },
  )
  for (const label of 'abcdef') model.set(0, label, 1)
  await reader.collect({ timeoutMs: 1000 })
  model.forgetNextChange()
  model.set(0, 'b', 2)
  await assert.rejects(
    reader.collect({ timeoutMs: 1000 }),
    /audit of the cached series: expected .*, got 1 series/,
  )
  const collected = await reader.collect({ timeoutMs: 1000 })
  assert.deepEqual(sorted(seriesOf(collected)), sorted(model.truth()))
  assert.equal(mismatchesOf(collected), 1)
})

test('a collection of many pages pauses between pages during the first half of its time-out', async () => {
  const model = createRegistryModel()
  model.pageSize = 1
  for (const label of 'abcdefgh') model.set(0, label, 1)
  const server = model.connect(() => 'answered')
  let clock = 0
  const tookMs = [5, 5, 5, 7, 0.5, 100, 9]
  const events: string[] = []
  const reader = createRegistryCollector(
    {
      ...server,
      request(...args) {
        const ms = tookMs.shift() ?? 300
        events.push(`page in ${ms}`)
        clock += ms
        return server.request(...args)
      },
    },
    {
      now: () => clock,
      pause(ms) {
        events.push(`pause of ${ms}`)
        clock += ms
        return Promise.resolve()
      },
    },
  )
  await reader.collect({ timeoutMs: 300 })
  assert.deepEqual(events, [
    ...['page in 5', 'page in 5', 'page in 5', 'page in 7'],
    ...['pause of 7', 'page in 0.5'],
    'page in 100',
    ...['pause of 20', 'page in 9'],
    // Half of the time-out of 300 ms is over, so the collector requests the last page without a pause.
    'page in 300',
  ])
})

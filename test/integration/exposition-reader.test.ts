import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { render } from '../../src/exposition/exposition.js'
import { EVERY_TYPE, hostileFamily, readSamples } from '../support/expositions.js'
import { parseWithPython } from '../support/python.js'

const CREATED = { created: true }

test('Debian’s strict python3-prometheus-client reads every exposition with the original values', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(hostileFamily, { minLength: 30, maxLength: 60 }), async (hostile) => {
      // The number makes most names different. The exporter excludes a family whose name another family already has.
      const families = hostile.map(({ family }, i) => ({
        ...family,
        name: `${family.name}${i % 25}`,
      }))
      for (const format of ['text', 'openmetrics'] as const) {
        const all = [...families, ...EVERY_TYPE]
        const bytes = render(all, format, CREATED)
        const parsed = await parseWithPython(format, bytes)
        const samples = parsed.flatMap(({ samples }) =>
          samples.map(({ name, labels, value }) => ({ name, labels, value })),
        )
        const expected = readSamples(Buffer.from(bytes).toString())
        // The Python parser reads -0 as the integer 0. Adding 0 turns -0 into 0.
        for (const sample of expected) sample.value += 0
        if (format === 'openmetrics') assert.deepEqual(samples, expected)
        else assert.equal(samples.length, expected.length)
        const withTimestamps = all.map((family) => ({ ...family, timestampMs: 1700000000123 }))
        const reparsed = await parseWithPython(format, render(withTimestamps, format, CREATED))
        for (const { samples } of reparsed) {
          for (const sample of samples) assert.equal(sample.timestamp, 1700000000.123)
        }
        const expectedTimestamps = parsed.map((family) => ({
          ...family,
          samples: family.samples.map((sample) => ({ ...sample, timestamp: 1700000000.123 })),
        }))
        assert.deepEqual(reparsed, expectedTimestamps)
      }
    }),
    { numRuns: 5, endOnFailure: true },
  )
})

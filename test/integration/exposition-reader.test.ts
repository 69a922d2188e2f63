import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { render } from '../../src/exposition/exposition.js'
import { EVERY_TYPE, hostileFamily, readSamples } from '../support/expositions.js'
import { parseWithPython } from '../support/python.js'

const CREATED = { created: true }

test('Debian’s client library, which is strict, reads all we write as we meant it', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(hostileFamily, { minLength: 30, maxLength: 60 }), async (hostile) => {
      // Many names, most of them unlike: colliding families are left out.
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
        const own = readSamples(Buffer.from(bytes).toString())
        // Python's int('-0') is 0.
        for (const sample of own) sample.value += 0
        if (format === 'openmetrics') assert.deepEqual(samples, own)
        else assert.equal(samples.length, own.length)
        const stamped = all.map((family) => ({ ...family, timestampMs: 1700000000123 }))
        const again = await parseWithPython(format, render(stamped, format, CREATED))
        for (const { samples } of again) {
          for (const sample of samples) assert.equal(sample.timestamp, 1700000000.123)
        }
        const withStamp = parsed.map((family) => ({
          ...family,
          samples: family.samples.map((sample) => ({ ...sample, timestamp: 1700000000.123 })),
        }))
        assert.deepEqual(again, withStamp)
      }
    }),
    { numRuns: 5, endOnFailure: true },
  )
})

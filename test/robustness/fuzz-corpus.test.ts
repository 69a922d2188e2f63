import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { readCorpus } from '../../fuzz/corpus.js'
import { stopPython } from '../../fuzz/python.js'
import { TARGETS } from '../../fuzz/targets/index.js'

after(stopPython)

for (const target of TARGETS) {
  test(`the fuzz target ${target.name} passes for its seeds and its corpus`, async (t) => {
    t.after(() => target.stop?.())
    const seeds = target.seeds.map((seed, i) => ({ file: `seed ${i}`, input: Buffer.from(seed) }))
    for (const { file, input } of [...seeds, ...readCorpus(target)]) {
      await assert.doesNotReject(async () => {
        await target.run(input)
      }, file)
    }
  })
}

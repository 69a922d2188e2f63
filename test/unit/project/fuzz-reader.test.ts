import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readText } from '../../../fuzz/read-exposition.js'
import { Finding } from '../../../fuzz/target.js'

const INVALID: readonly [what: string, text: string][] = [
  ['a label without an end', '# TYPE a gauge\na{b="c} 1\n'],
  ['a duplicate label', '# TYPE a gauge\na{b="c",b="d"} 1\n'],
  ['a duplicate series', '# TYPE a gauge\na 1\na 1\n'],
  ['an unknown escape sequence', '# TYPE a gauge\na{b="\\q"} 1\n'],
  ['a sample between families', '# TYPE a gauge\na{b="c"} 1\nd 1\n'],
  ['a number in the format of C', '# TYPE a gauge\na -nan\n'],
  ['a duplicate type', '# TYPE a gauge\na 1\n# TYPE a gauge\n'],
  ['a missing line feed at the end', '# TYPE a gauge\na 1'],
]

for (const [what, text] of INVALID) {
  test(`the reader of the fuzzer refuses ${what}`, () => {
    assert.throws(() => readText(Buffer.from(text), 'text'), Finding)
    assert.throws(() => readText(Buffer.from(`${text}# EOF\n`), 'openmetrics'), Finding)
  })
}

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readText } from '../../../fuzz/read-exposition.js'
import { Finding } from '../../../fuzz/target.js'

const WRONG: readonly [what: string, text: string][] = [
  ['a label without an end', '# TYPE a gauge\na{b="c} 1\n'],
  ['a label twice', '# TYPE a gauge\na{b="c",b="d"} 1\n'],
  ['a series twice', '# TYPE a gauge\na 1\na 1\n'],
  ['an unknown escape sequence', '# TYPE a gauge\na{b="\\q"} 1\n'],
  ['a line that was put in', '# TYPE a gauge\na{b="c"} 1\nd 1\n'],
  ['a number of C', '# TYPE a gauge\na -nan\n'],
  ['a type twice', '# TYPE a gauge\na 1\n# TYPE a gauge\n'],
  ['no last line feed', '# TYPE a gauge\na 1'],
]

for (const [what, text] of WRONG) {
  test(`the reader of the fuzzer refuses ${what}`, () => {
    assert.throws(() => readText(Buffer.from(text), 'text'), Finding)
    assert.throws(() => readText(Buffer.from(`${text}# EOF\n`), 'openmetrics'), Finding)
  })
}

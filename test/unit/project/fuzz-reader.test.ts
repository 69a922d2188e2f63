import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readText } from '../../../fuzz/read-exposition.js'
import { Finding } from '../../../fuzz/target.js'

const WRONG: readonly [what: string, text: string][] = [
  ['an unterminated label', '# TYPE a gauge\na{b="c} 1\n'],
  ['a duplicate label', '# TYPE a gauge\na{b="c",b="d"} 1\n'],
  ['a duplicate series', '# TYPE a gauge\na 1\na 1\n'],
  ['an unknown escape sequence', '# TYPE a gauge\na{b="\\q"} 1\n'],
  ['an injected line', '# TYPE a gauge\na{b="c"} 1\nd 1\n'],
  ['a number in the format of C', '# TYPE a gauge\na -nan\n'],
  ['a duplicate TYPE line', '# TYPE a gauge\na 1\n# TYPE a gauge\n'],
  ['no last line feed', '# TYPE a gauge\na 1'],
]

for (const [what, text] of WRONG) {
  test(`the reader of the fuzzer rejects ${what}`, () => {
    assert.throws(() => readText(Buffer.from(text), 'text'), Finding)
    assert.throws(() => readText(Buffer.from(`${text}# EOF\n`), 'openmetrics'), Finding)
  })
}

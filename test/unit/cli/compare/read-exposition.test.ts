import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { ConfigError } from '../../../../src/errors.js'
import { MAX_BODY_MIB, MAX_LINE_MIB } from '../../../../src/cli/compare/split-lines.js'
import { readExposition } from '../../../../src/cli/compare/read-exposition.js'
import {
  INVALID_OPENMETRICS,
  INVALID_TEXT,
  VALID_OPENMETRICS,
  VALID_TEXT,
} from '../../../support/exposition-inputs.js'
import { readSeries } from '../../../support/exposition-reader.js'

const NOTHING = { type: () => undefined, sample: () => undefined }
const MIB = 1024 * 1024

describe('compare reads text 0.0.4 with', () => {
  for (const { what, text, series } of VALID_TEXT) {
    test(what, async () => {
      const read = await readSeries(text)
      assert.equal(read.unreadable, 0)
      assert.deepEqual(sorted(read.series), sorted(Object.entries(series)))
    })
  }
})

describe('compare reads OpenMetrics with', () => {
  for (const { what, text, series } of VALID_OPENMETRICS) {
    test(what, async () => {
      for (const end of ['# EOF\n', '# EOF']) {
        const read = await readSeries(text + end, { isOpenMetrics: true })
        assert.equal(read.unreadable, 0)
        assert.deepEqual(sorted(read.series), sorted(Object.entries(series)))
      }
    })
  }
})

describe('compare counts as unreadable', () => {
  for (const { what, text } of INVALID_TEXT) {
    test(what, async () => {
      const { unreadable, examples } = await readSeries(text)
      assert.equal(unreadable, 1)
      assert.equal(examples[0]?.number, 1)
    })
  }
  for (const { what, text } of INVALID_OPENMETRICS) {
    test(`in OpenMetrics ${what}`, async () => {
      const isEnded = String(text).startsWith('# EOF')
      const { unreadable } = await readSeries(isEnded ? text : `${String(text)}# EOF\n`, {
        isOpenMetrics: true,
      })
      assert.equal(unreadable, 1)
    })
  }
  test('each line, and names the first five', async () => {
    const { samples, unreadable, examples } = await readSeries(`a 1\n${'?\n'.repeat(7)}b 1\n`)
    assert.equal(samples, 2)
    assert.equal(unreadable, 7)
    assert.deepEqual(
      examples.map(({ number }) => number),
      [2, 3, 4, 5, 6],
    )
  })
})

test('compare treats labels as equal in any order and escaping', async () => {
  const value = fc.string({ unit: fc.constantFrom('\\', '"', '\n', 'n', 'x', 'é', '\u2028') })
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(value.filter(Boolean), { maxLength: 4 }), async (values) => {
      const label = (text: string, i: number) =>
        `l${i}="${text.replace(/[\\"\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`))}"`
      const labels = values.map(label)
      const { series } = await readSeries(`a{${labels.toReversed().join(' , ')}} 1\n`)
      assert.deepEqual(series, [[`a{${labels.join(',')}}`, 1]])
    }),
  )
})

test('compare reads the same series however the exposition is split into chunks', async () => {
  const text = VALID_TEXT.map((input) => input.text).join('')
  const whole = await readSeries(text)
  for (const pieceBytes of [1, 2, 3, 7, 64]) {
    assert.deepEqual(await readSeries(text, { pieceBytes }), whole)
  }
})

describe('compare rejects', () => {
  const rejects = async (text: string, isOpenMetrics: boolean, message: RegExp) => {
    await assert.rejects(readSeries(text, { isOpenMetrics }), (error) => {
      assert.ok(error instanceof ConfigError)
      assert.match(error.message, message)
      return true
    })
  }
  test('text whose last line has no line feed', async () => {
    await rejects('a 1\nb 12', false, /^the metrics are truncated in line 2$/)
    await rejects('a 1\n# HELP b', false, /^the metrics are truncated in line 2$/)
  })
  test('OpenMetrics without its last line', async () => {
    await rejects('a 1\n', true, /truncated: the line "# EOF" at the end of OpenMetrics is missing/)
    await rejects('a 1\n# EO', true, /truncated in line 2/)
    await rejects('a 1\n# EOF ', true, /truncated in line 2/)
  })
})

describe('compare limits', () => {
  /** Repeats the piece without end. With `after`, that text ends the exposition after 15 MiB. */
  function endless(piece: string, after = '') {
    const bytes = Buffer.from(piece)
    let read = 0
    let isClosed = false
    async function* pieces() {
      try {
        for (;;) {
          yield await Promise.resolve(bytes)
          read += bytes.length
          if (after !== '' && read > 15 * MIB) {
            yield Buffer.from(after)
            return
          }
        }
      } finally {
        isClosed = true
      }
    }
    return { pieces: pieces(), read: () => read, isClosed: () => isClosed }
  }
  const comment = `# ${'x'.repeat(MIB)}\n`

  test('a body that never ends', async () => {
    const { pieces, read, isClosed } = endless(comment)
    await assert.rejects(readExposition(pieces, false, NOTHING), {
      name: 'ConfigError',
      message: `the metrics are longer than the limit of ${MAX_BODY_MIB} MiB`,
    })
    assert.ok(read() <= MAX_BODY_MIB * MIB)
    assert.ok(isClosed())
  })

  test('a line that never ends', async () => {
    const { pieces, read, isClosed } = endless('x'.repeat(65_536))
    await assert.rejects(readExposition(pieces, false, NOTHING), {
      name: 'ConfigError',
      message: `a line is longer than the limit of ${MAX_LINE_MIB} MiB`,
    })
    assert.ok(read() <= MAX_LINE_MIB * MIB)
    assert.ok(isClosed())
  })

  // Regular expressions exhaust the stack on some of these lines, and take quadratic time for others.
  const LONG = 15 * MIB
  for (const [what, line, isSample] of [
    ['label', `a{b="${'x'.repeat(LONG)}"} 1`, true],
    ['label of escapes', `a{b="${'\\\\'.repeat(LONG / 2)}"} 1`, true],
    ['label that has no end', `a{b="${'\\"'.repeat(LONG / 2)}`, false],
    ['name', `${'x'.repeat(LONG)} 1`, true],
    ['name of a label', `a{${'x'.repeat(LONG)}="b"} 1`, true],
    ['value', `a ${'1'.repeat(LONG)}`, false],
    ['value with an error at its end', `a 0.${'1'.repeat(LONG)}x`, false],
    ['value of few digits', `a 1.${'0'.repeat(LONG)}`, true],
    ['timestamp', `a 1 ${'1'.repeat(300)}.${'1'.repeat(LONG)}`, true],
    ['row of blanks', `a${' '.repeat(LONG)}1`, true],
    ['comment', `#${' '.repeat(LONG)}`, true],
    ['TYPE', `# TYPE ${'x'.repeat(LONG)} ${' '.repeat(9)}x`, false],
    ['row of braces', '{'.repeat(LONG), false],
    ['list of labels', `a{${'b="",'.repeat(LONG / 6)}} 1`, false],
  ] as const) {
    test(`a long ${what}`, async () => {
      const { unreadable } = await readSeries(`${line}\n`)
      assert.equal(unreadable, isSample ? 0 : 1)
    })
  }

  test('many labels', async () => {
    const labels = Array.from({ length: 500_000 }, (_, i) => `l${i}="1"`).join(',')
    const { series } = await readSeries(`a{${labels}} 1\n`)
    assert.equal(series.length, 1)
  })
})

function sorted(series: readonly (readonly [string, number])[]) {
  return [...series].sort(([a], [b]) => (a < b ? -1 : 1))
}

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createComparison } from '../../../../src/cli/compare/compare.js'
import { readExposition } from '../../../../src/cli/compare/read-exposition.js'
import { renderReport } from '../../../../src/cli/compare/compare-report.js'
import { ConfigError } from '../../../../src/errors.js'

const OLD = `# HELP a Help
# TYPE a counter
a_total{host="x",b="1"} 1
a_total{host="y"} 2
a_created{host="x"} 1
# TYPE h histogram
h_bucket{le="1"} -nan
h_sum 1
h_count 1
# EOF
`

async function* once(text: string) {
  yield await Promise.resolve(Buffer.from(text))
}

async function compare(oldText: string, newText: string) {
  const comparison = createComparison()
  const old = await readExposition(once(oldText), false, comparison.old)
  const now = await readExposition(once(newText), false, comparison.new)
  const result = comparison.result()
  return { ...result, text: renderReport({ comparison: result, old, new: now }) }
}

describe('compare', () => {
  test('matches a series in any format, order of labels, or escaping', async () => {
    const { isComplete, families, added } = await compare(
      OLD,
      `# TYPE a_total counter
a_total{b="1",host="x"} 1
a_total{host="y"} 3
# TYPE h histogram
h_bucket{le="1.0"} NaN
h_sum 1
h_count 1
new 1
`,
    )
    assert.equal(isComplete, true)
    assert.deepEqual(families, [
      { name: 'a', series: 2, missing: [], changed: 1 },
      { name: 'h', series: 3, missing: [], changed: 0 },
    ])
    assert.deepEqual(added, ['new'])
  })

  test('matches a series whatever its TYPE is, and wherever the TYPE line is', async () => {
    const { families, added } = await compare(
      'h_sum 1\nh_bucket{le="1"} 1\n# TYPE h histogram\ng_count 1\n',
      'h_bucket{le="1.0"} 1\nh_sum 1\n# TYPE g_count gauge\ng_count 1\n',
    )
    assert.deepEqual(families, [
      { name: 'g_count', series: 1, missing: [], changed: 0 },
      { name: 'h', series: 2, missing: [], changed: 0 },
    ])
    assert.deepEqual(added, [])
  })

  test('ignores the start times of counters, but not a gauge that is named like one', async () => {
    const { families } = await compare(
      '# TYPE c counter\nc_total 1\nc_created 1\n# TYPE file_created gauge\nfile_created 1\n',
      'c_total 1\n',
    )
    assert.deepEqual(
      families.map(({ name, missing }) => [name, missing]),
      [
        ['c', []],
        ['file_created', ['file_created{}']],
      ],
    )
  })

  test('matches a label that the old exposition escapes twice, and one that has a backslash', async () => {
    const old = String.raw`twice{a="x\\\\y\\\"z"} 1
once{a="x\\y"} 1
other{a="x\\\\y"} 1
line{a="x\\ny"} 1
`
    const exporter = String.raw`twice{a="x\\y\"z"} 1
once{a="x\\y"} 1
other{a="xy"} 1
line{a="x\ny"} 1
`
    const { families } = await compare(old, exporter)
    assert.deepEqual(
      families.map(({ name, missing }) => [name, missing.length]),
      [
        ['line', 0],
        ['once', 0],
        ['other', 1],
        ['twice', 0],
      ],
    )
  })

  test('compares the first of repeated samples, and counts the others', async () => {
    const { families, repeated, text } = await compare('a 1\na 2\na 3\n', 'a 1\na 4\n')
    assert.deepEqual(families, [{ name: 'a', series: 1, missing: [], changed: 0 }])
    assert.deepEqual(repeated, { old: 2, new: 1 })
    assert.match(
      text,
      /^Repeated samples in the old metrics: 2\. Only the first sample of a series counts\.$/m,
    )
  })

  test('names the missing series', async () => {
    const comparison = await compare(OLD, '# TYPE a_total counter\na_total{b="2",host="x"} 1\n')
    assert.equal(comparison.isComplete, false)
    assert.match(comparison.text, /^ {4}missing: a_total\{b="1",host="x"\}$/m)
    assert.match(comparison.text, /^ {4}missing: h_sum\{\}$/m)
    assert.match(comparison.text, /^The new metrics lack series in 2 of 2 families\.$/m)
  })

  test('shows unreadable lines, and does not call the comparison complete', async () => {
    const { text } = await compare('a 1\nb one\n', 'a 1\n<p>\n')
    assert.match(text, /^Unreadable lines in the old metrics: 1\n {4}line 2: b one$/m)
    assert.match(text, /^Unreadable lines in the new metrics: 1\n {4}line 2: <p>$/m)
    assert.match(text, /^The comparison is incomplete, because some lines could not be read\.$/m)
    assert.doesNotMatch(text, /have every series/)
  })

  test('explains the new meaning of `up`, unless the old exposition has `xmpp_up`', async () => {
    const note =
      /With the exporter, `up` only shows that the exporter is reachable\.\nAlert on `xmpp_up == 0`, or set `web\.fail_when_down`\./
    assert.match((await compare('a 1\n', 'a 1\nxmpp_up 1\n')).text, note)
    assert.doesNotMatch((await compare('xmpp_up 1\n', 'xmpp_up 1\n')).text, note)
    assert.doesNotMatch((await compare('a 1\n', 'a 1\n')).text, note)
  })

  test('shows no control characters, and shortens a long text', async () => {
    const { text } = await compare(
      `a{b="\x1b[2J\x9b2J\u202Eé\u2028"} 1\nb{c="${'x'.repeat(9999)}"} 1\n\x07?\n`,
      `${'y'.repeat(9999)} 1\n`,
    )
    assert.match(text, /missing: a\{b="\\u\{1b\}\[2J\\u\{9b\}2J\\u\{202e\}é\\u\{2028\}"\}$/m)
    assert.match(text, /line 3: \\u\{7\}\?$/m)
    assert.ok(text.split('\n').every((line) => line.length < 400))
  })

  test('shows a hundred new families, and the number of the others', async () => {
    const names = Array.from({ length: 103 }, (_, i) => `n${i} 1\n`).join('')
    assert.match((await compare('a 1\n', `a 1\n${names}`)).text, /, n96 and 3 more$/m)
  })

  test('fails with too many series, metric names or families on either side', () => {
    const add = (side: 'old' | 'new', name: string, label: string) => {
      const { [side]: sink } = comparison
      sink.sample({ name, labels: `b="${label}"`, value: 1 })
    }
    const comparison = createComparison(2)
    for (const label of ['1', '2', '2']) add('old', 'a', label)
    for (const label of ['1', '2', '3']) add('new', 'a', label)
    const fails = (run: () => void, what: string) => {
      assert.throws(run, new ConfigError(`the metrics have more than 2 ${what}`))
    }
    fails(() => {
      add('old', 'a', '3')
    }, 'series')
    add('new', 'b', '1')
    fails(() => {
      add('new', 'c', '1')
    }, 'metric names')
    comparison.old.type('a')
    comparison.new.type('b')
    fails(() => {
      comparison.new.type('c')
    }, 'metric families')
  })
})

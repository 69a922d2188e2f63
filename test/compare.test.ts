import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { compare, comparisonText } from '../src/compare/compare.js'
import { runExporter, withExporterFor } from './helpers/exporter.js'
import { prosodyVersions, withProsody } from './helpers/prosody.js'
import { untilReady } from './helpers/real.js'
import { login } from './helpers/xmpp-client.js'

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

describe('compare', () => {
  test('finds what is there under any format, order of labels, or escaping', () => {
    const { isComplete, families, added } = compare(
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
      { name: 'a', series: 2, missing: [], moved: 1 },
      { name: 'h', series: 3, missing: [], moved: 0 },
    ])
    assert.deepEqual(added, ['new'])
  })

  test('takes a label that is escaped twice, and one that has a backslash, for what they are', () => {
    const old = String.raw`twice{a="x\\\\y\\\"z"} 1
once{a="x\\y"} 1
other{a="x\\\\y"} 1
`
    const ours = String.raw`twice{a="x\\y\"z"} 1
once{a="x\\y"} 1
other{a="xy"} 1
`
    const { families } = compare(old, ours)
    assert.deepEqual(
      families.map(({ name, missing }) => [name, missing.length]),
      [
        ['once', 0],
        ['other', 1],
        ['twice', 0],
      ],
    )
  })

  test('names what is missing', () => {
    const comparison = compare(OLD, '# TYPE a_total counter\na_total{b="2",host="x"} 1\n')
    assert.equal(comparison.isComplete, false)
    const text = comparisonText(comparison)
    assert.match(text, /^ {4}missing: a_total\{b="1",host="x"\}$/m)
    assert.match(text, /^ {4}missing: h_sum\{\}$/m)
    assert.match(text, /^Of 2 of 2 families series are missing/m)
  })

  for (const version of prosodyVersions) {
    test(`shows that nothing of mod_http_openmetrics is lost with Prosody ${version}`, async (t) => {
      const jid = 'user@one.example'
      const prosody = await withProsody(t, {
        version,
        modules: ['test_series'],
        globals: { test_series_count: '30', test_series_families: '3' },
        users: { [jid]: 'pw' },
      })
      const user = await login({ port: prosody.ports.c2s, jid, password: 'pw' })
      t.after(() => user.close())
      const exporter = await withExporterFor(t, prosody)
      await untilReady(exporter, 200)
      const run = async (...urls: string[]) => {
        const child = runExporter({ flags: ['compare', ...urls] })
        return { code: await child.exited, out: child.stdout(), err: child.stderr() }
      }
      const ours = `${exporter.url}/metrics`
      const { code, out } = await run(prosody.openmetricsUrl, ours)
      assert.match(out, /^prosody_mod_c2s__connections +2 +0 +0$/m)
      assert.match(
        out,
        /^All \d+ families of the old one are in the new one, with every series\.$/m,
      )
      assert.equal(code, 0)

      const back = await run(ours, prosody.openmetricsUrl)
      assert.match(back.out, /missing: xmpp_up\{\}/)
      assert.equal(back.code, 1)

      const wrong = await run('http://user:hidden@127.0.0.1:1/metrics')
      assert.match(wrong.err, /^prosody-exporter: http:\/\/127\.0\.0\.1:1\/metrics: .*\n$/)
      assert.equal(wrong.code, 2)
    })
  }
})

import assert from 'node:assert/strict'
import { describe, test, type TestContext } from 'node:test'
import { withExporterFor, type RunningExporter } from '../support/exporter.js'
import { checkMetrics, prometheusVersions, withPrometheus } from '../support/prometheus.js'
import { prosodyVersions, withProsody } from '../support/prosody.js'
import { parseWithPython, type ParsedSample } from '../support/python.js'
import { sampleValue, untilReady } from '../support/real.js'
import { login } from '../support/xmpp-client.js'

const FORMATS = ['text', 'openmetrics'] as const
const ACCEPT = {
  text: 'text/plain;version=0.0.4',
  openmetrics: 'application/openmetrics-text;version=1.0.0',
}

type Format = (typeof FORMATS)[number]
type Version = (typeof prosodyVersions)[number]
type Sample = { readonly labels: Readonly<Record<string, string>>; readonly value: number }

/** Starts a Prosody and its exporter, and causes some traffic. One user stays logged in. */
async function startBoth(t: TestContext, version: Version, modules: readonly string[] = []) {
  const jid = 'user@one.example'
  const prosody = await withProsody(t, { version, modules, users: { [jid]: 'pw' } })
  const user = await login({ port: prosody.ports.c2s, jid, password: 'pw' })
  t.after(() => user.close())
  await user.joinRoom(`room@${prosody.rooms}`, 'nick')
  await assert.rejects(login({ port: prosody.ports.c2s, jid, password: 'wrong' }))
  const exporter = await withExporterFor(t, prosody)
  await untilReady(exporter, 200)
  return exporter
}

/** Returns the series of a scrape with their values, sorted by name and labels. */
function seriesOf(samples: readonly Sample[], format: Format): Map<string, string> {
  const series = samples.map(({ labels, value }) => {
    const pairs = Object.entries(labels)
      // Prometheus adds job and instance, and drops labels with an empty value.
      .filter(([name, text]) => name !== 'job' && name !== 'instance' && text !== '')
      // Prometheus 3 normalizes the bounds of buckets.
      .map(([name, text]) => [name, name === 'le' ? boundOf(text) : text])
      .sort(([a = ''], [b = '']) => (a < b ? -1 : 1))
    // Python's OpenMetrics parser reads -0 as the integer 0, so the sign of 0 counts only in the text format.
    const isSigned = format === 'text' && Object.is(value, -0)
    return [JSON.stringify(pairs), isSigned ? '-0' : String(value)] as const
  })
  assert.equal(new Set(series.map(([key]) => key)).size, series.length, 'duplicate series')
  return new Map(series.sort(([a], [b]) => (a < b ? -1 : 1)))
}

function boundOf(text: string): string {
  return text === '+Inf' || Number.isNaN(Number(text)) ? text : String(Number(text))
}

async function scrapeDirectly(exporter: RunningExporter, format: Format): Promise<Sample[]> {
  const { text } = await exporter.get('/metrics', { Accept: ACCEPT[format] })
  const families = await parseWithPython(format, text)
  return families.flatMap(({ samples }) =>
    samples.map(({ name, labels, value }: ParsedSample) => ({
      labels: { ...labels, __name__: name },
      value,
    })),
  )
}

/** Returns whether the value of the series changes at each collection. */
const isMoving = (key: string): boolean =>
  /"__name__","(prosody_(exporter|stats)_(?!build_info|samples_invalid)|xmpp_(loop_lag|process|lua)_)/.test(
    key,
  )

function assertSame(stored: Map<string, string>, direct: Map<string, string>): void {
  assert.deepEqual([...stored.keys()], [...direct.keys()])
  const constant = (series: Map<string, string>) =>
    Object.fromEntries([...series].filter(([key]) => !isMoving(key)))
  assert.deepEqual(constant(stored), constant(direct))
}

describe('scrapes by a real Prometheus', { concurrency: 2 }, () => {
  for (const version of prosodyVersions) {
    for (const major of prometheusVersions) {
      for (const modules of [[], ['test_hostile']]) {
        const what = modules.length > 0 ? ' with a hostile module' : ''
        test(`Prometheus ${major} stores exactly the series in the exposition of Prosody ${version}${what}`, async (t) => {
          const exporter = await startBoth(t, version, modules)
          const target = `${exporter.url}/metrics`
          const prometheus = await withPrometheus(t, {
            major,
            // The first job uses the default format of Prometheus. Each other job requests one format.
            jobs: [
              { name: 'default', target },
              ...FORMATS.map((format) => ({ name: format, target, format })),
            ],
          })
          for (const job of ['default', ...FORMATS] as const) {
            const format = job === 'default' ? 'openmetrics' : job
            await prometheus.scrapes(job, 2)
            const stored = await prometheus.samples(job)
            const direct = await scrapeDirectly(exporter, format)
            const has = (name: string) =>
              direct.some(({ labels }) => labels['__name__']?.startsWith(name))
            assert.ok(has('prosody_mod_muc__live_room'))
            assert.equal(has('test_hostile_'), modules.length > 0)
            assertSame(seriesOf(stored, format), seriesOf(direct, format))
          }
          const types = await prometheus.metadata('prosody_mod_muc__live_room')
          assert.deepEqual(new Set(types.map(({ type }) => type)), new Set(['gauge']))
        })
      }
    }

    test(`Prometheus and its promtool find no problem with the exporter's own metrics, with Prosody ${version}`, async (t) => {
      const [plain, hostile] = await Promise.all([
        startBoth(t, version),
        startBoth(t, version, ['test_hostile']),
      ])
      for (const exporter of [plain, hostile]) {
        const { text } = await exporter.get('/metrics')
        assert.equal(sampleValue(text, 'xmpp_up'), 1)
        const own = text
          .split('\n')
          .filter((line) => /^(# (HELP|TYPE) )?(xmpp_|prosody_exporter_)/.test(line))
        assert.ok(own.length > 30)
        for (const major of prometheusVersions) {
          const checked = await checkMetrics(major, `${own.join('\n')}\n`)
          assert.deepEqual(
            { ...checked, stdout: undefined },
            { code: 0, output: '', stdout: undefined },
          )
          const { code, output } = await checkMetrics(major, text)
          assert.ok(code === 0 || code === 3, `promtool exited with ${code}: ${output}`)
        }
      }
    })
  }
})

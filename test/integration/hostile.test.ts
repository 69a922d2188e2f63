import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  isMovingFamily,
  isServerFamily,
  readExporter,
  seriesKey,
  seriesOf,
  type Family,
  type Format,
  type Sample,
} from '../support/compare.js'
import { withExporterFor, type RunningExporter } from '../support/exporter.js'
import { prosodyVersions, withProsody, type TestProsody } from '../support/prosody.js'
import { parseWithPython } from '../support/python.js'
import { evalLua, untilReady } from '../support/real.js'

/**
 * A metric family in the output of mod_test_registry. Texts are hexadecimal digits, and numbers are in Lua's format
 * `%d` or `%.17g`.
 */
type DumpedFamily = {
  readonly name: string
  readonly type: string
  readonly unit: string
  readonly help: string
  readonly labels: readonly string[]
  readonly metrics: readonly DumpedMetric[]
}

type DumpedMetric = {
  readonly labels: readonly string[]
  readonly buckets: readonly (readonly [string, string])[]
  readonly created: string
  readonly value: string
  readonly sum: string
  readonly count: string
}

type Exclusion = {
  readonly family: string
  /** The type of the family. An entry has it only if two families have the same name. */
  readonly type?: string
  /** The value of the first label of the series. A family with only one series has no such value here. */
  readonly label?: string
  readonly from: 'openmetrics' | 'both'
}

const LONG = 'x'.repeat(33_000)

// This Lua code creates more series than mod_test_hostile, before the first scrape.
const MORE = `
local T = prosody.test_registry
T.declare("gauge", "test_hostile_no_number", "Values of other types", { "which" })
T.move("test_hostile_no_number", { "false" }, "set", false)
T.move("test_hostile_no_number", { "true" }, "set", true)
T.move("test_hostile_no_number", { "nil" }, "set", nil)
T.move("test_hostile_no_number", { "table" }, "set", {})
T.declare("histogram", "test_hostile_le", "A label of its own named le", { "le" }, { 1 })
T.move("test_hostile_le", { "1" }, "sample", 1)
T.declare("summary", "test_hostile_quantile", "A label of its own named quantile", { "quantile" })
T.move("test_hostile_quantile", { "1" }, "sample", 1)
T.declare("gauge", "test_hostile_long", "A label that fills a reply", { "value" })
T.move("test_hostile_long", { ("x"):rep(33000) }, "set", 1)
T.move("test_hostile_long", { "short" }, "set", 2)
T.declare("gauge", "test_hostile_escapes", "Escaped characters", { "value" })
T.move("test_hostile_escapes", { 'a"b\\\\c\\nd' }, "set", 1)
`

// Each entry is one series that the exporter excludes and counts in prosody_exporter_samples_invalid. `from` says in
// which formats.
const EXCLUSIONS: readonly Exclusion[] = [
  // The exporter excludes series whose value is not a number.
  { family: 'test_hostile_number', label: 'nothing', from: 'both' },
  { family: 'test_hostile_counter', label: 'nothing', from: 'both' },
  { family: 'test_hostile_no_number', label: 'false', from: 'both' },
  { family: 'test_hostile_no_number', label: 'true', from: 'both' },
  { family: 'test_hostile_no_number', label: 'nil', from: 'both' },
  { family: 'test_hostile_no_number', label: 'table', from: 'both' },
  // OpenMetrics 1.0.0, Counter: the value of a counter must not be NaN or negative.
  { family: 'test_hostile_counter', label: 'nan', from: 'openmetrics' },
  { family: 'test_hostile_counter', label: 'minus-nan', from: 'openmetrics' },
  { family: 'test_hostile_counter', label: 'minus-inf', from: 'openmetrics' },
  { family: 'test_hostile_counter', label: 'negative', from: 'openmetrics' },
  // OpenMetrics 1.0.0, Summary: the sum of a summary must not be NaN or negative.
  { family: 'test_hostile_summary_bytes', label: 'nan', from: 'openmetrics' },
  { family: 'test_hostile_summary_bytes', label: 'negative', from: 'openmetrics' },
  // An observed NaN is in no bucket of a histogram. So the bucket +Inf differs from the count, which OpenMetrics forbids.
  { family: 'test_hostile_nan_sample', label: 'nan', from: 'openmetrics' },
  // Prometheus rejects the whole scrape when a series has a label twice.
  { family: 'test_hostile_same_labels', from: 'both' },
  { family: 'test_hostile_le', from: 'both' },
  { family: 'test_hostile_quantile', from: 'both' },
  // Prometheus rejects the whole scrape if the exposition has a name like those of the following families.
  { family: 'test_hostile_own_name', from: 'both' },
  { family: 'test_hostile_nameless_label', from: 'both' },
  { family: '', from: 'both' },
  // With more than 32 KB of bucket bounds in one line, Prosody 13.0 would close the stream.
  { family: 'test_hostile_many_buckets', from: 'both' },
  // mod_adhoc_statistics excludes a series with more than 32 KB of labels (see the README of the module).
  { family: 'test_hostile_long', label: LONG, from: 'both' },
  // OpenMetrics 1.0.0, Suffixes: a gauge must not have the name of the counter test_hostile_twin__a.
  { family: 'test_hostile_twin__a', type: 'gauge', from: 'openmetrics' },
  // The counter test_hostile_clash already has a sample test_hostile_clash_total, and the summary test_hostile_summed a
  // sample test_hostile_summed_count. So even in the text format, a TYPE line or a sample would occur twice.
  { family: 'test_hostile_clash_total', from: 'both' },
  { family: 'test_hostile_summed_count', from: 'both' },
  // The exporter has families with these names itself.
  { family: 'xmpp_up', from: 'both' },
  { family: 'prosody_exporter_build_info', from: 'both' },
]

for (const version of prosodyVersions) {
  test(`the exporter exports hostile series with the values and labels in the registry of Prosody ${version}`, async (t) => {
    const prosody = await withProsody(t, {
      version,
      modules: ['test_eval', 'test_registry', 'test_hostile'],
    })
    await evalLua(prosody, MORE)
    const exporter = await withExporterFor(t, prosody, {
      env: {
        PROSODY_EXPORTER_COLLECTION_MIN_AGE: '0s',
        PROSODY_EXPORTER_EXPOSITION_CREATED: 'true',
      },
    })
    await untilReady(exporter, 200)
    await compare(prosody, exporter, EXCLUSIONS)

    // A series must appear when its value becomes a number, and disappear when its value is not a number any more.
    await evalLua(
      prosody,
      `local number = require "core.statsmanager".get_metric_registry().families.test_hostile_number
      number:with_labels("nothing"):set(3)
      number:with_labels("third"):set("no number")
      number:with_labels("inf"):set(0/0)
      number:with_labels("nan"):set(-1/0)`,
    )
    const changed = EXCLUSIONS.map((each) =>
      each.family === 'test_hostile_number' ? { ...each, label: 'third' } : each,
    )
    await compare(prosody, exporter, changed)
  })

  test(`mod_http_openmetrics of Prosody ${version} renders hostile series wrongly, unlike the exporter`, async (t) => {
    const prosody = await withProsody(t, {
      version,
      modules: ['test_eval', 'test_registry', 'test_hostile'],
    })
    await evalLua(prosody, MORE)
    const render = (family: string) =>
      evalLua(prosody, `return prosody.test_registry.render("${family}")`)

    // If one label value is a number, or one sample value is not a number, mod_http_openmetrics fails completely.
    assert.equal((await fetch(prosody.openmetricsUrl)).status, 500)
    assert.match(
      await render('test_hostile_label'),
      /^error: .*attempt to index a (number|boolean)/,
    )
    assert.match(await render('test_hostile_number'), /^error: .*number expected, got string/)
    // mod_http_openmetrics renders these families as invalid OpenMetrics.
    assert.match(await render('test_hostile_summary_bytes'), /_sum\{which="nan"\} -?nan$/m)
    for (const family of ['test_hostile_unsorted', 'test_hostile_summary_bytes']) {
      await assert.rejects(parseWithPython('openmetrics', await render(family)), family)
    }
    // mod_http_openmetrics renders the label of this family with another value.
    const [escapes] = await parseWithPython('openmetrics', await render('test_hostile_escapes'))
    assert.equal(escapes?.samples[0]?.labels.value, String.raw`a\"b\\c\nd`)
  })
}

async function compare(
  prosody: TestProsody,
  exporter: RunningExporter,
  exclusions: readonly Exclusion[],
): Promise<void> {
  const reads = {
    text: await readExporter(exporter, 'text'),
    openmetrics: await readExporter(exporter, 'openmetrics'),
  }
  const dump = await evalLua(prosody, 'return prosody.test_registry.dump()')
  const dumped = (JSON.parse(dump) as DumpedFamily[]).filter(
    ({ name }) => !isMovingFamily({ name: shownName(name) }),
  )
  assert.ok(dumped.length > 30)
  for (const format of ['text', 'openmetrics'] as const) {
    const served = reads[format].filter(({ name }) => !isMovingFamily({ name }))
    const actual = seriesOf(served.filter(isServerFamily))
    const { series, twice } = expectedSeries(dumped, format, exclusions)
    assert.deepEqual([...actual.keys()].sort(), [...series.keys()].sort())
    for (const [key, values] of series) {
      assert.ok(
        values.some((value) => Object.is(value, actual.get(key))),
        `${format}: ${key.slice(0, 200)} ${values.join(' or ')} is ${actual.get(key)}`,
      )
    }
    // mod_test_hostile has the labels 5 and "5", and 0 and "0", which are equal in an exposition.
    assert.deepEqual(twice, ['test_hostile_label', 'test_hostile_label'])

    const counts: Record<string, number> = {}
    for (const name of [...exclusions.map(({ family }) => family), ...twice]) {
      counts[name] = (counts[name] ?? 0) + 1
    }
    const invalid = served.find(({ name }) => name === 'prosody_exporter_samples_invalid')
    assert.deepEqual(
      Object.fromEntries(invalid?.samples.map(({ labels, value }) => [labels.family, value]) ?? []),
      counts,
    )

    const help = served.find(({ name }) => name === 'test_hostile_help')?.help
    assert.equal(help, 'Help with\nnew lines \\ and "quotes" \u{1} and \u{fffd}ff bytes')
    const units = served.filter(({ unit }) => unit !== '').map(({ name, unit }) => [name, unit])
    const expected = [
      ['test_hostile_summary_bytes', 'bytes'],
      ['test_hostile_unit_seconds', 'seconds'],
    ]
    assert.deepEqual(
      units.filter(([name]) => name?.startsWith('test_')),
      format === 'text' ? [] : expected,
    )
  }
}

/**
 * Returns the series that an exposition in the format must have, with their allowed values, by `seriesKey`. `twice`
 * has the name of the family for each series with the same labels as another series.
 */
function expectedSeries(
  dumped: readonly DumpedFamily[],
  format: Format,
  exclusions: readonly Exclusion[],
): { series: Map<string, number[]>; twice: string[] } {
  const series = new Map<string, number[]>()
  const twice: string[] = []
  const matched = new Set<Exclusion>()
  for (const family of dumped) {
    const name = shownName(family.name)
    const { type } = family
    for (const metric of family.metrics) {
      const first = metric.labels[0] === undefined ? undefined : shownText(metric.labels[0])
      const reason = exclusions.find(
        (each) =>
          each.family === name && (each.type ?? type) === type && (each.label ?? first) === first,
      )
      if (reason) {
        assert.ok(
          !matched.has(reason),
          `the entry of EXCLUSIONS for ${name} ${first} matches more than one series`,
        )
        matched.add(reason)
        if (reason.from === 'both' || reason.from === format) continue
      }
      const labels = Object.fromEntries(
        family.labels.map((label, i) => [shownName(label), shownText(metric.labels[i]!)]),
      )
      const samples = samplesOf({ name, type }, labels, metric, format)
      const isTwice = samples.some((sample) => series.has(seriesKey({ name, type }, sample)))
      if (isTwice) twice.push(name)
      for (const sample of samples) {
        const key = seriesKey({ name, type }, sample)
        series.set(key, [...(series.get(key) ?? []), sample.value])
      }
    }
  }
  assert.deepEqual(
    exclusions.filter((each) => !matched.has(each)),
    [],
  )
  return { series, twice }
}

function samplesOf(
  { name, type }: Pick<Family, 'name' | 'type'>,
  labels: Readonly<Record<string, string>>,
  { buckets, created, value, sum, count }: DumpedMetric,
  format: Format,
): Sample[] {
  const sample = (suffix: string, text: string, more: Readonly<Record<string, string>> = {}) => ({
    name: name + suffix,
    labels: { ...labels, ...more },
    value: nearest(text),
  })
  const createdSamples =
    format === 'openmetrics' && created !== 'none' ? [sample('_created', created)] : []
  if (type === 'gauge') return [sample('', value)]
  if (type === 'counter') return [sample('_total', value), ...createdSamples]
  // Bounds that are equal as text have the same count, so the exposition has them only once.
  const bounds = new Map(buckets.map(([bound, times]) => [shownText(bound), times]))
  const bucketSamples = [...bounds].map(([le, times]) => sample('_bucket', times, { le }))
  // OpenMetrics 1.0.0, Histogram: a histogram with negative buckets must not have a sum. Without a sum, it must not have
  // a count.
  const isSumless =
    format === 'openmetrics' && [...bounds.keys()].some((bound) => bound.startsWith('-'))
  const sums = isSumless ? [] : [sample('_sum', sum), sample('_count', count)]
  return [...bucketSamples, ...sums, ...createdSamples]
}

/** Parses a number in C's format to the nearest float64. */
function nearest(text: string): number {
  if (/^-?nan$/.test(text)) return NaN
  if (/^-?inf$/.test(text)) return text === 'inf' ? Infinity : -Infinity
  assert.match(text, /^-?\d[\d.]*(e[+-]\d+)?$/)
  return Number(text)
}

/** Escapes the bytes of a name as the function `escape_name` in Prosody's util.openmetrics does. */
function shownName(hex: string): string {
  return Buffer.from(hex, 'hex')
    .toString('latin1')
    .replaceAll('/', '__')
    .replace(/[^A-Za-z0-9_]/g, '_')
    .replace(/^(?=[^A-Za-z_])/, '_')
}

// Matches one valid UTF-8 sequence (RFC 3629 §4) in a text whose characters are bytes.
const UTF8 =
  /[\x00-\x7f]|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|\xed[\x80-\x9f][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}/y

/**
 * Decodes UTF-8. Each byte of an invalid sequence, or of U+FFFD itself, becomes U+FFFD and two
 * hexadecimal digits.
 */
function shownText(hex: string): string {
  const bytes = Buffer.from(hex, 'hex').toString('latin1')
  let shown = ''
  for (let at = 0; at < bytes.length;) {
    UTF8.lastIndex = at
    const [character] = UTF8.exec(bytes) ?? []
    if (character !== undefined && character !== '\xef\xbf\xbd') {
      shown += Buffer.from(character, 'latin1').toString('utf8')
      at += character.length
    } else {
      shown += `\u{fffd}${bytes.charCodeAt(at).toString(16)}`
      at += 1
    }
  }
  return shown
}

/**
 * Readers of expositions that share no code with the exporter, and a comparison of two expositions. The reader for
 * mod_http_openmetrics accepts the known defects of that module. The readers for the exporter's formats do not accept
 * these defects.
 */

import assert from 'node:assert/strict'
import type { RunningExporter } from './exporter.js'
import { parseWithPython } from './python.js'

export type Format = 'text' | 'openmetrics'

export type Sample = {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export type Family = {
  /** The name of the metric family. In every format, the name of a counter has no `_total`. */
  readonly name: string
  readonly type: string
  readonly help: string
  readonly unit: string
  readonly samples: readonly Sample[]
}

type Dialect = {
  /** The suffix that the name of a counter has in TYPE, HELP and UNIT lines. */
  readonly counterSuffix: '' | '_total'
  readonly readLabel: (text: string) => string
  readonly readHelp: (text: string) => string
  readonly readValue: (text: string) => number
}

const DIALECTS: Readonly<Record<'text' | 'openmetrics' | 'prosody', Dialect>> = {
  text: {
    counterSuffix: '_total',
    readLabel: unescape,
    // In the text format 0.0.4, quotation marks in a HELP line are not escaped.
    readHelp: (text) => unescape(text.replaceAll('"', '\\"')),
    readValue,
  },
  openmetrics: { counterSuffix: '', readLabel: unescape, readHelp: unescape, readValue },
  prosody: {
    counterSuffix: '',
    // Prosody's util.openmetrics escapes a label value twice: in repr_labels and again in repr_label.
    readLabel: (text) => unescape(unescape(text)),
    readHelp: (text) => unescape(text.replaceAll('"', '\\"')),
    // Prosody writes numbers in the format of C's %.17g, for example `nan` and `inf`.
    readValue: (text) => readValue(CNUMBERS[text] ?? text),
  },
}

const CNUMBERS: Readonly<Record<string, string>> = {
  nan: 'NaN',
  '-nan': 'NaN',
  inf: '+Inf',
  '-inf': '-Inf',
}

/**
 * Reads an exposition and returns those metric families that have samples.
 *
 * @param dialect `prosody` is the output of mod_http_openmetrics. It escapes labels twice, has UNIT lines without a
 *   unit, numbers in the format of C, families without samples, and families in any order.
 * @throws {Error} For a line that is invalid in the dialect.
 */
export function readExposition(text: string, dialect: keyof typeof DIALECTS): Family[] {
  const { counterSuffix, readLabel, readHelp, readValue } = DIALECTS[dialect]
  const families: (Family & { samples: Sample[] })[] = []
  const lines = text.split('\n')
  assert.equal(lines.pop(), '', 'the last line does not end with a line feed')
  if (dialect !== 'text') assert.equal(lines.pop(), '# EOF')
  let metadata: Record<string, string> = {}
  let name = ''
  for (const line of lines) {
    const [, keyword, of, rest = ''] = /^# (HELP|TYPE|UNIT) (\w+)(?: (.*))?$/s.exec(line) ?? []
    if (keyword !== undefined && of !== undefined) {
      if (of !== name || keyword in metadata) metadata = {}
      name = of
      metadata[keyword] = rest
      if (keyword !== 'TYPE') {
        const family = families.at(-1)
        // In OpenMetrics, the TYPE line of a family comes before its HELP and UNIT lines.
        if (dialect === 'openmetrics' && family?.samples.length === 0) {
          families[families.length - 1] = { ...family, ...describe(metadata, readHelp) }
        }
        continue
      }
      const suffix = rest === 'counter' ? counterSuffix : ''
      assert.ok(name.endsWith(suffix), `${line}: expected a name that ends with ${suffix}`)
      families.push({
        name: name.slice(0, name.length - suffix.length),
        type: rest,
        ...describe(metadata, readHelp),
        samples: [],
      })
      continue
    }
    const [, sample, labels, value] = /^([a-zA-Z_]\w*)(?:\{(.+)\})? (\S+)$/s.exec(line) ?? []
    const family = families.at(-1)
    if (sample === undefined || value === undefined || !family)
      throw new Error(`invalid line: ${line}`)
    assert.ok(sample.startsWith(family.name), `${line}: expected a sample of ${family.name}`)
    family.samples.push({
      name: sample,
      labels: readLabels(labels, readLabel),
      value: readValue(value),
    })
  }
  return families.filter(({ samples }) => samples.length > 0)
}

function describe(metadata: Readonly<Record<string, string>>, readHelp: (text: string) => string) {
  return { help: readHelp(metadata.HELP ?? ''), unit: metadata.UNIT ?? '' }
}

function readLabels(text: string | undefined, readLabel: (text: string) => string) {
  const labels: Record<string, string> = Object.create(null) as Record<string, string>
  const label = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"(,|$)/sy
  for (let rest = text !== undefined; rest;) {
    const match = label.exec(text ?? '')
    if (!match) throw new Error(`invalid labels: ${text}`)
    const [, name = '', value = '', comma] = match
    assert.ok(!(name in labels), `label ${name} is given twice: ${text}`)
    labels[name] = readLabel(value)
    rest = comma === ','
  }
  return labels
}

/** @throws {Error} For an unknown escape sequence. */
function unescape(text: string): string {
  return text.replace(/\\(.?)|"/gs, (sequence, sign: string | undefined) => {
    if (sign === 'n') return '\n'
    if (sign === '\\' || sign === '"') return sign
    throw new Error(`unknown escape sequence ${sequence} in ${JSON.stringify(text)}`)
  })
}

function readValue(text: string): number {
  if (text === '+Inf') return Infinity
  if (text === '-Inf') return -Infinity
  if (text === 'NaN') return NaN
  assert.match(text, /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i)
  return Number(text)
}

/**
 * Returns a text that identifies a series by family, type, sample name and labels. Expositions of Prosody and of the
 * exporter give the same text for the same series.
 */
export function seriesKey(family: Pick<Family, 'name' | 'type'>, sample: Sample): string {
  const labels = Object.entries(sample.labels)
    // The label `le` is compared as a number, because Prosody writes le="1" and the exporter writes le="1.0".
    .map(([name, value]) => [
      name,
      family.type === 'histogram' && name === 'le' ? String(readValue(value)) : value,
    ])
    .sort(([a = ''], [b = '']) => (a < b ? -1 : 1))
  return JSON.stringify([family.name, family.type, sample.name, labels])
}

/**
 * Returns the values of all series. The keys are the results of `seriesKey`.
 *
 * @throws {Error} For a duplicate series.
 */
export function seriesOf(families: readonly Family[]): Map<string, number> {
  const series = new Map<string, number>()
  for (const family of families) {
    for (const sample of family.samples) {
      const key = seriesKey(family, sample)
      assert.ok(!series.has(key), `duplicate series: ${key}`)
      series.set(key, sample.value)
    }
  }
  return series
}

/** Reads the exposition that mod_http_openmetrics of a test's Prosody serves. */
export async function readServer(prosody: { readonly openmetricsUrl: string }): Promise<Family[]> {
  const response = await fetch(prosody.openmetricsUrl)
  assert.equal(response.status, 200)
  return readExposition(await response.text(), 'prosody')
}

export type Difference = {
  readonly missing: readonly string[]
  readonly unexpected: readonly string[]
  readonly different: readonly string[]
}

export const NO_DIFFERENCE: Difference = { missing: [], unexpected: [], different: [] }

/**
 * Compares the series and values of two expositions. Values are compared with Object.is: NaN equals NaN, but -0 does
 * not equal 0.
 */
export function difference(
  actual: ReadonlyMap<string, number>,
  expected: ReadonlyMap<string, number>,
): Difference {
  const line = (key: string) => `${key} ${expected.get(key)} is ${actual.get(key)}`
  return {
    missing: [...expected.keys()].filter((key) => !actual.has(key)),
    unexpected: [...actual.keys()].filter((key) => !expected.has(key)),
    different: [...expected.keys()]
      .filter((key) => actual.has(key) && !Object.is(actual.get(key), expected.get(key)))
      .map(line),
  }
}

/**
 * Converts a metric family to the form that the tests of the metrics catalogue compare, with all label names of its
 * series.
 */
export function describedOf({ samples, ...meta }: Family) {
  const names = samples.flatMap(({ labels }) => Object.keys(labels))
  return { ...meta, labels: [...new Set(names)].filter((name) => name !== 'le') }
}

/** Whether a metric family comes from Prosody, and not from the exporter itself. */
export function isServerFamily({ name }: Pick<Family, 'name'>): boolean {
  return name !== 'xmpp_up' && !name.startsWith('prosody_exporter_')
}

/** Whether the values of a metric family change even in an idle Prosody: at each collection, or every second. */
export function isMovingFamily({ name }: Pick<Family, 'name'>): boolean {
  return (
    /^(prosody_stats_|xmpp_process_)/.test(name) ||
    ['xmpp_loop_lag_seconds', 'xmpp_lua_heap_bytes'].includes(name)
  )
}

const ACCEPT: Readonly<Record<Format, string>> = {
  text: 'text/plain;version=0.0.4',
  openmetrics: 'application/openmetrics-text;version=1.0.0',
}

/**
 * Reads the exporter's exposition in one format. Asserts that Debian's Python client reads the same samples from it.
 */
export async function readExporter(exporter: RunningExporter, format: Format): Promise<Family[]> {
  const { status, headers, body, text } = await exporter.get('/metrics', { accept: ACCEPT[format] })
  assert.equal(status, 200)
  assert.match(String(headers['content-type']), new RegExp(`^${ACCEPT[format].split(';')[0]};`))
  const families = readExposition(text, format)
  const parsedByPython = await parseWithPython(format, body)
  assert.deepEqual(comparable(parsedByPython), comparable(families))
  return families
}

function comparable(families: readonly Pick<Family, 'help' | 'samples'>[]): string[] {
  return families
    .flatMap(({ help, samples }) =>
      samples.map(({ name, labels, value }) =>
        JSON.stringify([
          name,
          Object.entries(labels).sort(),
          // String() converts -0 to "0". This is necessary because Debian's OpenMetrics reader parses -0 as the
          // integer 0.
          String(value),
          help,
        ]),
      ),
    )
    .sort()
}

/**
 * Readers of expositions that are independent of the exporter, and a comparison of two expositions. The reader for
 * mod_http_openmetrics accepts its defects; the reader for the exporter is strict.
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
  /** The name without `_total`, in every format. */
  readonly name: string
  readonly type: string
  readonly help: string
  readonly unit: string
  readonly samples: readonly Sample[]
}

type Dialect = {
  /** The suffix of a counter's name on its metadata lines. */
  readonly counterSuffix: '' | '_total'
  readonly readLabel: (text: string) => string
  readonly readHelp: (text: string) => string
  readonly readValue: (text: string) => number
}

const DIALECTS: Readonly<Record<'text' | 'openmetrics' | 'prosody', Dialect>> = {
  text: {
    counterSuffix: '_total',
    readLabel: unescape,
    // Text format 0.0.4: quotation marks are not escaped in a HELP line.
    readHelp: (text) => unescape(text.replaceAll('"', '\\"')),
    readValue,
  },
  openmetrics: { counterSuffix: '', readLabel: unescape, readHelp: unescape, readValue },
  prosody: {
    counterSuffix: '',
    // util.openmetrics escapes a label value twice, in repr_labels and in repr_label.
    readLabel: (text) => unescape(unescape(text)),
    readHelp: (text) => unescape(text.replaceAll('"', '\\"')),
    // Numbers have the format of C's %.17g.
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
 * Reads the families with samples of an exposition.
 *
 * @param dialect `prosody` is the output of mod_http_openmetrics: it escapes labels twice, has UNIT lines without a
 *   unit, C's numbers, and families in any order or without samples.
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
        // In OpenMetrics, the TYPE line comes first.
        if (dialect === 'openmetrics' && family?.samples.length === 0) {
          families[families.length - 1] = { ...family, ...describe(metadata, readHelp) }
        }
        continue
      }
      const suffix = rest === 'counter' ? counterSuffix : ''
      assert.ok(name.endsWith(suffix), `${line}: expected a name in ${suffix}`)
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
    if (sample === undefined || value === undefined || !family) throw new Error(`line: ${line}`)
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
    if (!match) throw new Error(`labels: ${text}`)
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
    throw new Error(`${sequence} in ${JSON.stringify(text)}`)
  })
}

function readValue(text: string): number {
  if (text === '+Inf') return Infinity
  if (text === '-Inf') return -Infinity
  if (text === 'NaN') return NaN
  assert.match(text, /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i)
  return Number(text)
}

/** A text that identifies a series by family, type, sample name and labels, in the same form for each exporter. */
export function seriesKey(family: Pick<Family, 'name' | 'type'>, sample: Sample): string {
  const labels = Object.entries(sample.labels)
    // Prosody writes le="1", and the exporter le="1.0".
    .map(([name, value]) => [
      name,
      family.type === 'histogram' && name === 'le' ? String(readValue(value)) : value,
    ])
    .sort(([a = ''], [b = '']) => (a < b ? -1 : 1))
  return JSON.stringify([family.name, family.type, sample.name, labels])
}

/** The values of all series by `seriesKey`. @throws {Error} For a duplicate series. */
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

/** Reads mod_http_openmetrics of a test's Prosody. */
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

/** Compares the series and values of two expositions, with Object.is: NaN equals NaN, but -0 does not equal 0. */
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

/** Converts a family to the form that the catalogue of metrics checks, with the label names of its series. */
export function describedOf({ samples, ...meta }: Family) {
  const names = samples.flatMap(({ labels }) => Object.keys(labels))
  return { ...meta, labels: [...new Set(names)].filter((name) => name !== 'le') }
}

/** Whether a family comes from Prosody and not from the exporter. */
export function isServerFamily({ name }: Pick<Family, 'name'>): boolean {
  return name !== 'xmpp_up' && !name.startsWith('prosody_exporter_')
}

/** Whether the values of a family change with each collection or each second. */
export function isMovingFamily({ name }: Pick<Family, 'name'>): boolean {
  return name.startsWith('prosody_stats_') || name === 'xmpp_loop_lag_seconds'
}

const ACCEPT: Readonly<Record<Format, string>> = {
  text: 'text/plain;version=0.0.4',
  openmetrics: 'application/openmetrics-text;version=1.0.0',
}

/** Reads an exporter in one format; asserts that this reader and Debian's Python client agree. */
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
          // -0 becomes 0, because Debian's OpenMetrics reader parses it as an integer.
          String(value),
          help,
        ]),
      ),
    )
    .sort()
}

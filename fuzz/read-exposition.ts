/** Parses expositions in the text format and in OpenMetrics strictly. It shares no code with the exporter in `src/`. */

import { must } from './target.js'

export type ReadSample = {
  readonly name: string
  readonly labels: ReadonlyMap<string, string>
  readonly value: number
  readonly timestamp: number | undefined
}
export type ReadFamily = {
  readonly name: string
  readonly type: string
  readonly help: string
  readonly unit: string
  readonly samples: ReadSample[]
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/
const LABEL_NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/
const NUMBER = /^(?:[+-]?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?)|[+-]Inf|NaN)$/
const TYPES = {
  text: ['counter', 'gauge', 'histogram', 'summary', 'untyped'],
  openmetrics: ['counter', 'gauge', 'histogram', 'summary', 'info', 'unknown'],
}
const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  histogram: ['_bucket', '_count', '_sum', '_created'],
  summary: ['', '_count', '_sum', '_created'],
  info: ['_info'],
}

/** @throws {Finding} The exposition violates the format. */
export function readText(bytes: Uint8Array, format: 'text' | 'openmetrics'): ReadFamily[] {
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  must(text === '' || text.endsWith('\n'), 'the last line must end with a line feed')
  const lines = text.split('\n').slice(0, -1)
  if (format === 'openmetrics') must(lines.pop() === '# EOF', 'the last line must be "# EOF"')
  const families = new Map<string, ReadFamily & { help: string; unit: string }>()
  const series = new Set<string>()
  let current: (ReadFamily & { help: string; unit: string }) | undefined
  let described = ''
  let help = ''
  for (const line of lines) {
    if (line.startsWith('#')) {
      const [, kind = '', name = '', rest = ''] = /^# ([A-Z]+) (\S+)(?: (.*))?$/su.exec(line) ?? []
      must(NAME.test(name), `a comment must have a valid metric name: ${JSON.stringify(line)}`)
      if (kind === 'TYPE') {
        must(TYPES[format].includes(rest), `TYPE must have a known type: ${JSON.stringify(line)}`)
        must(!families.has(name), `a family must have only one TYPE: ${name}`)
        current = { name, type: rest, help: described === name ? help : '', unit: '', samples: [] }
        families.set(name, current)
      } else if (kind === 'HELP') {
        const text = unescape(rest, format === 'openmetrics')
        if (current?.name === name) current.help = text
        else must(format === 'text', 'TYPE must come before HELP')
        described = name
        help = text
      } else {
        must(
          kind === 'UNIT' && format === 'openmetrics',
          `a comment must be TYPE, HELP or UNIT: ${JSON.stringify(line)}`,
        )
        must(current?.name === name && name.endsWith(`_${rest}`), 'the name must end with the unit')
        current.unit = rest
      }
      continue
    }
    const sample = readSample(line)
    must(
      current !== undefined && belongs(sample.name, current, format),
      `a sample must belong to the current family: ${line}`,
    )
    const identity = JSON.stringify([sample.name, ...[...sample.labels].sort()])
    must(!series.has(identity), `a series must be unique: ${line}`)
    series.add(identity)
    current.samples.push(sample)
  }
  return [...families.values()]
}

function belongs(sample: string, { name, type }: ReadFamily, format: string): boolean {
  const ofCounter = format === 'text' ? [''] : ['_total', '_created']
  return (type === 'counter' ? ofCounter : (SUFFIXES[type] ?? [''])).some(
    (suffix) => sample === name + suffix,
  )
}

function readSample(line: string): ReadSample {
  const labels = new Map<string, string>()
  let at = line.search(/[{ ]/)
  must(at > 0, `a line must start with a sample name: ${JSON.stringify(line)}`)
  const name = line.slice(0, at)
  must(NAME.test(name), `a sample must have a valid name: ${JSON.stringify(line)}`)
  if (line[at] === '{') {
    at++
    while (line[at] !== '}') {
      const equals = line.indexOf('=', at)
      const label = line.slice(at, equals)
      must(
        equals > 0 && LABEL_NAME.test(label),
        `a label must have a valid name: ${JSON.stringify(line)}`,
      )
      must(!labels.has(label), `a label must be unique: ${JSON.stringify(line)}`)
      must(
        line[equals + 1] === '"',
        `a label value must start with a quote: ${JSON.stringify(line)}`,
      )
      let end = equals + 2
      while (end < line.length && line[end] !== '"') end += line[end] === '\\' ? 2 : 1
      must(line[end] === '"', `a label value must end with a quote: ${JSON.stringify(line)}`)
      labels.set(label, unescape(line.slice(equals + 2, end), true))
      at = end + 1
      if (line[at] === ',') at++
      else must(line[at] === '}', `labels must end with a brace: ${JSON.stringify(line)}`)
    }
    at++
  }
  const [space, value = '', timestamp, ...rest] = line.slice(at).split(' ')
  must(
    space === '' && NUMBER.test(value) && rest.length === 0,
    `a sample must have one valid value: ${JSON.stringify(line)}`,
  )
  must(
    timestamp === undefined || NUMBER.test(timestamp),
    `a timestamp must be a number: ${JSON.stringify(line)}`,
  )
  return {
    name,
    labels,
    value: toNumber(value),
    timestamp: (timestamp && toNumber(timestamp)) || undefined,
  }
}

function toNumber(text: string): number {
  return Number(text.replace('Inf', 'Infinity'))
}

function unescape(text: string, hasQuotes: boolean): string {
  return text.replace(/\\(.?)/gs, (whole, c: string) => {
    must(
      c === 'n' || c === '\\' || (c === '"' && hasQuotes),
      `an escape sequence must be valid: ${whole}`,
    )
    return c === 'n' ? '\n' : c
  })
}

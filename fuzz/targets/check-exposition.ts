import { isDeepStrictEqual } from 'node:util'
import { render } from '../../src/exposition/exposition.js'
import type { Family } from '../../src/metrics/family.js'
import { decodeFamilies, type ProtoFamily } from '../../test/support/protobuf.js'
import { askPython } from '../python.js'
import { readText, type ReadFamily } from '../read-exposition.js'
import { must } from '../target.js'

export type Read = {
  readonly text: readonly ReadFamily[]
  readonly openmetrics: readonly ReadFamily[]
  readonly protobuf: readonly ProtoFamily[]
}

// The Python parser is slow, so it reads only one of 200 expositions. read-exposition.ts reads all of them.
const PYTHON_EVERY = 200
let rendered = 0

/**
 * Renders the families as text, OpenMetrics and protobuf. Reads the results with parsers that share no code with the
 * exporter, and throws if a parser rejects a result.
 */
export async function checkExposition(families: readonly Family[]): Promise<Read> {
  const created = families.length % 2 === 1
  const text = render(families, 'text', { created })
  const openmetrics = render(families, 'openmetrics', { created })
  const read = {
    text: readText(text, 'text'),
    openmetrics: readText(openmetrics, 'openmetrics'),
    protobuf: decodeFamilies(render(families, 'protobuf', { created })),
  }
  if (rendered++ % PYTHON_EVERY === 0) {
    await comparePython('text', text, read.text)
    await comparePython('openmetrics', openmetrics, read.openmetrics)
  }
  return read
}

async function comparePython(
  format: 'text' | 'openmetrics',
  bytes: Uint8Array,
  families: readonly ReadFamily[],
): Promise<void> {
  const { refusal, samples } = await askPython(format, bytes)
  must(refusal === undefined, `python3-prometheus-client must accept ${format}: ${refusal ?? ''}`)
  const expected = families.flatMap((family) =>
    family.samples.map(({ name, labels, value }) => [name, sorted([...labels]), value + 0]),
  )
  const actual = samples.map(([name, labels, value]) => [
    name,
    sorted(Object.entries(labels)),
    Number(value.replace('inf', 'Infinity')) + 0,
  ])
  must(
    isDeepStrictEqual(actual, expected),
    `python3-prometheus-client must read the same samples in ${format}`,
  )
}

function sorted(labels: [string, string][]): [string, string][] {
  return labels.sort(([a], [b]) => (a < b ? -1 : 1))
}

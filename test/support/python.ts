/**
 * Parses expositions with Debian's python3-prometheus-client: a strict parser of both text formats, which shares no
 * code with the exporter.
 */

import { findPython } from './setup/programs.js'
import { run } from './setup/process.js'

export type ParsedSample = {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
  readonly timestamp: number | undefined
}

export type ParsedFamily = {
  readonly name: string
  readonly type: string
  readonly help: string
  readonly unit: string
  readonly samples: readonly ParsedSample[]
}

// The Python program prints numbers as text in Python's exact form (repr), because JSON has no NaN and no infinity.
const PROGRAM = `
import json, sys
if sys.argv[1] == 'openmetrics':
    from prometheus_client.openmetrics.parser import text_string_to_metric_families
else:
    from prometheus_client.parser import text_string_to_metric_families
text = sys.stdin.buffer.read().decode('utf-8')
try:
    families = [
        [f.name, f.type, f.documentation, f.unit, [
            [s.name, s.labels, repr(float(s.value)), None if s.timestamp is None else repr(float(s.timestamp))]
            for s in f.samples]]
        for f in text_string_to_metric_families(text)]
except ValueError as error:
    print(error, file=sys.stderr)
    sys.exit(3)
json.dump(families, sys.stdout)
`

type Row = [
  string,
  string,
  string,
  string,
  [string, Record<string, string>, string, string | null][],
]

/**
 * Parses an exposition with Python. Names of metric families are those of the Python parser: the name of a counter
 * has no `_total`.
 *
 * @throws {Error} The parser rejects the exposition. The message is that of the parser.
 */
export async function parseWithPython(
  format: 'text' | 'openmetrics',
  exposition: string | Uint8Array,
): Promise<ParsedFamily[]> {
  const { command, env } = await findPython()
  const { code, output, stdout } = await run(command, ['-c', PROGRAM, format], {
    env,
    input: exposition,
  })
  if (code !== 0)
    throw new Error(`python3-prometheus-client rejects the exposition: ${output.trim()}`)
  return (JSON.parse(stdout) as Row[]).map(([name, type, help, unit, samples]) => ({
    name,
    type,
    help,
    unit,
    samples: samples.map(([name, labels, value, timestamp]) => ({
      name,
      labels,
      value: readFloat(value),
      timestamp: timestamp === null ? undefined : readFloat(timestamp),
    })),
  }))
}

function readFloat(text: string): number {
  if (text === 'inf') return Infinity
  if (text === '-inf') return -Infinity
  return Number(text)
}

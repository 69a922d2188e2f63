/**
 * Parses expositions with Debian's python3-prometheus-client, a strict parser that shares no code with the exporter.
 * One Python process serves all requests.
 */

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface, type Interface } from 'node:readline'
import { findPython } from '../test/support/setup/programs.js'

export type PythonAnswer = {
  /** The error message if the Python parser rejects the exposition. */
  readonly refusal?: string
  readonly samples: readonly (readonly [
    name: string,
    labels: Record<string, string>,
    value: string,
  ])[]
}

const PROGRAM = `
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text
while True:
    header = sys.stdin.buffer.readline().split()
    if not header: break
    body = sys.stdin.buffer.read(int(header[1])).decode('utf-8')
    try:
        read = openmetrics if header[0] == b'openmetrics' else text
        answer = {'samples': [[s.name, s.labels, repr(float(s.value))] for f in read(body) for s in f.samples]}
    except Exception as error:
        answer = {'refusal': repr(error), 'samples': []}
    print(json.dumps(answer), flush=True)
`

let python: Promise<{ child: ChildProcess; lines: Interface }> | undefined

async function start(): Promise<{ child: ChildProcess; lines: Interface }> {
  const { command, env } = await findPython()
  const child = spawn(command, ['-c', PROGRAM], { stdio: ['pipe', 'pipe', 'inherit'], env })
  return { child, lines: createInterface(child.stdout) }
}

/** Parses an exposition with Python. Callers must wait for the result before the next call. */
export async function askPython(format: string, bytes: Uint8Array): Promise<PythonAnswer> {
  const { child, lines } = await (python ??= start())
  const answer = once(lines, 'line')
  child.stdin!.write(`${format} ${bytes.length}\n`)
  child.stdin!.write(bytes)
  return JSON.parse(String((await answer)[0])) as PythonAnswer
}

export async function stopPython(): Promise<void> {
  const running = python
  python = undefined
  if (running) (await running).child.stdin!.end()
}

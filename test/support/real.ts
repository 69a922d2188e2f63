/** Reads expositions and logs in tests with real servers, and runs Lua code in Prosody. */

import type { RunningExporter } from './exporter.js'
import type { TestProsody } from './prosody.js'
import { until } from './setup/process.js'

/**
 * Runs Lua code in a Prosody with the module `test_eval`, and returns its result. Global variables of the code remain
 * for later calls.
 */
export async function evalLua(prosody: TestProsody, lua: string): Promise<string> {
  const url = `http://127.0.0.1:${prosody.ports.http}/test_eval`
  const response = await fetch(url, { method: 'POST', body: lua })
  const text = await response.text()
  if (!response.ok) throw new Error(`Lua code failed in Prosody: ${text}`)
  return text
}

/**
 * Lets a Prosody with the modules `test_dns` and `test_eval` find the server of a domain. Other domains get a port that
 * refuses connections.
 */
export function setServerAddress(
  prosody: TestProsody,
  domain: string,
  port: number,
): Promise<string> {
  return evalLua(prosody, `prosody.test_dns_ports = { ["${domain}"] = ${port} }`)
}

/** Reloads a module of a host in a Prosody with the module `test_eval`. */
export async function reloadModule(
  prosody: TestProsody,
  host: string,
  module = 'adhoc_statistics',
): Promise<void> {
  await evalLua(prosody, `assert(require "core.modulemanager".reload("${host}", "${module}"))`)
}

/** Adds many series with long labels to the metric registry of a Prosody with the module `test_eval`. */
export async function floodRegistry(prosody: TestProsody, series: number): Promise<void> {
  await evalLua(
    prosody,
    `local metric, measure = require "core.statsmanager".metric, require "core.statsmanager".measure
    for i = 1, ${series} do
      if metric then
        metric("gauge", "test_flood", "", "", { "shard" }):with_labels(("shard-"):rep(20)..i):set(i)
      else
        measure("amount", "test_flood.shard"..i)(i)
      end
    end`,
  )
}

/**
 * Returns the value of a sample in a text exposition, for example of `xmpp_up`. Returns undefined if the sample is
 * missing.
 */
export function sampleValue(exposition: string, sample: string): number | undefined {
  const line = exposition.split('\n').find((each) => each.startsWith(`${sample} `))
  return line === undefined ? undefined : Number(line.slice(sample.length + 1))
}

/** Returns the lines of an exposition that have samples from the XMPP server, and not from the exporter itself. */
export function serverSamples(exposition: string): string[] {
  return exposition.split('\n').filter((line) => /^(?!#|xmpp_up |prosody_exporter_)./.test(line))
}

export type LogLine = Readonly<Record<string, unknown>> & {
  readonly level: string
  readonly message: string
}

/** Returns the lines that an exporter with `--log.format=json` has logged so far. */
export function logLines(exporter: RunningExporter): LogLine[] {
  const complete = exporter.stderr().split('\n').slice(0, -1)
  return complete.map((line) => JSON.parse(line) as LogLine)
}

export const isComplaint = (level: string): boolean => /^(WARN|ERR|FATAL)/i.test(level)

/** Returns the warnings and errors that the exporter has logged, each as JSON without its time. */
export function complaints(exporter: RunningExporter): string[] {
  return logLines(exporter)
    .filter(({ level }) => isComplaint(level))
    .map((line) => JSON.stringify({ ...line, '@timestamp': undefined }))
}

/** Waits until the exporter serves series of the XMPP server. Returns that exposition. */
export async function untilUp(
  exporter: RunningExporter,
  headers: Readonly<Record<string, string>> = {},
): Promise<string> {
  return await until(
    async () => {
      const { text } = await exporter.get('/metrics', headers)
      return sampleValue(text, 'xmpp_up') === 1 && serverSamples(text).length > 0 && text
    },
    { what: "the exporter has the server's series", everyMs: 25 },
  )
}

/** Waits until the exporter's path `/-/ready` answers with the given HTTP status. */
export async function untilReady(exporter: RunningExporter, status: 200 | 503) {
  await until(async () => (await exporter.get('/-/ready')).status === status, {
    what: `/-/ready answers ${status}`,
  })
}

/** Runs the exporter in the namespace of a lab: as a service, and the command `prosody-exporter outside`. */

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { PROGRAM } from '../exporter.js'
import { root, run, until } from '../setup/process.js'
import type { NameServerKind } from './fault.js'
import type { Lab } from './lab.js'

export type LabExporter = {
  /** Waits until a line of `/metrics` matches. */
  untilMetric(line: RegExp): Promise<void>
  /** Returns the metrics of `/probe?module=outside` for each domain, and then those of `/metrics`. */
  scrape(): Promise<{ readonly metrics: string; readonly probes: ReadonlyMap<string, string> }>
}

/** Long enough for a machine that is ten times slower, and not much longer, because some faults last until then. */
const TIMEOUT = '20s'

/** How many requests, or commands, run at a time. The exporter checks as many domains at a time. */
const CONCURRENT = 8

/**
 * Starts an exporter that checks the given domains with one of the DNS servers of the lab.
 *
 * @param port The port of the exporter on loopback of the namespace.
 * @param config Further sections of the configuration.
 */
export async function startLabExporter(
  lab: Lab,
  kind: NameServerKind,
  domains: readonly string[],
  { port, config = {} }: { readonly port: number; readonly config?: object },
): Promise<LabExporter> {
  const file = join(lab.dir, `exporter-${kind}.yml`)
  const outside = {
    domains,
    name_servers: [lab.nameServers[kind].ipv4],
    own_addresses: lab.blocks,
    timeout: TIMEOUT,
  }
  await writeFile(file, JSON.stringify({ outside, ...config }))
  const url = `http://127.0.0.1:${port}`
  const child = lab.checker.launch(
    [
      ...[process.execPath, ...PROGRAM, `--config.file=${file}`],
      ...[`--web.listen-address=127.0.0.1:${port}`, '--log.level=error'],
    ],
    { cwd: root, env: environment(lab) },
  )
  const fetchAll = async (paths: readonly string[]) => {
    const urls = paths.map((path) => `${url}${path}`)
    const output = await lab.checker.run([process.execPath, '--eval', FETCH_SCRIPT], {
      input: JSON.stringify({ urls, concurrent: CONCURRENT }),
    })
    return JSON.parse(output) as string[]
  }
  await until(
    async () => {
      if (!child.running()) throw new Error(`the exporter ended: ${child.output()}`)
      return (await fetchAll(['/-/healthy']).catch(() => [])).length > 0
    },
    { what: 'the exporter answers' },
  )
  return {
    async untilMetric(line) {
      await until(async () => line.test((await fetchAll(['/metrics']))[0] ?? ''), {
        what: `/metrics has a line like ${line.source}`,
      })
    },
    async scrape() {
      const texts = await fetchAll(domains.map((each) => `/probe?module=outside&target=${each}`))
      const [metrics = ''] = await fetchAll(['/metrics'])
      return {
        metrics,
        probes: new Map(domains.map((domain, index) => [domain, texts[index] ?? ''])),
      }
    },
  }
}

/** The time limit is longer than any check, because the exporter would answer without the result before it. */
const FETCH_SCRIPT = `
  const { urls, concurrent } = JSON.parse(require('node:fs').readFileSync(0))
  const texts = []
  const waiting = urls.entries()
  const fetchNext = async () => {
    for (const [index, url] of waiting) {
      const headers = { 'X-Prometheus-Scrape-Timeout-Seconds': '600' }
      const response = await fetch(url, { headers })
      if (!response.ok) throw new Error(url + ': ' + (await response.text()))
      texts[index] = await response.text()
    }
  }
  Promise.all(Array.from({ length: concurrent }, fetchNext)).then(() => {
    process.stdout.write(JSON.stringify(texts))
  })`

/** The part of the output of `prosody-exporter outside --json` that the tests read. */
export type OutsideJson = {
  readonly ok: boolean
  readonly problems: readonly {
    readonly code: string
    readonly severity: string
    readonly cause: string
    readonly remedy: string
    readonly labels: Readonly<Partial<Record<'service' | 'target' | 'family', string>>>
  }[]
}

/** Runs `prosody-exporter outside` for a domain of the lab. */
export async function runOutside(
  lab: Lab,
  kind: NameServerKind,
  domain: string,
  flags: readonly string[] = [],
): Promise<{ readonly exitCode: number | NodeJS.Signals; readonly output: string }> {
  const [command, ...args] = lab.checker.command([
    ...[process.execPath, ...PROGRAM, 'outside', domain],
    ...[`--name-server=${lab.nameServers[kind].ipv4}`, `--timeout=${TIMEOUT}`, ...flags],
  ])
  const { code, output } = await run(command, args, { cwd: root, env: environment(lab) })
  return { exitCode: code, output }
}

const environment = ({ trustFile }: Lab): NodeJS.ProcessEnv => ({
  PATH: process.env.PATH,
  HOME: process.env.HOME,
  NODE_EXTRA_CA_CERTS: trustFile,
})

/** Calls the function for each item, and for only a few of them at a time. */
export async function forEachConcurrently<T>(
  items: readonly T[],
  concurrent: number,
  handle: (item: T) => Promise<void>,
): Promise<void> {
  const waiting = items.values()
  const handleNext = async () => {
    for (const item of waiting) await handle(item)
  }
  await Promise.all(Array.from({ length: concurrent }, handleNext))
}

/** Real Prometheus servers on loopback, 2.42 and 3.x, and their promtool. */

import { writeFile } from 'node:fs/promises'
import { createServer, request } from 'node:http'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { findPrometheus, prometheusVersions } from './setup/programs.js'
import { freePort, launch, run, temporaryDirectory, until } from './setup/process.js'

export { prometheusVersions }

type Major = (typeof prometheusVersions)[number]
type Cleanup = Pick<TestContext, 'after'>

export type Job = {
  readonly name: string
  /** e.g. `http://127.0.0.1:9347/metrics`; with `discovery` what tells the targets, e.g. `…/sd`. */
  readonly target: string
  /** Asks `target` for its targets once a second. */
  readonly discovery?: boolean
  /** The format it must ask for. Default: what this Prometheus asks for by itself. */
  readonly format?: 'text' | 'openmetrics' | 'protobuf'
  /** More YAML lines for the job, without indentation. */
  readonly extra?: readonly string[]
}

export type QueryResult = {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export type History = {
  readonly labels: Readonly<Record<string, string>>
  readonly samples: readonly { readonly at: number; readonly value: number }[]
}

export type RunningPrometheus = {
  readonly url: string
  /** An instant query. */
  query(promql: string): Promise<QueryResult[]>
  /** Each series of a selector with its samples of the last hour, times in seconds. */
  history(selector: string): Promise<History[]>
  /** A query evaluated again and again, from the first time to the last; seconds. */
  range(promql: string, times: { from: number; to: number; step: number }): Promise<History[]>
  /** Everything stored for a job at its last scrape, but for what Prometheus adds (`up`, `scrape_*`). */
  samples(job: string): Promise<QueryResult[]>
  /** Waits until a job was scraped `count` times more, each of them well. */
  scrapes(job: string, count: number): Promise<void>
  /** Of a family, as it was scraped. */
  metadata(metric: string): Promise<{ type: string; help: string; unit: string }[]>
  /** Those that are pending or fire. */
  alerts(): Promise<Alert[]>
  /** Of a job, as they are now. */
  targets(job: string): Promise<Target[]>
  log(): string
  stop(): Promise<void>
}

export type Alert = {
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly state: 'pending' | 'firing'
}

export type Target = {
  readonly labels: Readonly<Record<string, string>>
  readonly health: string
  readonly lastError: string
  readonly lastScrape: string
}

const ACCEPT = {
  text: 'text/plain;version=0.0.4',
  openmetrics: 'application/openmetrics-text;version=1.0.0',
  protobuf:
    'application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited',
}
const PROTOCOL = {
  text: 'PrometheusText0.0.4',
  openmetrics: 'OpenMetricsText1.0.0',
  protobuf: 'PrometheusProto',
}

export async function withPrometheus(
  t: Cleanup,
  options: {
    readonly major: Major
    readonly jobs: readonly Job[]
    readonly intervalMs?: number
    /** How long a scrape may take. Default: the interval. */
    readonly timeoutMs?: number
    /** For `--enable-feature`. */
    readonly features?: readonly string[]
    /** A file of rules, as text; they are evaluated at the interval of the scrapes. */
    readonly rules?: string
  },
): Promise<RunningPrometheus> {
  const { prometheus } = await findPrometheus(options.major)
  const directory = await temporaryDirectory('prosody-exporter-prometheus')
  t.after(() => directory.remove())
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const jobs = await Promise.all(options.jobs.map((job) => jobConfig(t, options.major, job)))
  const { intervalMs = 1000, timeoutMs = intervalMs } = options
  const file = join(directory.path, 'prometheus.yml')
  if (options.rules !== undefined) await writeFile(join(directory.path, 'rules.yml'), options.rules)
  await writeFile(
    file,
    [
      'global:',
      `  scrape_interval: ${intervalMs}ms`,
      `  scrape_timeout: ${timeoutMs}ms`,
      `  evaluation_interval: ${intervalMs}ms`,
      ...(options.rules === undefined ? [] : ['rule_files: [rules.yml]']),
      'scrape_configs:',
      ...jobs.flat(),
      '',
    ].join('\n'),
  )
  const child = launch(prometheus, [
    `--config.file=${file}`,
    `--storage.tsdb.path=${join(directory.path, 'data')}`,
    `--web.listen-address=127.0.0.1:${port}`,
    ...(options.features ?? []).map((feature) => `--enable-feature=${feature}`),
  ])
  t.after(() => child.stop())

  const ask = async (path: string): Promise<unknown> => {
    const response = await fetch(`${url}/api/v1/${path}`)
    const { data, error } = (await response.json()) as { data: unknown; error?: string }
    if (error !== undefined) throw new Error(`Prometheus on ${path}: ${error}`)
    return data
  }
  const query = async (promql: string): Promise<QueryResult[]> => {
    type Data = { result: { metric: Record<string, string>; value: [number, string] }[] }
    const { result } = (await ask(`query?query=${encodeURIComponent(promql)}`)) as Data
    return result.map(({ metric, value }) => ({ labels: metric, value: readFloat(value[1]) }))
  }
  const matrix = async (path: string): Promise<History[]> => {
    type Data = { result: { metric: Record<string, string>; values: [number, string][] }[] }
    const { result } = (await ask(path)) as Data
    return result.map(({ metric, values }) => ({
      labels: metric,
      samples: values.map(([at, value]) => ({ at, value: readFloat(value) })),
    }))
  }
  const targets = async (job: string): Promise<Target[]> => {
    const { activeTargets } = (await ask('targets?state=active')) as { activeTargets: Target[] }
    return activeTargets.filter(({ labels }) => labels.job === job)
  }
  const target = async (job: string): Promise<Target | undefined> => (await targets(job))[0]

  await until(
    async () => {
      if (!child.running()) throw new Error(`Prometheus ended: ${child.output().slice(-2000)}`)
      const ready = await fetch(`${url}/-/ready`).catch(() => undefined)
      return ready?.ok
    },
    { what: 'Prometheus is ready' },
  )
  return {
    url,
    query,
    targets,
    alerts: async () => ((await ask('alerts')) as { alerts: Alert[] }).alerts,
    history: (selector) => matrix(`query?query=${encodeURIComponent(`${selector}[1h]`)}`),
    range: (promql, { from, to, step }) =>
      matrix(
        `query_range?${new URLSearchParams({
          query: promql,
          start: String(from),
          end: String(to),
          step: String(step),
        }).toString()}`,
      ),
    async samples(job) {
      let all: QueryResult[] = []
      await until(
        async () => {
          all = await query(`{job=${JSON.stringify(job)}}`)
          // On a busy machine a scrape can exceed its deadline. Then Prometheus stores `up 0` and
          // nothing else, or the exporter's response lacks the series of some collectors.
          const values = (name: string) =>
            all.filter(({ labels }) => labels.__name__ === name).map(({ value }) => value)
          const success = values('prosody_exporter_collector_success')
          return [...values('up'), ...success].every((value) => value === 1) && success.length > 0
        },
        { what: `samples of ${job}` },
      )
      return all.filter(({ labels }) => !/^(up$|scrape_)/.test(labels.__name__ ?? ''))
    },
    async scrapes(job, count) {
      let seen = 0
      let last = (await target(job))?.lastScrape
      await until(
        async () => {
          const now = await target(job)
          // Prometheus looks for targets five seconds after its start, whatever its settings.
          if (now === undefined) return false
          // A scrape that took too long is that of a busy machine.
          if (now.health === 'down' && /deadline exceeded/.test(now.lastError)) return false
          if (now.health === 'down') throw new Error(`scrape of ${job} failed: ${now.lastError}`)
          if (now.health === 'up' && now.lastScrape !== last) {
            last = now.lastScrape
            seen += 1
          }
          return seen >= count
        },
        { what: `${count} scrapes of ${job}` },
      )
    },
    async metadata(metric) {
      const found = (await ask(`metadata?metric=${encodeURIComponent(metric)}`)) as Record<
        string,
        { type: string; help: string; unit: string }[]
      >
      return found[metric] ?? []
    },
    log: () => child.output(),
    stop: () => child.stop(),
  }
}

async function jobConfig(t: Cleanup, major: Major, job: Job): Promise<string[]> {
  if (job.discovery) {
    return [
      `- job_name: ${JSON.stringify(job.name)}`,
      '  http_sd_configs:',
      `  - url: ${JSON.stringify(job.target)}`,
      '    refresh_interval: 1s',
      // Discovery and scrape each have settings of their own.
      ...(job.extra ?? []).flatMap((line) => [`    ${line}`, `  ${line}`]),
    ]
  }
  // Prometheus before 2.49 has no scrape_protocols: the header is set by a forwarder on the way.
  const forwarded = job.format !== undefined && major === '2'
  const { host, pathname, search } = new URL(job.target)
  const address = forwarded ? await forward(t, job.target, ACCEPT[job.format]) : host
  const parameters = [...new URLSearchParams(search)].map(
    ([name, value]) => `    ${JSON.stringify(name)}: [${JSON.stringify(value)}]`,
  )
  return [
    `- job_name: ${JSON.stringify(job.name)}`,
    `  metrics_path: ${JSON.stringify(pathname)}`,
    ...(parameters.length > 0 ? ['  params:', ...parameters] : []),
    `  static_configs: [{ targets: [${JSON.stringify(address)}] }]`,
    ...(job.format !== undefined && !forwarded
      ? [`  scrape_protocols: [${JSON.stringify(PROTOCOL[job.format])}]`]
      : []),
    ...(job.extra ?? []).map((line) => `  ${line}`),
  ]
}

/** A server on loopback that passes each GET on with another Accept header; its `host:port`. */
async function forward(t: Cleanup, target: string, accept: string): Promise<string> {
  const server = createServer((incoming, outgoing) => {
    const url = new URL(incoming.url ?? '/', target)
    const sent = request(url, { headers: { ...incoming.headers, host: url.host, accept } })
    sent.on('response', (response) => {
      outgoing.writeHead(response.statusCode ?? 502, response.headers)
      response.pipe(outgoing)
    })
    sent.on('error', () => outgoing.destroy())
    sent.end()
  })
  t.after(
    () =>
      new Promise((resolve) => {
        server.close(resolve)
        server.closeAllConnections()
      }),
  )
  const port = await freePort()
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  return `127.0.0.1:${port}`
}

/** Runs `promtool check metrics`; exit code 3 means that it found something to say. */
export async function checkMetrics(
  major: Major,
  exposition: string | Uint8Array,
): Promise<{ code: number | NodeJS.Signals; output: string }> {
  const { promtool } = await findPrometheus(major)
  return await run(promtool, ['check', 'metrics'], { input: exposition })
}

function readFloat(text: string): number {
  if (text === '+Inf') return Infinity
  if (text === '-Inf') return -Infinity
  return Number(text)
}

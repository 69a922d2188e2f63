/** Starts real Prometheus servers on loopback, in the versions 2.42 and 3.x, and runs their promtool. */

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
  /**
   * The URL that Prometheus scrapes, for example `http://127.0.0.1:9347/metrics`. With `discovery`, the URL of the
   * HTTP service discovery (`…/sd`).
   */
  readonly target: string
  /** Whether `target` is the URL of an HTTP service discovery, which Prometheus then reads once a second. */
  readonly discovery?: boolean
  /**
   * The exposition format that Prometheus requests. Without it, Prometheus requests the formats that this version
   * requests by default.
   */
  readonly format?: 'text' | 'openmetrics' | 'protobuf'
  /** Additional YAML lines for the scrape configuration of the job, without indentation. */
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
  /** Runs an instant query. */
  query(promql: string): Promise<QueryResult[]>
  /** Returns each series that matches a selector, with its samples of the last hour. Times are in seconds. */
  history(selector: string): Promise<History[]>
  /** Runs a range query. Times are in seconds. */
  range(promql: string, times: { from: number; to: number; step: number }): Promise<History[]>
  /**
   * Returns the samples of the last scrape of a job, without the series that Prometheus itself adds (`up`,
   * `scrape_*`).
   */
  samples(job: string): Promise<QueryResult[]>
  /** Waits for `count` more successful scrapes of a job. Throws an error if a scrape fails, except by a timeout. */
  scrapes(job: string, count: number): Promise<void>
  metadata(metric: string): Promise<{ type: string; help: string; unit: string }[]>
  /** Returns the pending and firing alerts. */
  alerts(): Promise<Alert[]>
  /** Returns the current targets of a job. */
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

export type PrometheusOptions = {
  readonly major: Major
  readonly jobs: readonly Job[]
  readonly intervalMs?: number
  /** The timeout of a scrape. By default, it is as long as the scrape interval. */
  readonly timeoutMs?: number
  /** The names of Prometheus features that `--enable-feature` switches on. */
  readonly features?: readonly string[]
  /** The text of a rule file. Prometheus evaluates the rules at the scrape interval. */
  readonly rules?: string
  /** The `host:port` of the Alertmanager to which Prometheus sends its alerts. By default, there is none. */
  readonly alertmanager?: string
}

/** Starts a Prometheus server, which stops after the test. */
export async function withPrometheus(
  t: Cleanup,
  options: PrometheusOptions,
): Promise<RunningPrometheus> {
  const { prometheus } = await findPrometheus(options.major)
  const directory = await temporaryDirectory('prosody-exporter-prometheus')
  t.after(() => directory.remove())
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const file = await writePrometheusConfig(t, directory.path, options)
  const child = launch(prometheus, [
    `--config.file=${file}`,
    `--storage.tsdb.path=${join(directory.path, 'data')}`,
    `--web.listen-address=127.0.0.1:${port}`,
    ...(options.features ?? []).map((feature) => `--enable-feature=${feature}`),
  ])
  t.after(() => child.stop())
  await until(
    async () => {
      if (!child.running()) throw new Error(`Prometheus ended: ${child.output().slice(-2000)}`)
      const ready = await fetch(`${url}/-/ready`).catch(() => undefined)
      return ready?.ok
    },
    { what: 'Prometheus is ready' },
  )
  const api = createApiClient(url)
  return {
    url,
    ...api,
    samples: (job) => samplesOfJob(api, job),
    scrapes: (job, count) => waitForScrapes(api, job, count),
    log: () => child.output(),
    stop: () => child.stop(),
  }
}

/** Writes `prometheus.yml` and the rule file. Returns the path of `prometheus.yml`. */
async function writePrometheusConfig(
  t: Cleanup,
  directory: string,
  {
    major,
    jobs,
    intervalMs = 1000,
    timeoutMs = intervalMs,
    rules,
    alertmanager,
  }: PrometheusOptions,
): Promise<string> {
  const scrapeConfigs = await Promise.all(jobs.map((job) => jobConfig(t, major, job)))
  const file = join(directory, 'prometheus.yml')
  if (rules !== undefined) await writeFile(join(directory, 'rules.yml'), rules)
  await writeFile(
    file,
    [
      'global:',
      `  scrape_interval: ${intervalMs}ms`,
      `  scrape_timeout: ${timeoutMs}ms`,
      `  evaluation_interval: ${intervalMs}ms`,
      ...(rules === undefined ? [] : ['rule_files: [rules.yml]']),
      ...(alertmanager === undefined
        ? []
        : [
            `alerting: { alertmanagers: [{ static_configs: [{ targets: ["${alertmanager}"] }] }] }`,
          ]),
      'scrape_configs:',
      ...scrapeConfigs.flat(),
      '',
    ].join('\n'),
  )
  return file
}

type ApiClient = Pick<
  RunningPrometheus,
  'query' | 'history' | 'range' | 'metadata' | 'alerts' | 'targets'
>

/** @see https://prometheus.io/docs/prometheus/latest/querying/api/ */
function createApiClient(url: string): ApiClient {
  const get = async (path: string): Promise<unknown> => {
    const response = await fetch(`${url}/api/v1/${path}`)
    const { data, error } = (await response.json()) as { data: unknown; error?: string }
    if (error !== undefined) throw new Error(`Prometheus on ${path}: ${error}`)
    return data
  }
  const getMatrix = async (path: string): Promise<History[]> => {
    type Data = { result: { metric: Record<string, string>; values: [number, string][] }[] }
    const { result } = (await get(path)) as Data
    return result.map(({ metric, values }) => ({
      labels: metric,
      samples: values.map(([at, value]) => ({ at, value: readFloat(value) })),
    }))
  }
  return {
    async query(promql) {
      type Data = { result: { metric: Record<string, string>; value: [number, string] }[] }
      const { result } = (await get(`query?query=${encodeURIComponent(promql)}`)) as Data
      return result.map(({ metric, value }) => ({ labels: metric, value: readFloat(value[1]) }))
    },
    history: (selector) => getMatrix(`query?query=${encodeURIComponent(`${selector}[1h]`)}`),
    range: (promql, { from, to, step }) =>
      getMatrix(
        `query_range?${new URLSearchParams({
          query: promql,
          start: String(from),
          end: String(to),
          step: String(step),
        }).toString()}`,
      ),
    async metadata(metric) {
      const found = (await get(`metadata?metric=${encodeURIComponent(metric)}`)) as Record<
        string,
        { type: string; help: string; unit: string }[]
      >
      return found[metric] ?? []
    },
    alerts: async () => ((await get('alerts')) as { alerts: Alert[] }).alerts,
    async targets(job) {
      const { activeTargets } = (await get('targets?state=active')) as { activeTargets: Target[] }
      return activeTargets.filter(({ labels }) => labels.job === job)
    },
  }
}

async function samplesOfJob(api: ApiClient, job: string): Promise<QueryResult[]> {
  let all: QueryResult[] = []
  await until(
    async () => {
      all = await api.query(`{job=${JSON.stringify(job)}}`)
      // On a busy machine, a scrape can exceed its deadline. Then Prometheus stores only `up 0`, or the exporter's
      // response lacks the series of some collectors. In both cases the next scrape is awaited.
      const values = (name: string) =>
        all.filter(({ labels }) => labels.__name__ === name).map(({ value }) => value)
      const success = values('prosody_exporter_collector_success')
      return [...values('up'), ...success].every((value) => value === 1) && success.length > 0
    },
    { what: `a complete scrape of the job ${job}` },
  )
  return all.filter(({ labels }) => !/^(up$|scrape_)/.test(labels.__name__ ?? ''))
}

async function waitForScrapes(api: ApiClient, job: string, count: number): Promise<void> {
  const currentTarget = async (): Promise<Target | undefined> => (await api.targets(job))[0]
  let seen = 0
  let last = (await currentTarget())?.lastScrape
  await until(
    async () => {
      const target = await currentTarget()
      // Prometheus loads its targets five seconds after it starts. No setting changes this delay.
      if (target === undefined) return false
      // On a busy machine, a scrape can exceed its deadline. Such a failed scrape is ignored.
      if (target.health === 'down' && /deadline exceeded/.test(target.lastError)) return false
      if (target.health === 'down')
        throw new Error(`a scrape of the job ${job} failed: ${target.lastError}`)
      if (target.health === 'up' && target.lastScrape !== last) {
        last = target.lastScrape
        seen += 1
      }
      return seen >= count
    },
    { what: `${count} successful scrapes of the job ${job}` },
  )
}

async function jobConfig(t: Cleanup, major: Major, job: Job): Promise<string[]> {
  if (job.discovery) {
    return [
      `- job_name: ${JSON.stringify(job.name)}`,
      '  http_sd_configs:',
      `  - url: ${JSON.stringify(job.target)}`,
      '    refresh_interval: 1s',
      // The additional YAML lines apply to the requests of the service discovery and to the scrapes.
      ...(job.extra ?? []).flatMap((line) => [`    ${line}`, `  ${line}`]),
    ]
  }
  // Prometheus before 2.49 has no scrape_protocols. For these versions, a forwarding server sets the Accept header.
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

/**
 * Starts an HTTP server that forwards each GET request to `target` with another Accept header. Returns its
 * `host:port`.
 */
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

/** Runs `promtool check metrics`. The exit code 3 means that promtool reported problems in the exposition. */
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

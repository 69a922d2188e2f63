// Runs the exporter under heavy load: thousands of scrapers with keep-alive, clients that read slowly, clients
// whose request headers never end, more requests at a time than the exporter accepts, restarts of Prosody, and
// configuration reloads. Each scraper sends 240 scrapes, as in an hour, within the given number of minutes.
// At the end, the test checks that memory and open handles did not grow in the second half of the time, and that
// no response was wrong or missing. It also prints the delay of the event loop, compared with an idle exporter.
// Run: npm run soak [-- MINUTES [SCRAPERS]]. The default is 2 minutes and 1,000 scrapers.

import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { root, run, until } from '../../support/setup/process.js'
import { httpGet, withExporterFor } from '../../support/exporter.js'
import { withProsody, type TestProsody } from '../../support/prosody.js'
import { logLines, untilUp } from '../../support/real.js'
import type { ClientsConfig, Tally } from './clients.js'
import { judgeTrend, type Measurement } from './trend.js'

const ROUNDS = 240
const SERIES = 2000
const BURST_REQUESTS = 300
const [minutes = 2, scrapers = 1000] = process.argv.slice(2).map(Number)
const roundMs = (minutes * 60_000) / ROUNDS

const ends: (() => unknown)[] = []
const t = { after: (end: () => unknown) => ends.unshift(end) } as Parameters<typeof withProsody>[0]
const problems: string[] = []

type Exporter = Awaited<ReturnType<typeof withExporterFor>>

async function soak(): Promise<void> {
  const built = await run('npm', ['run', 'build'], { cwd: root })
  if (built.code !== 0) throw new Error(built.output)
  const prosody = await withProsody(t, {
    version: '13.0.1',
    modules: ['test_series'],
    globals: { test_series_count: String(SERIES) },
  })
  writeConfig(prosody, 250)
  const exporter = await startExporter(prosody, 'one')
  // The second exporter gets no scrapes. Its event loop is the comparison for the exporter under load.
  await startExporter(prosody, 'two')
  await untilUp(exporter)
  const descriptorsBefore = openDescriptors(exporter)

  const clients = startClients(exporter)
  const burst = new Burst(exporter)
  const restarts = await runRounds(prosody, exporter, burst)
  const tally = await stopClients(clients)

  printLoad(tally, restarts, burst)
  printEventLoop('exporter', readMeasurements(prosody, 'one'))
  printEventLoop('idle control', readMeasurements(prosody, 'two'))
  checkTrends(readMeasurements(prosody, 'one'))
  await checkDescriptors(exporter, descriptorsBefore)
  await untilUp(exporter)
  checkResponses(tally, burst)
  checkLog(exporter)
  exporter.kill('SIGTERM')
  const code = await exporter.exited
  if (code !== 0) problems.push(`the exporter exited with ${code}`)
}

const configFile = (prosody: TestProsody) => join(prosody.dir, 'exporter.yml')
const monitorFile = (prosody: TestProsody, name: string) => join(prosody.dir, `${name}.jsonl`)

function writeConfig(prosody: TestProsody, minAgeMs: number): void {
  writeFileSync(configFile(prosody), `collection: {min_age: ${minAgeMs}ms}\n`)
}

function startExporter(prosody: TestProsody, name: string): Promise<Exporter> {
  return withExporterFor(t, prosody, {
    domain: `stats.${name}.example`,
    flags: [`--config.file=${configFile(prosody)}`, '--log.format=json', '--web.enable-lifecycle'],
    env: {
      NODE_OPTIONS: `--import=${join(root, 'test/robustness/soak/monitor.js')}`,
      SOAK_MONITOR: monitorFile(prosody, name),
      PROSODY_EXPORTER_PAGE_INTERVAL: '1s',
    },
  })
}

function startClients(exporter: Exporter): ChildProcess {
  const config: ClientsConfig = {
    port: exporter.port,
    scrapers,
    intervalMs: roundMs,
    series: SERIES,
    slowReaders: 20,
    drippers: 100,
  }
  const file = join(root, 'test/robustness/soak/clients.ts')
  const clients = fork(file, [JSON.stringify(config)], { execArgv: ['--import', 'tsx'] })
  t.after(() => clients.kill())
  return clients
}

async function stopClients(clients: ChildProcess): Promise<Tally> {
  clients.send('report')
  const [tally] = (await once(clients, 'message')) as [Tally]
  clients.kill()
  await once(clients, 'exit')
  return tally
}

/** Sends many requests at the same time from one address, and counts the responses. */
class Burst {
  requests = 0
  /** The number of responses with each HTTP status, and the number of failed requests with each error code. */
  readonly responses = new Map<number | string, number>()
  private readonly exporter: Exporter

  constructor(exporter: Exporter) {
    this.exporter = exporter
  }

  send(): void {
    for (let i = 0; i < BURST_REQUESTS; i++) {
      this.requests++
      // The exporter renders a new response for each request with `collect[]`, so its limit on simultaneous requests
      // applies.
      void httpGet(`${this.exporter.url}/metrics?collect[]=registry`, {}, '127.2.0.3').then(
        ({ status }) => {
          this.count(status)
        },
        (error: unknown) => {
          const { code, message } = error as NodeJS.ErrnoException
          this.count(code ?? message)
        },
      )
    }
  }

  private count(what: number | string): void {
    this.responses.set(what, (this.responses.get(what) ?? 0) + 1)
  }
}

/**
 * For the duration of the test, restarts Prosody, reloads the configuration, and sends bursts of requests. Returns
 * the number of restarts.
 */
async function runRounds(prosody: TestProsody, exporter: Exporter, burst: Burst): Promise<number> {
  let restarts = 0
  let restarted: Promise<unknown> = Promise.resolve()
  const startedAt = performance.now()
  for (let round = 0; round < ROUNDS; round++) {
    await sleep(Math.max(0, startedAt + round * roundMs - performance.now()))
    if (round % 10 === 5) {
      restarts++
      restarted = restarted.then(() => prosody.restart())
    }
    if (round % 15 === 3) {
      writeConfig(prosody, round % 30 === 3 ? 100 : 250)
      if (round % 2 === 0) exporter.kill('SIGHUP')
      else void fetch(`${exporter.url}/-/reload`, { method: 'POST' }).catch(() => undefined)
    }
    if (round % 20 === 12) burst.send()
  }
  await restarted
  return restarts
}

function readMeasurements(prosody: TestProsody, name: string): Measurement[] {
  return readFileSync(monitorFile(prosody, name), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Measurement)
}

function printLoad(tally: Tally, restarts: number, burst: Burst): void {
  const total = Object.values(tally.responses).reduce((sum, n) => sum + n, 0)
  const byResult = [...burst.responses].map(([what, n]) => `${n} × ${what}`).join(', ')
  console.log(
    `${minutes} minutes, ${scrapers} scrapers, ${total} responses ${JSON.stringify(tally.responses)}, ` +
      `the longest after ${(tally.longestMs / 1000).toFixed(2)} s; refused ${tally.refused}, late ${tally.late}`,
  )
  console.log(
    `checked expositions: ${tally.up} up with every series, ${tally.down} down with none\n` +
      `Prosody restarted ${restarts} times; bursts of ${burst.requests} requests in all: ${byResult}`,
  )
}

function printEventLoop(name: string, measurements: readonly Measurement[]): void {
  const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!
  const valuesOf = (key: 'p50' | 'p99' | 'max') => measurements.map((each) => each[key])
  console.log(
    `event loop of the ${name}: delay p50 ${median(valuesOf('p50')).toFixed(2)} ms, ` +
      `p99 ${median(valuesOf('p99')).toFixed(1)} ms (medians of seconds), ` +
      `maximum ${Math.max(...valuesOf('max')).toFixed(0)} ms`,
  )
}

function checkTrends(measurements: readonly Measurement[]): void {
  for (const key of ['rss', 'timers', 'sockets'] as const) {
    const { text, isFlat } = judgeTrend(measurements.map((each) => each[key]))
    console.log(`${key}: ${text}`)
    if (!isFlat) problems.push(`${key} grows: ${text}`)
  }
}

const openDescriptors = (exporter: Exporter) => readdirSync(`/proc/${exporter.pid}/fd`).length

async function checkDescriptors(exporter: Exporter, before: number): Promise<void> {
  await until(() => openDescriptors(exporter) <= before, {
    what: `at most ${before} file descriptors are open, as before the load`,
  }).catch((error: unknown) =>
    problems.push(`${String(error)}; ${openDescriptors(exporter)} file descriptors are open`),
  )
}

function checkResponses(tally: Tally, burst: Burst): void {
  problems.push(...tally.wrong)
  if (tally.late > 0) problems.push(`${tally.late} scrapes got no response within their timeout`)
  if (tally.refused > 0) problems.push(`${tally.refused} scrapes were refused`)
  for (const status of Object.keys(tally.responses)) {
    if (status !== '200') problems.push(`scrapers got responses with the status ${status}`)
  }
  for (const what of burst.responses.keys()) {
    if (what !== 200 && what !== 503) problems.push(`a request of a burst ended with ${what}`)
  }
}

/** Reports warnings in the log as problems, except warnings that a restart of Prosody or a reload can cause. */
function checkLog(exporter: Exporter): void {
  const expected = /Prosody|stream|configuration|collector|connected|[Cc]onnection to|network to/
  for (const { level, message } of logLines(exporter)) {
    if (/^(warn|err)/i.test(level) && !expected.test(message))
      problems.push(`unexpected log message: ${message}`)
  }
}

try {
  await soak()
} finally {
  for (const end of ends) await end()
}
for (const problem of problems) console.error(`PROBLEM: ${problem}`)
process.exitCode = problems.length > 0 ? 1 : 0

// Simulates an hour of heavy load (240 scrapes of each scraper) in the given time. The load is a thousand
// scrapers with keep-alive, slow readers, endless headers, request floods above the limits, restarts of Prosody
// and reloads of the configuration. At the end, the test checks:
// - memory, timers and sockets do not grow over the last half;
// - no response is wrong, late or missing;
// - the log has no unexpected warnings.
// It also prints event loop delays, next to those of an idle exporter.
// Run: npm run soak [-- minutes [scrapers]]. The default is 2 minutes and 1,000 scrapers; 60 is real time.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { root, run, until } from '../../support/setup/process.js'
import { httpGet, withExporterFor } from '../../support/exporter.js'
import { withProsody } from '../../support/prosody.js'
import { logLines, untilUp } from '../../support/real.js'
import type { Order, Tally } from './crowd.js'
import { judgeFlat, type Monitored } from './judge.js'

const ROUNDS = 240
const SERIES = 2000
const [minutes = 2, scrapers = 1000] = process.argv.slice(2).map(Number)
const roundMs = (minutes * 60_000) / ROUNDS

const ends: (() => unknown)[] = []
const t = { after: (end: () => unknown) => ends.unshift(end) } as Parameters<typeof withProsody>[0]
const problems: string[] = []

async function soak(): Promise<void> {
  const built = await run('npm', ['run', 'build'], { cwd: root })
  if (built.code !== 0) throw new Error(built.output)
  const prosody = await withProsody(t, {
    version: '13.0.1',
    modules: ['test_series'],
    globals: { test_series_count: String(SERIES) },
  })
  const file = join(prosody.dir, 'exporter.yml')
  const configure = (minAge: number) => {
    writeFileSync(file, `collection: {min_age: ${minAge}ms}\n`)
  }
  configure(250)
  const start = (name: string) =>
    withExporterFor(t, prosody, {
      domain: `stats.${name}.example`,
      flags: [`--config.file=${file}`, '--log.format=json', '--web.enable-lifecycle'],
      env: {
        NODE_OPTIONS: `--import=${join(root, 'test/robustness/soak/monitor.js')}`,
        SOAK_MONITOR: join(prosody.dir, `${name}.jsonl`),
        PROSODY_EXPORTER_PAGE_INTERVAL: '1s',
      },
    })
  const exporter = await start('one')
  await start('two') // The control, which gets no requests.
  await untilUp(exporter)
  const handles = () => readdirSync(`/proc/${exporter.pid}/fd`).length
  const handlesBefore = handles()

  const order: Order = {
    port: exporter.port,
    scrapers,
    intervalMs: roundMs,
    series: SERIES,
    slowReaders: 20,
    drippers: 100,
  }
  const clients = fork(join(root, 'test/robustness/soak/crowd.ts'), [JSON.stringify(order)], {
    execArgv: ['--import', 'tsx'],
  })
  t.after(() => clients.kill())
  const flood = { sent: 0, answers: new Map<number | string, number>() }
  let restarts = 0
  let busy: Promise<unknown> = Promise.resolve()
  const startedAt = performance.now()
  for (let round = 0; round < ROUNDS; round++) {
    await sleep(Math.max(0, startedAt + round * roundMs - performance.now()))
    if (round % 10 === 5) {
      restarts++
      busy = busy.then(() => prosody.restart())
    }
    if (round % 15 === 3) {
      configure(round % 30 === 3 ? 100 : 250)
      if (round % 2 === 0) exporter.kill('SIGHUP')
      else void fetch(`${exporter.url}/-/reload`, { method: 'POST' }).catch(() => undefined)
    }
    if (round % 20 === 12) {
      // A request with a selection of collectors is rendered separately, so the request limits count it.
      for (let i = 0; i < 300; i++) {
        flood.sent++
        // All requests of the flood come from one client address.
        void httpGet(`${exporter.url}/metrics?collect[]=registry`, {}, '127.2.0.3').then(
          ({ status }) => flood.answers.set(status, (flood.answers.get(status) ?? 0) + 1),
          (error: unknown) => {
            const { code, message } = error as NodeJS.ErrnoException
            const what = code ?? message
            flood.answers.set(what, (flood.answers.get(what) ?? 0) + 1)
          },
        )
      }
    }
  }
  await busy
  clients.send('report')
  const [tally] = (await once(clients, 'message')) as [Tally]
  clients.kill()
  await once(clients, 'exit')

  const read = (name: string) =>
    readFileSync(join(prosody.dir, `${name}.jsonl`), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Monitored)
  const [loaded, idle] = [read('one'), read('two')]
  const answered = Object.values(tally.answers).reduce((sum, n) => sum + n, 0)
  console.log(
    `${minutes} minutes, ${scrapers} scrapers, ${answered} responses ${JSON.stringify(tally.answers)}, the slowest after ${(tally.longestMs / 1000).toFixed(2)} s; refused ${tally.refused}, late ${tally.late}`,
  )
  console.log(`checked responses: ${tally.up} up with all series, ${tally.down} down with none`)
  console.log(
    `Prosody restarted ${restarts} times; flood of ${flood.sent} requests: ${shown(flood.answers)}`,
  )
  const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!
  for (const [name, lines] of [['exporter', loaded] as const, ['idle control', idle] as const]) {
    const of = (key: 'p50' | 'p99' | 'max') => lines.map((line) => line[key])
    console.log(
      `event loop of the ${name}: delay p50 ${median(of('p50')).toFixed(2)} ms, p99 ${median(of('p99')).toFixed(1)} ms (medians of seconds), longest ${Math.max(...of('max')).toFixed(0)} ms`,
    )
  }
  for (const key of ['rss', 'timers', 'sockets'] as const) {
    const { text, isFlat } = judgeFlat(loaded.map((line) => line[key]))
    console.log(`${key}: ${text}`)
    if (!isFlat) problems.push(`${key} grows: ${text}`)
  }

  await until(() => handles() <= handlesBefore, {
    what: `at most ${handlesBefore} open file descriptors, as before the test`,
  }).catch((error: unknown) => problems.push(`${String(error)}; now ${handles()} are open`))
  await untilUp(exporter)
  problems.push(...tally.wrong)
  if (tally.late > 0) problems.push(`${tally.late} scrapes got no response within their timeout`)
  if (tally.refused > 0) problems.push(`${tally.refused} scrapes were refused`)
  for (const status of Object.keys(tally.answers)) {
    if (status !== '200') problems.push(`scrapers got the status ${status}`)
  }
  for (const what of flood.answers.keys()) {
    if (what !== 200 && what !== 503) problems.push(`requests of the flood ended with ${what}`)
  }
  // Restarts of Prosody and reloads cause these warnings.
  const explained = /Prosody|stream|configuration|collector|connected/
  for (const { level, message } of logLines(exporter)) {
    if (/^(warn|err)/i.test(level) && !explained.test(message)) problems.push(`log: ${message}`)
  }
  exporter.kill('SIGTERM')
  const code = await exporter.exited
  if (code !== 0) problems.push(`the exporter exited with code ${code}`)
}

const shown = (counts: ReadonlyMap<number | string, number>) =>
  [...counts].map(([what, n]) => `${n} × ${what}`).join(', ')

try {
  await soak()
} finally {
  for (const end of ends) await end()
}
for (const problem of problems) console.error(`PROBLEM: ${problem}`)
process.exitCode = problems.length > 0 ? 1 : 0

// An hour of a hard life, 240 scrapes of each scraper, in the time that is given: thousands of scrapers
// with keep-alive, slow readers, headers that never end, floods above the limits, Prosody restarting
// every few seconds, configurations read anew. At the end: memory and handles flat over the last half,
// no answer wrong or missing that isn't explained, the event loop against an idle exporter's.
// Run: npm run soak [-- minutes [scrapers]]; 2 minutes and 1,000 by default. 60 is an hour of itself.

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
  await start('two') // Nobody asks it: the control.
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
  const crowd = fork(join(root, 'test/robustness/soak/crowd.ts'), [JSON.stringify(order)], {
    execArgv: ['--import', 'tsx'],
  })
  t.after(() => crowd.kill())
  const flood = { asked: 0, answers: new Map<number | string, number>() }
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
      // Each of its own collectors' selection is rendered for it, so the limit of requests counts it.
      for (let i = 0; i < 300; i++) {
        flood.asked++
        // Each is rendered for itself, and all are one client's.
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
  crowd.send('tell')
  const [tally] = (await once(crowd, 'message')) as [Tally]
  crowd.kill()
  await once(crowd, 'exit')

  const read = (name: string) =>
    readFileSync(join(prosody.dir, `${name}.jsonl`), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Monitored)
  const [ours, idle] = [read('one'), read('two')]
  const answered = Object.values(tally.answers).reduce((sum, n) => sum + n, 0)
  console.log(
    `${minutes} minutes, ${scrapers} scrapers, ${answered} answers ${JSON.stringify(tally.answers)}, the longest ${(tally.longestMs / 1000).toFixed(2)} s; refused ${tally.refused}, late ${tally.late}`,
  )
  console.log(`looked at: ${tally.up} up with every series, ${tally.down} down with none`)
  console.log(
    `Prosody restarted ${restarts} times; flood of ${flood.asked}: ${shown(flood.answers)}`,
  )
  const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!
  for (const [name, lines] of [['exporter', ours] as const, ['idle control', idle] as const]) {
    const of = (key: 'p50' | 'p99' | 'max') => lines.map((line) => line[key])
    console.log(
      `event loop of the ${name}: delay p50 ${median(of('p50')).toFixed(2)} ms, p99 ${median(of('p99')).toFixed(1)} ms (medians of seconds), longest ${Math.max(...of('max')).toFixed(0)} ms`,
    )
  }
  for (const key of ['rss', 'timers', 'sockets'] as const) {
    const { text, isFlat } = judgeFlat(ours.map((line) => line[key]))
    console.log(`${key}: ${text}`)
    if (!isFlat) problems.push(`${key} grows: ${text}`)
  }

  await until(() => handles() <= handlesBefore, {
    what: `no more than the ${handlesBefore} descriptors that were open before`,
  }).catch((error: unknown) => problems.push(`${String(error)}; there are ${handles()}`))
  await untilUp(exporter)
  problems.push(...tally.wrong)
  if (tally.late > 0) problems.push(`${tally.late} scrapes were not answered before the next`)
  if (tally.refused > 0) problems.push(`${tally.refused} scrapes were refused`)
  for (const status of Object.keys(tally.answers)) {
    if (status !== '200') problems.push(`scrapers were answered ${status}`)
  }
  for (const what of flood.answers.keys()) {
    if (what !== 200 && what !== 503) problems.push(`the flood was answered ${what}`)
  }
  // Losing a stream and regaining it is what restarts are.
  const explained = /Prosody|stream|configuration|collector|connected/
  for (const { level, message } of logLines(exporter)) {
    if (/^(warn|err)/i.test(level) && !explained.test(message)) problems.push(`log: ${message}`)
  }
  exporter.kill('SIGTERM')
  const code = await exporter.exited
  if (code !== 0) problems.push(`the exporter ended with ${code}`)
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

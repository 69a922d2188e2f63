// Measures one exporter that collects from a thousand XMPP servers. A client sends a /probe request for each server
// every 15 s, and spreads the requests over the interval, as Prometheus does. The results are the number of late
// responses, the CPU time as a share of one core, and the memory. In a second phase, a hundred servers lose their
// connection every 10 s and ten servers never respond. That phase measures the effect on the healthy servers.
// With --history, each server has a history of two years, in a file of 7.3 MB.
// The exporter runs from dist/, because tsx would increase its memory by a fifth.
// Run: node --import tsx bench/servers.ts [servers [seconds of each phase]], for example 1000 300

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, request, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import { getHistoryPath } from '../src/history/state-directory.js'
import { root } from '../test/support/setup/process.js'
import { withExporter } from '../test/support/exporter.js'
import { sampleValue } from '../test/support/real.js'
import { writeSyntheticHistory } from '../test/support/synthetic-history.js'
import { cpuMs, note, parameters, peakMB, report, shown, spread } from './figure.js'
import type { Order } from './servers-model.js'

const [count = 1000, phaseSeconds = 60] = parameters.map(Number)
const SERIES = 300
const INTERVAL_MS = 15_000
/** The default scrape_timeout of Prometheus. */
const TIMEOUT_S = 10
// The default request headers of Prometheus 3.5.
const HEADERS = {
  Accept:
    'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1',
  'Accept-Encoding': 'gzip',
  'X-Prometheus-Scrape-Timeout-Seconds': TIMEOUT_S,
}
const cleanup: (() => unknown)[] = []
const agent = new Agent({ keepAlive: true, maxSockets: 200 })

type Probe = { readonly server: number; readonly ms: number; readonly isRight: boolean }

async function probe(url: string, server: number): Promise<Probe> {
  const startedAt = performance.now()
  const sent = request(`${url}/probe?target=s${server}`, { agent, headers: HEADERS })
  sent.end()
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  const bytes = await buffer(response)
  const ms = performance.now() - startedAt
  const text = gunzipSync(bytes).toString()
  const series = text.split('\n').filter((line) => line.startsWith('test_')).length
  return { server, ms, isRight: sampleValue(text, 'xmpp_up') === 1 && series === SERIES }
}

/** Sends a /probe request for each server once in 15 s, at evenly spread times. */
async function probeAll(url: string, seconds: number): Promise<Probe[]> {
  const probes: Promise<Probe>[] = []
  const startedAt = performance.now()
  const total = Math.round((seconds * 1000 * count) / INTERVAL_MS)
  for (let i = 0; i < total; i++) {
    const dueMs = (i * INTERVAL_MS) / count - (performance.now() - startedAt)
    if (dueMs > 1) await sleep(dueMs)
    probes.push(probe(url, i % count))
  }
  return await Promise.all(probes)
}

/** Writes a history of two years for each server. Returns the flag for the directory of the files. */
async function writeHistories(directory: string): Promise<string> {
  const first = getHistoryPath(directory, 's0')
  await writeSyntheticHistory(first, { endMs: Date.now(), days: 730 })
  for (let i = 1; i < count; i++) copyFileSync(first, getHistoryPath(directory, `s${i}`))
  return `--state.directory=${directory}`
}

const directory = mkdtempSync(join(tmpdir(), 'prosody-exporter-bench-'))
cleanup.push(() => {
  rmSync(directory, { recursive: true })
})
try {
  const model = fork(join(root, 'bench/servers-model.ts'), [String(count), String(SERIES)], {
    execArgv: ['--import', 'tsx'],
  })
  cleanup.unshift(() => model.kill())
  const [ports] = (await once(model, 'message')) as [number[]]
  writeFileSync(join(directory, 'secret'), 'secret', { mode: 0o600 })
  const file = join(directory, 'servers.yml')
  const lines = ports.map(
    (port, i) =>
      `  - {name: s${i}, domain: stats.example, service: "xmpp://127.0.0.1:${port}", secret_file: secret}`,
  )
  writeFileSync(file, `servers:\n${lines.join('\n')}\n`)
  const history = process.argv.includes('--history') ? [await writeHistories(directory)] : []
  const t = { after: (f: () => unknown) => cleanup.unshift(f) } as never
  const exporter = await withExporter(t, {
    flags: [`--config.file=${file}`, '--log.level=error', ...history],
    env: { PROSODY_EXPORTER_PAGE_INTERVAL: '15s' },
  })
  const startedAt = performance.now()
  const isUp = async () => {
    const { text } = await exporter.get('/metrics')
    return text.split('\n').filter((line) => /^xmpp_up\{.*\} 1$/.test(line)).length >= count
  }
  while (!(await isUp())) await sleep(500)
  note(`${count} servers are up after ${((performance.now() - startedAt) / 1000).toFixed(1)} s`)
  // The exporter sends some requests only once to each server. After one interval, it has sent all of these requests.
  await probeAll(exporter.url, INTERVAL_MS / 1000)

  const measure = async (what: string, order: Order) => {
    model.send(order)
    await sleep(1000)
    const before = cpuMs(exporter.pid)
    const at = performance.now()
    const probes = await probeAll(exporter.url, phaseSeconds)
    const share = (cpuMs(exporter.pid) - before) / (performance.now() - at)
    const others = probes.filter(({ server }) => server >= order.flapping + order.hanging)
    const late = probes.filter(({ ms }) => ms > TIMEOUT_S * 1000).length
    const wrong = others.filter(({ isRight }) => !isRight).length
    const name = `${count} servers of ${SERIES} series, ${what}`
    const waits = spread(others.map(({ ms }) => ms))
    const longest = Math.max(...others.map(({ ms }) => ms))
    report({
      what: `${name}: a probe of a healthy server`,
      ratio: `${(longest / 1000).toFixed(2)} s at most`,
      exporter: shown(waits, 'ms'),
      peer: `a timeout of ${TIMEOUT_S} s; ${late} of ${probes.length} late, ${wrong} with missing series`,
    })
    report({
      what: `${name}: CPU and memory`,
      ratio: `${(100 * share).toFixed(0)} % of a core`,
      exporter: `${peakMB(exporter.pid).toFixed(0)} MB resident at most`,
      peer: 'a target of half a core and 500 MB',
    })
  }
  await measure('all healthy', { flapping: 0, hanging: 0 })
  await measure('100 flapping and 10 hanging', { flapping: 100, hanging: 10 })
} finally {
  agent.destroy()
  for (const f of cleanup) await f()
}

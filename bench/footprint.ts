// Measures the resident memory of the exporter after 1,000 scrapes of 300 series, and the duration of the
// commands `--version` and `--config.check`. Each result is a ratio to a Node.js process without a program.
// Run: node --import tsx bench/footprint.ts [--markdown]

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, get, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { root } from '../test/support/setup/process.js'
import { withExporterFor } from '../test/support/exporter.js'
import { prosodyVersions, withProsody } from '../test/support/prosody.js'
import { note, report, shown, spread, timesOf } from './figure.js'

type Test = Parameters<typeof withProsody>[0]

const SERIES = 300
const SCRAPES = 1000
const RUNS = 15
const main = join(root, 'dist/main.js')

function residentMb(pid: number): number {
  const [, kb] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))!
  return Number(kb) / 1024
}

/** Sends the scrapes one after another, as Prometheus 3 does: OpenMetrics with gzip, over one connection. */
async function scrape(url: string, times: number): Promise<void> {
  const agent = new Agent({ keepAlive: true })
  const headers = {
    Accept: 'application/openmetrics-text;version=1.0.0',
    'Accept-Encoding': 'gzip',
  }
  for (let i = 0; i < times; i++) {
    const [response] = (await once(get(url, { agent, headers }), 'response')) as [IncomingMessage]
    response.resume()
    await once(response, 'end')
  }
  agent.destroy()
}

async function measureMemory(t: Test): Promise<void> {
  const prosody = await withProsody(t, {
    version: prosodyVersions.at(-1)!,
    modules: ['test_series'],
    globals: { test_series_count: `${SERIES}`, test_series_families: '10' },
  })
  const exporter = await withExporterFor(t, prosody, {
    env: { PROSODY_EXPORTER_COLLECTION_MIN_AGE: '0s' },
  })
  while ((await exporter.get('/-/ready')).status !== 200) await sleep(100)
  const bare = spawn(process.execPath, ['-e', 'setInterval(() => undefined, 1000)'])
  t.after(() => bare.kill())
  await scrape(`${exporter.url}/metrics`, SCRAPES)
  const exporterMb = spread([residentMb(exporter.pid)])
  const nodeMb = spread([residentMb(bare.pid!)])
  report({
    what: `Resident memory after ${SCRAPES} scrapes of ${SERIES} series, against Node.js without a program`,
    ratio: timesOf(exporterMb, nodeMb),
    exporter: `${exporterMb.median.toFixed(1)} MB`,
    peer: `${nodeMb.median.toFixed(1)} MB`,
  })
}

function runMs(args: readonly string[]): number {
  const startedAt = performance.now()
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${args.join(' ')}: ${stderr}`)
  return performance.now() - startedAt
}

function measureCommand(what: string, args: readonly string[]): void {
  const exporterTimes: number[] = []
  const nodeTimes: number[] = []
  for (let i = 0; i < RUNS; i++) {
    nodeTimes.push(runMs(['-e', '0']))
    exporterTimes.push(runMs([main, ...args]))
  }
  const exporterMs = spread(exporterTimes)
  const nodeMs = spread(nodeTimes)
  report({
    what: `Time of ${what}, against \`node -e 0\``,
    ratio: timesOf(exporterMs, nodeMs),
    exporter: shown(exporterMs, 'ms'),
    peer: shown(nodeMs, 'ms'),
  })
}

function measureCommands(): void {
  const dir = mkdtempSync(join(tmpdir(), 'footprint-'))
  const file = join(dir, 'exporter.yml')
  writeFileSync(join(dir, 'secret'), 'secret', { mode: 0o600 })
  writeFileSync(file, 'servers:\n  - domain: stats.example.com\n    secret_file: secret\n')
  measureCommand('`--version`', ['--version'])
  measureCommand('`--config.check` with a file', ['--config.check', `--config.file=${file}`])
  rmSync(dir, { recursive: true })
}

const cleanup: (() => unknown)[] = []
const t = { after: (f: () => unknown) => cleanup.unshift(f) } as unknown as Test
try {
  await measureMemory(t)
} finally {
  for (const f of cleanup) await f()
}
measureCommands()
note(`Node.js ${process.version}`)

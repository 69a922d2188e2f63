// What the process itself takes: resident memory after 1,000 scrapes of 300 series, and the time of the
// commands that only print something, each as a ratio to a bare Node.js in the same run.
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

const SERIES = 300
const SCRAPES = 1000
const RUNS = 15
const main = join(root, 'dist/main.js')

function residentMb(pid: number): number {
  const [, kb] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))!
  return Number(kb) / 1024
}

/** Scrapes one after another, as Prometheus 3 does: OpenMetrics with gzip, over one connection. */
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

async function measureMemory(t: Parameters<typeof withProsody>[0]): Promise<void> {
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
  const [ours, theirs] = [spread([residentMb(exporter.pid)]), spread([residentMb(bare.pid!)])]
  report({
    what: `Resident memory after ${SCRAPES} scrapes of ${SERIES} series, against a bare Node.js`,
    ratio: timesOf(ours, theirs),
    exporter: `${ours.median.toFixed(1)} MB`,
    peer: `${theirs.median.toFixed(1)} MB`,
  })
}

function runMs(args: readonly string[]): number {
  const startedAt = performance.now()
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${args.join(' ')}: ${stderr}`)
  return performance.now() - startedAt
}

function measureCommand(what: string, args: readonly string[]): void {
  const times: { ours: number[]; bare: number[] } = { ours: [], bare: [] }
  for (let i = 0; i < RUNS; i++) {
    times.bare.push(runMs(['-e', '0']))
    times.ours.push(runMs([main, ...args]))
  }
  const [ours, bare] = [spread(times.ours), spread(times.bare)]
  report({
    what: `Time of ${what}, against \`node -e 0\``,
    ratio: timesOf(ours, bare),
    exporter: shown(ours, 'ms'),
    peer: shown(bare, 'ms'),
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
try {
  await measureMemory({ after: (f: () => unknown) => cleanup.unshift(f) } as never)
} finally {
  for (const f of cleanup) await f()
}
measureCommands()
note(`Node.js ${process.version}`)

// What one collection costs Prosody, next to mod_http_openmetrics on the same server: CPU of its
// threads (the kernel's own accounting) and the longest time in which it answers nobody, seen by
// pings every millisecond from outside. Run: node --import tsx bench/silence.ts [series [families]]

import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { root } from '../scripts/process.js'
import { httpGet, withExporterFor } from '../test/helpers/exporter.js'
import { prosodyVersions, SECRET, withProsody } from '../test/helpers/prosody.js'
import { cpuMs } from './figure.js'

type Waits = { pings: number; median: number; p99: number; longest: number }

const [series = '100000', families = '1000'] = process.argv.slice(2)
const ROUNDS = 5
const GC = { default: undefined, generational: '{ mode = "generational" }' }
const PINGER = 'pinger.example'

async function waitsOf(pinger: ChildProcess): Promise<Waits> {
  pinger.send('now')
  return ((await once(pinger, 'message')) as [Waits])[0]
}

for (const version of prosodyVersions) {
  for (const [gc, setting] of Object.entries(GC)) {
    const cleanup: (() => unknown)[] = []
    const t = { after: (f: () => unknown) => cleanup.unshift(f) } as unknown as Parameters<
      typeof withProsody
    >[0]
    try {
      const prosody = await withProsody(t, {
        version,
        modules: ['test_series'],
        globals: { gc: setting, test_series_count: series, test_series_families: families },
        components: [{ domain: PINGER, options: { component_secret: `"${SECRET}"` } }],
      })
      const pinger = fork(
        join(root, 'bench/pinger.ts'),
        [String(prosody.ports.component), PINGER, SECRET, prosody.hosts[0]!],
        { execArgv: ['--import', 'tsx'] },
      )
      cleanup.unshift(() => pinger.kill())
      await once(pinger, 'message')

      const measure = async (name: string, work: () => Promise<unknown>) => {
        await waitsOf(pinger)
        const before = cpuMs(prosody.pid)
        const started = performance.now()
        await work()
        const ms = performance.now() - started
        const cpu = cpuMs(prosody.pid) - before
        const { longest, p99, pings } = await waitsOf(pinger)
        console.log(
          `${version} gc=${gc} ${name}: took ${ms.toFixed(0)} ms, Prosody's CPU ${cpu.toFixed(0)} ms ` +
            `(${pings} pings' included), longest silence ${longest.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`,
        )
      }

      await measure('idle second', () => sleep(1000))
      let url = ''
      await measure('first collection (exporter starts)', async () => {
        const exporter = await withExporterFor(t, prosody)
        url = `${exporter.url}/metrics`
        while ((await httpGet(`${exporter.url}/-/ready`)).status !== 200) await sleep(100)
      })
      for (let i = 0; i < ROUNDS; i++) {
        await sleep(500)
        await measure('scrape of the exporter', () => httpGet(url))
        await sleep(500)
        await measure('scrape of mod_http_openmetrics', () => {
          return httpGet(prosody.openmetricsUrl).catch((error: unknown) => {
            console.log(`  (its answer was cut: ${(error as Error).message})`)
          })
        })
      }
    } finally {
      for (const f of cleanup) await f()
    }
  }
}

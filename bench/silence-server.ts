/** Starts a Prosody with many series and mod_test_control, and a separate process that pings it. */

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { root } from '../test/support/setup/process.js'
import { withExporterFor, httpGet } from '../test/support/exporter.js'
import { SECRET, withProsody, type prosodyVersions } from '../test/support/prosody.js'
import { cpuMs, delayMs } from './figure.js'
import { startReader } from './reader.js'

type Test = Parameters<typeof withProsody>[0]
export type Version = (typeof prosodyVersions)[number]
export type Gc = keyof typeof GC

/** Values of Prosody's setting `gc`. `advised` is the one in prosody-example.cfg.lua. */
export const GC = {
  default: undefined,
  generational: '{ mode = "generational" }',
  advised: '{ mode = "generational"; minor_threshold = 5; major_threshold = 100 }',
}

/** The waits of pings in milliseconds, during some work and afterwards, and the cost of the work. */
export type Stretch = {
  readonly during: readonly number[]
  readonly after: readonly number[]
  readonly cpuMs: number
  /** Time for which Prosody waited for a CPU because of other load on the machine. */
  readonly delayMs: number
  /** Duration of the work alone; the stretch also includes the time afterwards. */
  readonly workMs: number
}

/** The garbage of one read of the statistics: size, number of pages, and duration. */
export type Garbage = { readonly kilobytes: number; readonly pages: number; readonly ms: number }

/**
 * The cost of each page: `pages` has the handler alone, and `turns` the whole turn of Prosody's event loop, with
 * mod_adhoc and the stream.
 */
export type Pages = { readonly pages: readonly PageCost[]; readonly turns: readonly PageCost[] }

/** CPU time and allocated memory. `kilobytes` is exact only while the garbage collector is stopped. */
export type PageCost = { readonly ms: number; readonly kilobytes: number }

const PINGER = 'pinger.example'
// Minimum length of a stretch, and of its part after the work. The second part is necessary because Lua
// collects the garbage of the work only when something allocates memory again.
const STRETCH_MS = 600
const AFTERWARDS_MS = 300

/** Prosody 13.0 cuts the response of mod_http_openmetrics at 4 MiB. Its cost up to then is measured anyway. */
const getAll = (url: string) => httpGet(url).catch(() => undefined)

export async function startServer(
  t: Test,
  config: { version: Version; gc: Gc; series: number; families: number },
) {
  const prosody = await withProsody(t, {
    version: config.version,
    modules: ['test_control'],
    globals: {
      gc: GC[config.gc],
      test_control_series: `${config.series}`,
      test_control_families: `${config.families}`,
    },
    components: [{ domain: PINGER, options: { component_secret: `"${SECRET}"` } }],
  })

  async function control(...words: readonly (string | number)[]): Promise<unknown> {
    const url = `http://127.0.0.1:${prosody.ports.http}/test_control`
    const response = await fetch(url, { method: 'POST', body: words.join(' ') })
    if (!response.ok) throw new Error(`${words[0]}: ${await response.text()}`)
    return await response.json()
  }
  await control('wrap')
  const pages = async () => (await control('pages')) as Pages

  const pinger = fork(
    join(root, 'bench/pinger.ts'),
    [String(prosody.ports.component), PINGER, SECRET, prosody.hosts[0]!],
    { execArgv: ['--import', 'tsx'] },
  )
  t.after(() => {
    pinger.kill('SIGKILL')
  })
  await once(pinger, 'message')
  async function waits(): Promise<number[]> {
    pinger.send('now')
    return ((await once(pinger, 'message')) as [number[]])[0]
  }

  async function stretch(work: () => Promise<unknown>): Promise<Stretch> {
    await waits()
    const cpu = cpuMs(prosody.pid)
    const delay = delayMs(prosody.pid)
    const started = performance.now()
    await work()
    const workMs = performance.now() - started
    const during = await waits()
    await sleep(Math.max(AFTERWARDS_MS, STRETCH_MS - (performance.now() - started)))
    return {
      during,
      after: await waits(),
      cpuMs: cpuMs(prosody.pid) - cpu,
      delayMs: delayMs(prosody.pid) - delay,
      workMs,
    }
  }

  /** Measures the garbage of one read, with the pinger and the garbage collector stopped. */
  async function garbageOf(read: () => Promise<unknown>): Promise<Garbage> {
    pinger.kill('SIGSTOP')
    await sleep(20)
    await control('stop')
    await pages()
    const started = performance.now()
    await read()
    const ms = performance.now() - started
    const kilobytes = Number(await control('start'))
    const count = (await pages()).pages.length
    pinger.kill('SIGCONT')
    await sleep(100)
    return { kilobytes, pages: count, ms }
  }

  const reader = await startReader(prosody)
  t.after(() => reader.stop())

  /** Starts the exporter and returns a function that scrapes it. */
  async function startExporter() {
    const exporter = await withExporterFor(t, prosody, {
      env: { PROSODY_EXPORTER_COLLECTION_MIN_AGE: '0s' },
    })
    while ((await exporter.get('/-/ready')).status !== 200) await sleep(100)
    return () => exporter.get('/metrics')
  }

  return {
    control,
    pages,
    stretch,
    garbageOf,
    readAll: reader.readAll,
    startExporter,
    scrapeOpenMetrics: () => getAll(prosody.openmetricsUrl),
    /** Changes the values, and then waits for `ms` milliseconds. */
    move: async (ms: number) => {
      await control('move')
      await sleep(ms)
    },
    /** Changes the values and allocates as much garbage as a read, in as many portions and over the same time. */
    moveAndAllocate: ({ kilobytes, pages: portions, ms }: Garbage) =>
      control('move_and_allocate', Math.round(kilobytes), portions, ms / portions / 1000),
  }
}

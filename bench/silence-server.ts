/** A private Prosody with many series, a pinger outside, and mod_test_control inside. */

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

/** Prosody's `gc`; the last is what we advise. */
export const GC = {
  default: undefined,
  generational: '{ mode = "generational" }',
  advised: '{ mode = "generational"; minor_threshold = 5; major_threshold = 100 }',
}

/** What each ping waited, in milliseconds, while something went on and then until the end, and what it took. */
export type Stretch = {
  readonly during: readonly number[]
  readonly after: readonly number[]
  readonly cpuMs: number
  /** That others on this machine had the processor while Prosody wanted it. */
  readonly delayMs: number
  /** Of the work alone; the stretch is longer. */
  readonly workMs: number
}

/** What one reading allocates, in how many pages, and how long it takes. */
export type Garbage = { readonly kilobytes: number; readonly pages: number; readonly ms: number }

/** What each page took: its handler, and the whole turn with what mod_adhoc and the stream do. */
export type Pages = { readonly pages: readonly PageCost[]; readonly turns: readonly PageCost[] }

/** Of CPU; kilobytes are true while the collector is stopped. */
export type PageCost = { readonly ms: number; readonly kilobytes: number }

const PINGER = 'pinger.example'
// The least time that is looked at, and what is looked at after the work: the collector's debt is
// paid by whoever allocates next.
const STRETCH_MS = 600
const AFTERWARDS_MS = 300

/** mod_http_openmetrics's answer is cut at 4 MiB on 13.0; what it cost until then is what counts. */
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

  /** Nobody pings meanwhile, and the collector stands still. */
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

  /** Starts the exporter; what it returns is a scrape, with one in ten series moved. */
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
    /** The series move, and then nothing happens for so long. */
    move: async (ms: number) => {
      await control('move')
      await sleep(ms)
    },
    /** As much garbage as a reading makes, in as many portions, and in at least as long a time. */
    moveAndAllocate: ({ kilobytes, pages: portions, ms }: Garbage) =>
      control('move_and_allocate', Math.round(kilobytes), portions, ms / portions / 1000),
  }
}

/** Starts a Prosody with many series and mod_test_control, and a separate process that pings it. */

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { root } from '../test/support/setup/process.js'
import { withExporterFor, httpGet } from '../test/support/exporter.js'
import {
  SECRET,
  withProsody,
  type prosodyVersions,
  type TestProsody,
} from '../test/support/prosody.js'
import { cpuMs, delayMs } from './figure.js'
import { startReader } from './reader.js'

type Test = Parameters<typeof withProsody>[0]
export type Version = (typeof prosodyVersions)[number]
export type Gc = keyof typeof GC

/** Values of Prosody's setting `gc`. `advised` is the value in prosody-example.cfg.lua. */
export const GC = {
  default: undefined,
  generational: '{ mode = "generational" }',
  advised: '{ mode = "generational"; minor_threshold = 5; major_threshold = 100 }',
}

/** The waits of pings in milliseconds, while Prosody does some work and afterwards, and the cost of the work. */
export type Stretch = {
  readonly during: readonly number[]
  readonly after: readonly number[]
  readonly cpuMs: number
  /** How long Prosody waited for a CPU because of other load on the machine. */
  readonly delayMs: number
  /** Duration of the work, without the time afterwards in which pings continue. */
  readonly workMs: number
}

/** The size of the garbage that one read of the statistics leaves, the number of pages read, and the duration. */
export type Garbage = { readonly kilobytes: number; readonly pages: number; readonly ms: number }

/**
 * The cost of each page of the statistics. `pages` has the time in the command handler alone. `turns` has the
 * whole turn of Prosody's event loop, including mod_adhoc and the XMPP stream.
 */
export type Pages = { readonly pages: readonly PageCost[]; readonly turns: readonly PageCost[] }

/**
 * The CPU time and the allocated memory for one page of the statistics. `kilobytes` is exact only while Lua's garbage
 * collector is stopped.
 */
export type PageCost = { readonly ms: number; readonly kilobytes: number }

const PINGER = 'pinger.example'
// Minimum duration of a measurement, and of its part after the work of Prosody. The measurement continues after
// the work because Lua collects the garbage of the work only when Prosody allocates memory again.
const STRETCH_MS = 600
const AFTERWARDS_MS = 300

/** Requests `url`. Ignores errors, because Prosody 13.0 cuts the response of mod_http_openmetrics at 4 MiB. */
const getAll = (url: string) => httpGet(url).catch(() => undefined)

/** Sends a command to mod_test_control of a Prosody, and returns the JSON of the response. */
type Control = (...words: readonly (string | number)[]) => Promise<unknown>

function controlOf(prosody: TestProsody): Control {
  return async (...words) => {
    const url = `http://127.0.0.1:${prosody.ports.http}/test_control`
    const response = await fetch(url, { method: 'POST', body: words.join(' ') })
    if (!response.ok) throw new Error(`${words[0]}: ${await response.text()}`)
    return await response.json()
  }
}

/** Starts the process that pings Prosody every millisecond. */
async function startPinger(t: Test, prosody: TestProsody) {
  const pinger = fork(
    join(root, 'bench/pinger.ts'),
    [String(prosody.ports.component), PINGER, SECRET, prosody.hosts[0]!],
    { execArgv: ['--import', 'tsx'] },
  )
  t.after(() => {
    pinger.kill('SIGKILL')
  })
  await once(pinger, 'message')
  return {
    /** Returns the waits of the pings in milliseconds since the previous call. */
    async takeWaits(): Promise<number[]> {
      pinger.send('now')
      return ((await once(pinger, 'message')) as [number[]])[0]
    },
    pause: () => pinger.kill('SIGSTOP'),
    resume: () => pinger.kill('SIGCONT'),
  }
}

type Pinger = Awaited<ReturnType<typeof startPinger>>

/** Measures the waits of pings during `work` and for at least 300 ms afterwards. */
async function measureStretch(
  prosody: TestProsody,
  pinger: Pinger,
  work: () => Promise<unknown>,
): Promise<Stretch> {
  await pinger.takeWaits()
  const cpu = cpuMs(prosody.pid)
  const delay = delayMs(prosody.pid)
  const started = performance.now()
  await work()
  const workMs = performance.now() - started
  const during = await pinger.takeWaits()
  await sleep(Math.max(AFTERWARDS_MS, STRETCH_MS - (performance.now() - started)))
  return {
    during,
    after: await pinger.takeWaits(),
    cpuMs: cpuMs(prosody.pid) - cpu,
    delayMs: delayMs(prosody.pid) - delay,
    workMs,
  }
}

/** Measures the garbage of one read of the statistics. Meanwhile, the pinger and Lua's garbage collector pause. */
async function measureGarbage(
  pinger: Pinger,
  control: Control,
  read: () => Promise<unknown>,
): Promise<Garbage> {
  pinger.pause()
  await sleep(20)
  await control('stop')
  await control('pages')
  const started = performance.now()
  await read()
  const ms = performance.now() - started
  const kilobytes = Number(await control('start'))
  const { pages } = (await control('pages')) as Pages
  pinger.resume()
  await sleep(100)
  return { kilobytes, pages: pages.length, ms }
}

/** Starts a Prosody with the given number of series, the pinger, and a reader of the statistics. */
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
  const control = controlOf(prosody)
  await control('wrap')
  const pinger = await startPinger(t, prosody)
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
    /** Returns the costs of the pages since the previous call. */
    takePages: async () => (await control('pages')) as Pages,
    measureStretch: (work: () => Promise<unknown>) => measureStretch(prosody, pinger, work),
    measureGarbage: (read: () => Promise<unknown>) => measureGarbage(pinger, control, read),
    readAll: reader.readAll,
    startExporter,
    scrapeOpenMetrics: () => getAll(prosody.openmetricsUrl),
    /** Changes the values of one series in ten, and then waits for `ms` milliseconds. */
    move: async (ms: number) => {
      await control('move')
      await sleep(ms)
    },
    /**
     * Changes the values of one series in ten. Then allocates as much garbage as a read of the statistics, in as many
     * portions as the read had pages, and over the same time.
     */
    moveAndAllocate: ({ kilobytes, pages: portions, ms }: Garbage) =>
      control('move_and_allocate', Math.round(kilobytes), portions, ms / portions / 1000),
  }
}

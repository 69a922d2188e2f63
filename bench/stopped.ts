// Measures the memory of the exporter with many clients that stop reading the response, over each transport. The
// memory is measured three times: before the clients connect, while they are connected, and at the end. At the
// end, the clients have disconnected and the exporter has served two more scrapes.
// Run: node --import tsx bench/stopped.ts [clients] [series] [transport …], after npm run build

import type { TestContext } from 'node:test'
import { withProsody, type TestProsody } from '../test/support/prosody.js'
import { sampleValue } from '../test/support/real.js'
import {
  startExporter,
  STOPPED,
  stopReading,
  type Stopped,
  type StoppedClient,
} from '../test/support/stopped-clients.js'
import { until } from '../test/support/setup/process.js'
import { parameters } from './figure.js'

const COUNT = Number(parameters[0] ?? 700)
const SERIES = parameters[1] ?? '50000'
const ways = parameters.length > 2 ? (parameters.slice(2) as Stopped[]) : STOPPED
const CONCURRENT = 20
const MB = 1024 * 1024
const cleanUp: (() => Promise<void>)[] = []
const t = {
  after: (run: () => Promise<void>) => {
    cleanUp.unshift(run)
  },
} as Pick<TestContext, 'after'>

try {
  const prosody = await withProsody(t, {
    version: '13.0.1',
    modules: ['test_series'],
    globals: { test_series_count: SERIES },
  })
  for (const how of ways) await measure(how, prosody)
} finally {
  for (const run of cleanUp) await run()
}

async function measure(how: Stopped, prosody: TestProsody) {
  const { port, memory, stop, ...exporter } = await startExporter(how, prosody)
  const scrape = async () => {
    const begin = performance.now()
    const answer = await exporter.scrape()
    return {
      up: answer.status === 200 && sampleValue(answer.text, 'xmpp_up') === 1,
      bytes: answer.body.length,
      ms: performance.now() - begin,
    }
  }
  const clients: StoppedClient[] = []
  try {
    await until(async () => (await scrape().catch(() => undefined))?.up, {
      what: 'the exporter is up',
    })
    for (let i = 0; i < 5; i++) await scrape()
    const { bytes } = await scrape()
    const before = await memory()
    let most = before
    const end = new AbortController()
    const ended = end.signal
    const watch = (async () => {
      while (!ended.aborted) {
        most = Math.max(most, await memory())
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
    })()
    const begin = performance.now()
    let good = 0
    let asked = 0
    const times: number[] = []
    while (clients.length < COUNT) {
      const some = Array.from({ length: Math.min(CONCURRENT, COUNT - clients.length) }, () =>
        stopReading(how, port, '/metrics'),
      )
      clients.push(...(await Promise.all(some)))
      asked++
      const one = await scrape()
      times.push(one.ms)
      if (one.up) good++
    }
    const took = performance.now() - begin
    // Above its memory limit, the exporter disconnects a client that reads nothing for 5 s. The scrapes continue for
    // 25 s, so that this happens during them.
    const endMs = performance.now() + 25_000
    while (performance.now() < endMs) {
      asked++
      const one = await scrape()
      times.push(one.ms)
      if (one.up) good++
      await new Promise((resolve) => setTimeout(resolve, 1000))
    }
    const open = clients.filter((each) => !each.isClosed()).length
    const held = await memory()
    for (const each of clients) each.destroy()
    await scrape()
    await new Promise((resolve) => setTimeout(resolve, 1000))
    await scrape()
    await new Promise((resolve) => setTimeout(resolve, 1000))
    const after = await memory()
    end.abort()
    await watch
    const mb = (value: number) => `${(value / MB).toFixed(0)} MB`
    console.log(
      `${how}: ${COUNT} clients in ${(took / 1000).toFixed(0)} s, body ${mb(bytes)}, RSS before ${mb(before)}, most ${mb(most)}, later ${mb(held)} (${open} still open), after ${mb(after)}; scrapes ${good} of ${asked}, slowest ${Math.max(...times).toFixed(0)} ms`,
    )
  } finally {
    for (const each of clients) each.destroy()
    await stop()
  }
}

// Tests clients that stop reading their responses, over each transport. The exporter runs as its own process.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { until } from '../support/setup/process.js'
import { withProsody } from '../support/prosody.js'
import { sampleValue } from '../support/real.js'
import {
  startExporter,
  STOPPED,
  stopReading,
  type StoppedClient,
} from '../support/stopped-clients.js'

const COUNT = 100
const AT_A_TIME = 20
const MB = 1024 * 1024
// The exporter's memory may increase by at most 200 MB. If it encrypted or copied whole responses, the increase would
// be 400 MB higher.
const MAX_INCREASE = 200 * MB

for (const how of STOPPED) {
  test(`${COUNT} clients that stop reading over ${how} need little memory, and other clients still get responses`, async (t) => {
    const prosody = await withProsody(t, {
      version: '13.0.1',
      modules: ['test_series'],
      globals: { test_series_count: '50000' },
    })
    const { port, scrape, memory, stop } = await startExporter(how, prosody)
    t.after(stop)
    const isServed = async () => {
      const { status, text } = await scrape()
      return status === 200 && sampleValue(text, 'xmpp_up') === 1 && text.length > 3 * MB
    }
    await until(async () => isServed().catch(() => false), {
      what: 'a scrape returns xmpp_up 1',
    })
    for (let i = 0; i < 3; i++) await isServed()
    const before = await memory()
    const clients: StoppedClient[] = []
    t.after(() => {
      for (const each of clients) each.destroy()
    })
    while (clients.length < COUNT) {
      const some = Array.from({ length: AT_A_TIME }, () => stopReading(how, port, '/metrics'))
      clients.push(...(await Promise.all(some)))
      assert.ok(await isServed(), 'a scrape got no exposition with xmpp_up 1')
    }
    const more = (await memory()) - before
    assert.ok(more < MAX_INCREASE, `the memory increased by ${Math.round(more / MB)} MB`)
  })
}

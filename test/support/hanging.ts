/**
 * A test file that the test of interrupts runs. It starts Prosody, the exporter, Prometheus and Chromium, prints a line
 * when they run, and never ends.
 */

import { test } from 'node:test'
import { withChromium } from './chromium.js'
import { withExporterFor } from './exporter.js'
import { withPrometheus } from './prometheus.js'
import { withProsody } from './prosody.js'

test('a test that never ends', async (t) => {
  const prosody = await withProsody(t, { version: '13.0.1' })
  const exporter = await withExporterFor(t, prosody)
  const jobs = [{ name: 'exporter', target: `${exporter.url}/metrics` }]
  const prometheus = await withPrometheus(t, { major: '3', jobs })
  await prometheus.scrapes('exporter', 1)
  await withChromium(t)
  console.log('everything is started')
  await new Promise((resolve) => setTimeout(resolve, 2 ** 31 - 1))
})

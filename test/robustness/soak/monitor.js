// Loaded into an exporter with --import. Once a second, it appends a line of JSON with the delay of the
// event loop, the memory and the open handles to the file in SOAK_MONITOR.

import { appendFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import process from 'node:process'

const file = process.env['SOAK_MONITOR']
if (file !== undefined) {
  const delays = monitorEventLoopDelay({ resolution: 1 })
  delays.enable()
  setInterval(() => {
    const resources = process.getActiveResourcesInfo()
    appendFileSync(
      file,
      `${JSON.stringify({
        // In milliseconds, without the resolution of the histogram (1 ms).
        p50: delays.percentile(50) / 1e6 - 1,
        p99: delays.percentile(99) / 1e6 - 1,
        max: delays.max / 1e6 - 1,
        rss: process.memoryUsage.rss(),
        timers: resources.filter((name) => name === 'Timeout').length,
        sockets: resources.filter((name) => /^(TCP|Pipe)/.test(name)).length,
      })}\n`,
    )
    delays.reset()
  }, 1000).unref()
}

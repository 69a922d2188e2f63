// Node.js loads this file into an exporter with --import. Each second it appends one line of JSON to the file
// in SOAK_MONITOR: delays of the event loop, memory, and numbers of timers and sockets.

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
        // In milliseconds, without the 1 ms interval of the sampling itself.
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

// The soak test loads this file into an exporter with --import. Once a second, it appends a line of JSON to the
// file whose name is in SOAK_MONITOR: the delay of the event loop, the memory, and the number of open handles.

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
        // monitorEventLoopDelay returns nanoseconds, and its 1 ms timer is included in each delay. So the delay in
        // milliseconds is the value divided by 1e6, minus 1.
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

/** Starts the listeners that the standard input describes, and prints `ready` when all of them listen. */

import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import process from 'node:process'
import type { PlacedListener } from './lab-site.js'
import { createListener, startSlowDns } from './listeners.js'

const placed = JSON.parse(await text(process.stdin)) as readonly PlacedListener[]
for (const { address, port, listener } of placed) {
  if (listener.kind === 'slow-dns') {
    await startSlowDns(address, port, listener)
    continue
  }
  const server = createListener(listener).listen(port, address)
  await once(server, 'listening')
}
console.log('ready')

// Simulates the XMPP servers of bench/servers.ts in one process. Each server listens on its own port and speaks the
// protocol of mod_adhoc_statistics. One series in ten changes every second. The process sends the list of ports to
// the parent process. Then the parent sends how many servers shall lose their connection every 10 s (flapping) and
// how many shall never respond (hanging).
// Arguments: the number of servers, and the number of series of each server.

import type { Socket } from 'node:net'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { startFakeServer } from '../test/support/fake-server.js'
import { createRegistryModel } from '../test/support/registry-model.js'
import { answerBy } from '../test/support/registry-server.js'

export type Order = { readonly flapping: number; readonly hanging: number }

const [count = 1000, series = 300] = process.argv.slice(2).map(Number)
const FLAP_MS = 10_000
let order: Order = { flapping: 0, hanging: 0 }
const models = []
const ports: number[] = []
const sockets: (Socket | undefined)[] = []

for (let i = 0; i < count; i++) {
  const model = createRegistryModel()
  model.pageSize = 1024
  for (let j = 0; j < series; j++) model.set(j % 30, `label ${j}`, j)
  const answer = answerBy(model.connect(() => 'answered'))
  const { port } = await startFakeServer(
    { after: () => undefined },
    {
      secret: 'secret',
      answer: async (iq) => {
        // The first servers are the flapping servers, and the next servers are the hanging servers. A hanging server
        // reads requests but never responds.
        const hangs = i >= order.flapping && i < order.flapping + order.hanging
        return hangs ? undefined : await answer(iq)
      },
      onSocket: (socket) => {
        sockets[i] = socket
      },
    },
  )
  models.push(model)
  ports.push(port)
}
process.send!(ports)
process.on('message', (message: Order) => (order = message))
process.on('disconnect', () => process.exit())

for (let round = 0; ; round++) {
  const startedAt = performance.now()
  for (const model of models) {
    for (let j = round % 10; j < series; j += 10) model.move(j, round)
  }
  // A tenth of the flapping servers lose their connections each second, so each server loses one every 10 s.
  const share = FLAP_MS / 1000
  for (let i = round % share; i < order.flapping; i += share) sockets[i]?.destroy()
  await sleep(Math.max(0, 1000 - (performance.now() - startedAt)))
}

// The simulated servers of bench/servers.ts, in their own process. Each listens on a port and speaks the
// protocol of mod_adhoc_statistics. One series in ten changes every second. The process sends its ports to the
// parent. Then the parent orders how many servers flap (lose their connections) and how many hang.
// Arguments: number of servers, number of series of each.

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
        // The servers after the flapping ones hang: they read requests but never respond.
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
  // Each flapping server loses its connection once in ten seconds, a tenth of the servers each second.
  const share = FLAP_MS / 1000
  for (let i = round % share; i < order.flapping; i += share) sockets[i]?.destroy()
  await sleep(Math.max(0, 1000 - (performance.now() - startedAt)))
}

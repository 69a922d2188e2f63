// Tests how soon the exporter reconnects after an outage, with a simulated clock and a simulated network.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Log } from '../../src/log/log.js'
import { createConnection, type Connection } from '../../src/xmpp/connection.js'
import { createNetwork, type Mode, type Peer } from './simulation/network.js'
import { createTime, type Time } from './simulation/time.js'
import { createRandom } from '../support/random.js'

const MINUTE_MS = 60_000
const silent: Log = { debug() {}, info() {}, warn() {}, error() {} }

const HEADER =
  "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' id='x'>"
const streamError = (condition: string) =>
  `${HEADER}<stream:error><${condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>`

/** Answers like a healthy server, which accepts the stream header and the handshake of a component. */
function acceptComponent(peer: Peer): void {
  peer.onData = (text) => {
    if (text.includes('<stream:stream')) peer.send(HEADER)
    else if (text.startsWith('<handshake')) peer.send('<handshake/>')
  }
}

type Outage =
  /** The network has the given mode during the outage. `refusal` is the error code of a connection attempt. */
  | { readonly network: Mode; readonly refusal?: string }
  /** The server sends `reply` instead of its usual reply to the stream header or to the handshake. */
  | { readonly reply: string; readonly at: 'header' | 'handshake' }
  /** The server ends each connection immediately. */
  | { readonly closes: 'reset' | 'close' }

const outages: Readonly<Record<string, Outage>> = {
  'nothing listens': { network: 'refuse' },
  'the host is unreachable': { network: 'refuse', refusal: 'EHOSTUNREACH' },
  'the name has no address': { network: 'refuse', refusal: 'ENOTFOUND' },
  'the name server fails': { network: 'refuse', refusal: 'EAI_AGAIN' },
  'packets are lost and sent again': { network: 'stall' },
  'packets are lost and not sent again': { network: 'black hole' },
  'the server accepts connections and sends nothing': { network: 'silent' },
  'no data reaches the server': { network: 'drop up' },
  'no data reaches the exporter': { network: 'drop down' },
  'connections are reset': { closes: 'reset' },
  'connections are closed': { closes: 'close' },
  'another server has the port': { reply: 'HTTP/1.1 400 Bad Request\r\n\r\n<html>', at: 'header' },
  'a TLS server has the port': {
    reply: '\u0015\u0003\u0001\u0000\u0002\u0002\u0046',
    at: 'header',
  },
  ...Object.fromEntries(
    [
      ...['conflict', 'host-unknown', 'not-authorized', 'system-shutdown', 'invalid-namespace'],
      ...['policy-violation', 'resource-constraint', 'internal-server-error', 'reset'],
    ].map((condition) => [
      `the server refuses the component: ${condition}`,
      { reply: streamError(condition), at: 'header' as const },
    ]),
  ),
  'the server refuses the handshake': {
    reply: streamError('not-authorized').slice(HEADER.length),
    at: 'handshake',
  },
}

/**
 * Creates a connection to a simulated server that can have outages.
 *
 * @param chance The number that the connection gets for each random number, from 0 to 1.
 */
function setUp(time: Time, chance: number) {
  let outage: Outage | undefined
  const network = createNetwork(time, createRandom(1), (peer) => {
    acceptComponent(peer)
    if (!outage || 'network' in outage) return
    if ('closes' in outage) {
      peer.end(outage.closes)
      return
    }
    const { reply, at } = outage
    const answer = peer.onData
    peer.onData = (text) => {
      if (at === 'header' || text.startsWith('<handshake')) peer.send(reply)
      else answer(text)
    }
  })
  const connection = createConnection({
    ...{ service: 'xmpp://127.0.0.1:5347', domain: 'stats.example', secret: 'x', version: '0' },
    ...{ log: silent, now: time.now, random: () => chance },
  })
  return {
    connection,
    network,
    async end() {
      const stopped = connection.stop()
      await time.pass(1000)
      await stopped
      network.end()
      time.end()
    },
    beginOutage(begun: Outage) {
      outage = begun
      network.mode = 'network' in begun ? begun.network : 'well'
      network.refusal = ('refusal' in begun && begun.refusal) || 'ECONNREFUSED'
      network.endAll('reset')
    },
    endOutage() {
      outage = undefined
      network.mode = 'well'
    },
  }
}

/** Advances the simulated clock until the stream is established. Returns how many milliseconds passed. */
async function untilOnline(time: Time, connection: Connection, limitMs: number): Promise<number> {
  const startedAt = time.now()
  while (!connection.isConnected() && time.now() - startedAt < limitMs) await time.pass(100)
  return time.now() - startedAt
}

describe('after an outage, the exporter reconnects within 5 s, or 10 s if the outage lasted an hour', () => {
  for (const [what, outage] of Object.entries(outages)) {
    test(`the outage: ${what}`, async () => {
      for (const [minutes, limitMs] of [
        [1 / 60, 5000],
        [1 / 2, 5000],
        [1.25, 5000],
        [9.99, 5000],
        [60, 10_000],
      ] as const) {
        for (const chance of [0, 0.6, 0.999]) {
          const time = createTime()
          const run = setUp(time, chance)
          const { connection, network } = run
          try {
            connection.start()
            await untilOnline(time, connection, 1000)
            await time.pass(MINUTE_MS)
            run.beginOutage(outage)
            const before = network.dials()
            await time.pass(minutes * MINUTE_MS)
            assert.equal(
              connection.isConnected(),
              false,
              'the exporter has no stream during the outage',
            )
            const dials = network.dials() - before
            // The exporter may try to connect once in 1.5 s on average, and once in 4 s after ten minutes.
            const maxDials = 10 + Math.min(minutes, 10) * 40 + Math.max(minutes - 10, 0) * 15
            assert.equal(
              dials > maxDials,
              false,
              `the exporter tried to connect ${dials} times in ${minutes} minutes`,
            )
            run.endOutage()
            const tookMs = await untilOnline(time, connection, 60_000)
            assert.equal(
              tookMs > limitMs,
              false,
              `the exporter reconnected ${tookMs} ms after an outage of ${minutes} minutes, with the random number ${chance}`,
            )
          } finally {
            await run.end()
          }
        }
      }
    })
  }
})

test('two exporters that use the same component domain each connect at most once a minute after a while', async () => {
  const time = createTime()
  const random = createRandom(7)
  let current: Peer | undefined
  // The server behaves like Prosody with component_conflict_resolve = "kick_old".
  const network = createNetwork(time, random, (peer) => {
    acceptComponent(peer)
    const answer = peer.onData
    peer.onData = (text) => {
      if (text.startsWith('<handshake')) {
        current?.send(streamError('conflict').slice(HEADER.length))
        current?.end('close')
        current = peer
      }
      answer(text)
    }
  })
  const createExporterConnection = () =>
    createConnection({
      ...{ service: 'xmpp://127.0.0.1:5347', domain: 'stats.example', secret: 'x', version: '0' },
      ...{ log: silent, now: time.now, random: () => random.below(1000) / 1000 },
    })
  const [first, second] = [createExporterConnection(), createExporterConnection()]
  const connects = () => first.connects() + second.connects()
  try {
    first.start()
    await time.pass(1000)
    second.start()
    await time.pass(10 * MINUTE_MS)
    const before = connects()
    await time.pass(60 * MINUTE_MS)
    const perMinute = (connects() - before) / 60
    assert.equal(perMinute > 2, false, `the two exporters connect ${perMinute} times a minute`)
    assert.equal(first.isConnected() || second.isConnected(), true, 'one exporter is connected')
    const stopped = second.stop()
    await time.pass(MINUTE_MS + 1000)
    await stopped
    assert.equal(first.isConnected(), true, 'the remaining exporter is connected')
    await time.pass(10 * MINUTE_MS)
    assert.equal(first.isConnected(), true)
  } finally {
    const stopped = Promise.all([first.stop(), second.stop()])
    await time.pass(1000)
    await stopped
    network.end()
    time.end()
  }
})

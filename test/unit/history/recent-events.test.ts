import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createEventCounter } from '../../../src/history/recent-events.js'
import type { Family } from '../../../src/metrics/family.js'
import type { Collection } from '../../../src/scrape/scraper.js'
import {
  counter,
  createCollection,
  gauge,
  HOST,
  type Labels,
} from '../../support/summary-families.js'

const MINUTE_MS = 60_000
const UPDATED = gauge('prosody_exporter_registry_updated_timestamp_seconds', [{}, 1])

/** Returns a function that adds a collection after some minutes. */
function setUp() {
  let nowMs = 0
  const count = createEventCounter(() => nowMs)
  return (
    families: readonly Family[],
    {
      minutes = 1,
      connects = 1,
      exporterFamilies = [UPDATED],
      isUp = true,
    }: {
      minutes?: number
      connects?: number
      exporterFamilies?: readonly Family[]
      isUp?: boolean
    } = {},
  ) => {
    nowMs += minutes * MINUTE_MS
    const output = {
      collected: { families, exporterFamilies, invalid: new Map() },
      ...{ startedAtSeconds: 0, endedAtSeconds: 0, endedAtMs: 0 },
    }
    const results: Collection['results'] = [{ name: 'registry', durationSeconds: 0, output }]
    return count(createCollection({ isUp, families, results }), connects)
  }
}

const failed = (...values: readonly (readonly [Labels, number])[]) =>
  counter('xmpp_login_failures', ...values)
const plain = (host: string) => ({ host, mechanism: 'PLAIN' })
const scram = (host: string) => ({ host, mechanism: 'SCRAM-SHA-1' })

describe('the events of the last minutes', () => {
  test('add up the logins of each host, and forget those of more than five minutes ago', () => {
    const add = setUp()
    add([failed([plain(HOST), 100])])
    const now = [
      failed([plain(HOST), 107], [scram(HOST), 3], [plain('b.example'), 2]),
      counter('xmpp_logins', [plain(HOST), 4], [plain('c.example'), 5]),
    ]
    const { short } = add(now)!
    assert.equal(short.overMs, MINUTE_MS)
    assert.deepEqual(short.hosts, [
      { host: HOST, failed: 10, succeeded: 4 },
      { host: 'b.example', failed: 2, succeeded: 0 },
    ])
    assert.equal(short.logins, 21)
    for (let i = 0; i < 4; i++) assert.equal(add(now)!.short.hosts.length, 2)
    const later = add(now)!.short
    assert.equal(later.overMs, 5 * MINUTE_MS)
    assert.deepEqual(later.hosts, [])
  })

  test('count connections to other servers that did not authenticate, for 15 minutes', () => {
    const add = setUp()
    const initiated = (count: number) =>
      counter('prosody_mod_s2s__initiated', [{ host: HOST }, count])
    const authenticated = (direction: string, count: number) =>
      counter('prosody_mod_s2s__authenticated', [
        { host: HOST, direction, type: 'dialback' },
        count,
      ])
    add([])
    assert.deepEqual(add([initiated(3)])!.s2s.hosts, [{ host: HOST, initiated: 3, failed: 3 }])
    const incoming = [initiated(3), authenticated('incoming', 2)]
    assert.equal(add(incoming)!.s2s.hosts[0]!.failed, 3)
    const both = [initiated(3), authenticated('outgoing', 2)]
    assert.equal(add(both)!.s2s.hosts[0]!.failed, 1)
    assert.equal(add(both, { minutes: 13 })!.s2s.overMs, 16 * MINUTE_MS)
    assert.deepEqual(add(both, { minutes: 2 })!.s2s.hosts, [])
  })

  test('count the measurements that found Prosody blocked for more than half a second', () => {
    const add = setUp()
    const lag = (...values: number[]): Family => ({
      ...gauge('xmpp_loop_lag_seconds', [{}, 0]),
      ...{ type: 'histogram', bounds: [0.25, 0.5, Infinity] },
      values: Float64Array.from(values),
    })
    add([lag(1, 2, 3, 4, 3)])
    assert.deepEqual(add([lag(10, 20, 25, 60, 25)])!.short.loop, { slow: 4, measured: 22 })
    assert.deepEqual(add([])!.short.loop, { slow: 0, measured: 0 })
  })

  test('count connections that ended without a login, by direction', () => {
    const add = setUp()
    const closed = (c2s: number, s2sin: number) =>
      counter(
        'xmpp_connections_closed_unauthenticated',
        [{ type: 'c2s' }, c2s],
        [{ type: 's2sin' }, s2sin],
        [{ type: 's2sout' }, 99],
      )
    add([closed(1, 1)])
    assert.deepEqual(add([closed(3, 6)])!.short.unauthenticated, { c2s: 2, s2sin: 5 })
  })

  test('begin again on a new stream, and survive an outage without one', () => {
    const add = setUp()
    add([failed([plain(HOST), 1])])
    assert.equal(add([], { isUp: false }), undefined)
    assert.equal(add([failed([plain(HOST), 6])])!.short.hosts[0]!.failed, 5)
    const first = add([failed([plain(HOST), 20])], { connects: 2 })!
    assert.deepEqual([first.short.overMs, first.short.hosts], [0, []])
  })

  test('are unknown until Prosody has collected its statistics, and if the registry is not read', () => {
    const add = setUp()
    assert.equal(add([failed([plain(HOST), 1])], { exporterFamilies: [] }), undefined)
    assert.ok(add([failed([plain(HOST), 1])]))
  })

  test('a counter that is lower than before is no event', () => {
    const add = setUp()
    add([failed([plain(HOST), 10])])
    assert.deepEqual(add([failed([plain(HOST), 4])])!.short.hosts, [])
  })

  test('list at most five hosts, those with the most failures first', () => {
    const add = setUp()
    add([])
    const rows = Array.from({ length: 3000 }, (_, i) => [plain(`h${i}.example`), i] as const)
    const { hosts } = add([failed(...rows)])!.short
    assert.deepEqual(
      hosts.map((each) => each.failed),
      [2999, 2998, 2997, 2996, 2995],
    )
  })
})

/**
 * Tests components and users that request statistics without end (runaway readers). Their requests may use only a share
 * of Prosody's single thread, little memory, and must not affect other clients.
 */

import xml, { type Element } from '@xmpp/xml'
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { until } from '../support/setup/process.js'
import { cpuMs } from '../../bench/figure.js'
import { REGISTRY_NODE } from '../../src/collectors/registry/registry.js'
import { withExporterFor } from '../support/exporter.js'
import { everyVersion, withProsody, type TestProsody, type Version } from '../support/prosody.js'
import { evalLua, floodRegistry, sampleValue, untilUp } from '../support/real.js'
import {
  commandElement,
  connectComponent,
  errorCondition,
  login,
  type XmppStream,
} from '../support/xmpp-client.js'

const STATS = 'stats.one.example'
const RUNAWAY = 'stats.two.example'
const OTHER = 'other.example'
const SERIES = 5_000
/** As in reader_limits.lib.lua. */
const UNREAD_LIMIT_KB = 512
const FRESH = { PROSODY_EXPORTER_COLLECTION_MIN_AGE: '0s' }
const PING = xml('ping', { xmlns: 'urn:xmpp:ping' })

const page = (attrs: Readonly<Record<string, string>>) =>
  commandElement(REGISTRY_NODE, xml('statistics', { xmlns: REGISTRY_NODE, ...attrs }))

const field = (name: string) => xml('field', { var: name }, xml('value', {}, name))
const form = commandElement(
  REGISTRY_NODE,
  xml('x', { xmlns: 'jabber:x:data', type: 'submit' }, ...'abcdefghij'.split('').map(field)),
)

/** Values of the attribute `since` with many numbers, huge numbers, or numbers out of order, up to the size limit. */
const ODD_CURSORS = [
  '1 '.repeat(4000),
  '123456789012:123456789012 '.repeat(300),
  '0:900000 0:3 0:5 0',
  `999999999999999:${SERIES} `.repeat(200),
]

/** The valid and invalid requests for which Prosody needs the most time. */
const HOSTILE: readonly Element[] = [
  page({ first: '1', since: '0' }),
  page({ first: '2', since: '0' }),
  page({ first: '1', last: '1', since: '0' }),
  page({ first: '9'.repeat(15) }),
  page({ first: '5', last: '1' }),
  page({ first: '1', since: `${'1 '.repeat(4000)}x` }),
  page({ epoch: 'e'.repeat(5000), since: '1 '.repeat(5000) }),
  ...ODD_CURSORS.flatMap((since) => [page({ since }), page({ first: '7', since })]),
  commandElement(REGISTRY_NODE),
  form,
]

async function startProsody(
  t: TestContext,
  version: Version,
  share: string | undefined,
  statsDomains = [STATS, RUNAWAY],
) {
  const prosody = await withProsody(t, {
    version,
    statsDomains,
    modules: ['test_eval'],
    users: { 'user@one.example': 'pw' },
    globals: { adhoc_statistics_max_share: share },
    components: [{ domain: OTHER, options: { component_secret: '"x"' } }],
  })
  await floodRegistry(prosody, SERIES)
  const connect = (domain: string, secret = prosody.secret) =>
    connectComponent({ port: prosody.ports.component, domain, secret })
  const runaway = await connect(RUNAWAY)
  // On Prosody 0.11, the series exist only after the first collection.
  await until(async () => Number((await sizeOf(runaway)) ?? 0) > SERIES, {
    what: `Prosody has more than ${SERIES} series`,
  })
  const jid = 'user@one.example'
  const user = await login({ port: prosody.ports.c2s, jid, password: 'pw' })
  return { prosody, runaway, user, connect }
}

async function sizeOf(stream: XmppStream): Promise<string | undefined> {
  const reply = await stream.iq('set', RUNAWAY, page({ first: '9'.repeat(15) }))
  return reply.getChild('command')?.getChild('statistics')?.attrs['size']
}

/** Runs Lua code in Prosody that can read and set how much time the module still allows each client (its account). */
const evalOnAccounts = (prosody: TestProsody, lua: string) =>
  evalLua(
    prosody,
    `local statsman = require "core.statsmanager"
    local registry = statsman.get_metric_registry and statsman.get_metric_registry()
      or statsman.adhoc_statistics.registry
    local accounts = registry.adhoc_statistics.accounts
    local now = require "util.time".now()
    ${lua}`,
  )

async function accountOf(prosody: TestProsody): Promise<{ left: number; at: number }> {
  const lua = 'return accounts.all.left.." "..accounts.all.at'
  const [left, at] = (await evalOnAccounts(prosody, lua)).split(' ').map(Number)
  return { left: left!, at: at! }
}

/** Sets the remaining time of all clients of the module together, and of each client. */
const setAccounts = (prosody: TestProsody, seconds: number) =>
  evalOnAccounts(
    prosody,
    `accounts.all.left, accounts.all.at = ${seconds}, now
    for _, account in pairs(accounts.readers) do account.left, account.at = ${seconds}, now end`,
  )

let lastId = 0

/** Sends all requests without waiting. Returns the number of replies for each error condition, and for `result`. */
async function flood(
  stream: XmppStream,
  { from, to }: { from: (id: number) => string; to: string },
  requests: readonly Element[],
): Promise<Map<string, number>> {
  const first = lastId + 1
  const stanzas = requests.map((child) => {
    const attrs = { to, type: child.is('ping') ? 'get' : 'set', id: `f${++lastId}` }
    return xml('iq', { ...attrs, from: from(lastId) }, child).toString()
  })
  stream.send(stanzas.join(''))
  const answers = new Map<string, number>()
  for (let id = first; id < first + requests.length; id++) {
    const reply = await stream.next(({ attrs }) => attrs.id === `f${id}` && attrs.type !== 'set')
    const condition = errorCondition(reply) ?? 'result'
    answers.set(condition, (answers.get(condition) ?? 0) + 1)
  }
  return answers
}

const floodAsRunaway = (stream: XmppStream, requests: readonly Element[]) =>
  flood(stream, { from: () => RUNAWAY, to: RUNAWAY }, requests)

/** Returns `count` requests by repeating the given requests. */
const times = (count: number, requests: readonly Element[]): Element[] =>
  Array.from({ length: count }, (_, i) => requests[i % requests.length]!)

/** Returns the memory of Prosody's Lua state after garbage collection, in kilobytes. */
async function heapOf(prosody: TestProsody): Promise<number> {
  const lua = 'for _ = 1, 3 do collectgarbage() end return collectgarbage("count")'
  return Number(await evalLua(prosody, lua))
}

for (const version of everyVersion) {
  test(`a runaway reader uses only its share of the time of Prosody ${version}, and other readers still get statistics`, async (t) => {
    const share = 0.1
    const { prosody, runaway, user, connect } = await startProsody(t, version, `${share}`)
    const other = await connect(STATS)
    await other.iq('set', STATS, page({ last: '1' }))
    await other.close()

    /**
     * In each round, sends many statistics requests, and runs `meanwhile` at the same time. Asserts that Prosody answers
     * most pings before it has answered all these requests.
     */
    const floodWhile = async (rounds: number, meanwhile: () => Promise<unknown>) => {
      let [ahead, refused] = [0, 0]
      for (let round = 0; round < rounds; round++) {
        const flooding = floodAsRunaway(runaway, times(400, HOSTILE))
        const pong = user.iq('get', 'one.example', PING)
        if ((await Promise.race([flooding, pong])) === (await pong)) ahead++
        assert.equal((await pong).attrs['type'], 'result')
        await meanwhile()
        refused += (await flooding).get('resource-constraint') ?? 0
      }
      assert.ok(
        ahead > rounds / 2,
        `only ${ahead} of ${rounds} pings got a reply before the last statistics request`,
      )
      return refused
    }
    // The readers have no time left, as after an hour of requests.
    await setAccounts(prosody, -5)
    await floodAsRunaway(runaway, HOSTILE)
    const before = await accountOf(prosody)
    const refused = await floodWhile(10, () => Promise.resolve())
    // How many requests are refused depends on how long the requests take. The used time is checked below.
    assert.ok(refused > 0, `Prosody refused ${refused} of 4,000 requests`)
    const after = await accountOf(prosody)
    const elapsed = after.at - before.at
    const used = share * elapsed - (after.left - before.left)
    t.diagnostic(`4,000 requests took ${used} s of CPU time in ${elapsed} s`)
    // The module may exceed the remaining time with the last page, so the limit here is a little higher.
    assert.ok(used < share * elapsed * 1.2 + 0.05, `the reader used ${used} s of ${elapsed} s`)

    await evalOnAccounts(
      prosody,
      `accounts.readers["${STATS}"] = nil
      accounts.count = 1`,
    )
    const exporter = await withExporterFor(t, prosody, { domain: STATS, env: FRESH })
    await untilUp(exporter)
    await floodWhile(5, async () => {
      const { text } = await exporter.get('/metrics')
      const success = 'prosody_exporter_collector_success{collector="registry"}'
      assert.equal(sampleValue(text, success), 1, 'another reader got no statistics')
    })

    for (let i = 0; i < 3; i++) user.send(xml('message', { to: 'user@one.example' }))
    const text = await until(
      async () => {
        const { text } = await exporter.get('/metrics')
        const sample = 'xmpp_stanzas_total{host="one.example",from="client",kind="message"}'
        return sampleValue(text, sample) === 3 && text
      },
      { what: 'the exporter exports the number of stanzas of clients' },
    )
    assert.equal(text.match(/^prosody_test_flood|^test_flood/gm)?.length, SERIES)
    assert.equal(sampleValue(text, 'prosody_exporter_audit_mismatches_total'), 0)
    assert.equal(
      prosody.log().match(/more of Prosody's time than adhoc_statistics_max_share/g)?.length,
      1,
    )
    await Promise.all([runaway.close(), user.close()])
  })

  test(`mod_adhoc_statistics counts at least a third of the CPU time of a request for adhoc_statistics_max_share (Prosody ${version})`, async (t) => {
    const { prosody, runaway, user } = await startProsody(t, version, '0.01')
    // These requests do not start at the first id. A request with the first id starts a collection, for which other
    // limits apply.
    for (const request of [page({ first: '2' }), form]) {
      let [took, counted] = [0, 0]
      for (let i = 0; i < 20; i++) {
        await setAccounts(prosody, 4)
        const before = cpuMs(prosody.pid)
        // The requests come one after another, because Prosody would refuse some of several simultaneous requests.
        for (let j = 0; j < 5; j++) {
          await until(
            async () => {
              const reply = await runaway.iq('set', RUNAWAY, request)
              // On a busy machine, a request can arrive in the same turn of the main loop as the one before it.
              if (reply.getChild('error')?.getChild('resource-constraint')) return false
              assert.equal(reply.attrs['type'], 'result', reply.toString())
              return true
            },
            { what: 'Prosody accepts the request' },
          )
        }
        took += cpuMs(prosody.pid) - before
        counted += 1000 * (4 - (await accountOf(prosody)).left)
      }
      t.diagnostic(`the module counted ${counted} of ${took} ms`)
      assert.ok(counted > took / 3, `the module counted ${counted} of ${took} ms`)
    }
    await Promise.all([runaway.close(), user.close()])
  })

  test(`the memory of Prosody ${version} does not grow with the number of statistics requests, and stays small with unread replies`, async (t) => {
    const { prosody, runaway, user, connect } = await startProsody(t, version, '0.1')
    const stranger = await connect(OTHER, 'x')
    const round = async () => {
      await setAccounts(prosody, 5)
      await floodAsRunaway(runaway, times(100, HOSTILE))
      await setAccounts(prosody, -5)
      await floodAsRunaway(runaway, times(1000, HOSTILE))
      const from = (id: number) => `${id}@${OTHER}`
      await flood(stranger, { from, to: STATS }, times(1000, [page({})]))
    }
    await round()
    const before = await heapOf(prosody)
    await round()
    await round()
    const grown = (await heapOf(prosody)) - before
    t.diagnostic(`the memory of Prosody grew by ${grown} KB with 4,200 more requests`)
    assert.ok(grown < 256, `the memory of Prosody grew by ${grown} KB`)

    await setAccounts(prosody, 5)
    const size = (await runaway.iq('set', RUNAWAY, page({}))).toString().length
    runaway.pause()
    const bursts: Promise<Map<string, number>>[] = []
    // Prosody refuses most requests that arrive in one turn of its main loop (turn_limit.lib.lua). So each burst is sent
    // after Prosody has processed the previous one.
    const ask = async () => {
      await setAccounts(prosody, 5)
      bursts.push(floodAsRunaway(runaway, times(10, [page({})])))
      runaway.send(xml('message', { from: RUNAWAY, to: user.jid }))
      await user.next(({ name }) => name === 'message')
    }
    // The kernel buffers the first answers, up to some megabytes.
    for (let i = 0; i < 500 && (await heapOf(prosody)) - before < UNREAD_LIMIT_KB; i++) await ask()
    for (let i = 0; i < 20; i++) await ask()
    const unread = (await heapOf(prosody)) - before
    t.diagnostic(`unread replies of ${size} bytes use ${unread} KB of memory`)
    assert.ok(unread < 4096, `unread replies use ${unread} KB of memory`)
    runaway.resume()
    const answers = (await Promise.all(bursts)).flatMap((answers) => [...answers])
    t.diagnostic(JSON.stringify(answers))
    assert.ok(answers.some(([condition]) => condition === 'policy-violation'))
    assert.equal((await runaway.iq('set', RUNAWAY, page({}))).attrs['type'], 'result')
    await Promise.all([runaway.close(), stranger.close(), user.close()])
  })

  test(`Prosody ${version} refuses statistics to clients without access quickly, and stores and logs nothing about them`, async (t) => {
    const { prosody, runaway, user, connect } = await startProsody(t, version, '0.25')
    const stranger = await connect(OTHER, 'x')
    const trace = async () => ({
      accounts: await evalOnAccounts(prosody, 'return accounts.count.." "..accounts.all.left'),
      log: prosody.log().match(/adhoc_statistics/g)?.length,
    })
    const jid = 'user@one.example'
    const bystander = await login({ port: prosody.ports.c2s, jid, password: 'pw' })
    let ahead = 0
    const before = await trace()
    for (const [stream, from] of [
      [user, user.jid],
      [stranger, `someone@${OTHER}`],
    ] as const) {
      const pings = HOSTILE.map((request) => xml('ping', PING.attrs, ...request.children))
      const cost = async (to: string, requests: readonly Element[]) => {
        const started = cpuMs(prosody.pid)
        const flooding = flood(stream, { from: () => from, to }, times(1000, requests))
        const pong = bystander.iq('get', 'one.example', PING)
        if ((await Promise.race([flooding, pong])) === (await pong)) ahead++
        const answers = await flooding
        return { answers: [...answers], took: cpuMs(prosody.pid) - started }
      }
      const refused = await cost(STATS, HOSTILE)
      assert.deepEqual(refused.answers, [['forbidden', 1000]])
      const answered = await cost('one.example', pings)
      assert.deepEqual(answered.answers, [['result', 1000]])
      t.diagnostic(
        `1,000 refusals took ${refused.took} ms, 1,000 pings of the same size ${answered.took} ms`,
      )
      assert.ok(
        refused.took < 2 * answered.took,
        `refusing took ${refused.took} ms, and answering pings took ${answered.took} ms`,
      )
    }
    assert.ok(ahead > 2, `only ${ahead} of 4 pings got a reply before the last statistics request`)
    assert.deepEqual(await trace(), before)
    await Promise.all([bystander.close(), runaway.close(), stranger.close(), user.close()])
  })

  test(`Prosody ${version} gives all statistics to each of many readers that start at the same time`, async (t) => {
    const domains = Array.from({ length: 10 }, (_, i) => `stats${i}.one.example`)
    const { runaway, user, connect } = await startProsody(t, version, undefined, [
      RUNAWAY,
      ...domains,
    ])
    const lasts = await Promise.all(
      domains.map(async (domain) => {
        const reader = await connect(domain)
        let [last, size] = [0, 1]
        while (last < size) {
          const reply = await reader.iq('set', domain, page({ first: `${last + 1}` }))
          const { attrs } = reply.getChild('command')?.getChild('statistics') ?? {}
          assert.ok(attrs, `a reader got ${errorCondition(reply)} after ${last} of ${size} series`)
          last = Number(attrs['last'])
          size = Number(attrs['size'])
        }
        await reader.close()
        return last
      }),
    )
    for (const last of lasts) assert.ok(last > SERIES, `a reader got only ${last} series`)
    await Promise.all([runaway.close(), user.close()])
  })
}

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test, type TestContext } from 'node:test'
import xml from '@xmpp/xml'
import {
  difference,
  isMovingFamily as isMoving,
  isServerFamily,
  NO_DIFFERENCE,
  readExporter,
  readExposition,
  readServer,
  seriesOf,
  type Family,
  type Format,
} from './helpers/compare.js'
import { withExporterFor, type RunningExporter } from './helpers/exporter.js'
import { prosodyVersions, withProsody, type TestProsody } from './helpers/prosody.js'
import { evalLua, untilReady } from './helpers/real.js'
import { registrySteps } from './helpers/registry-steps.js'
import { login, LoginError, type XmppUser } from './helpers/xmpp-client.js'

const PASSWORD = 'pw'
const [FIRST, SECOND] = ['stats.one.example', 'stats.two.example']

async function withServer(t: TestContext, version: (typeof prosodyVersions)[number]) {
  const prosody = await withProsody(t, {
    version,
    hosts: ['one.example', 'two.example', 'three.example'],
    statsDomains: [FIRST, SECOND],
    users: Object.fromEntries(
      ['a@one.example', 'b@one.example', 'c@two.example'].map((jid) => [jid, PASSWORD]),
    ),
    modules: [
      ...['smacks', 'csi', 'csi_simple', 'mam', 'bosh', 's2s_bidi'],
      ...['test_dns', 'test_eval', 'test_registry', 'test_families'],
    ],
    // A room can be entered by others at once.
    globals: { muc_room_locking: 'false' },
    components: [
      { domain: 'share.one.example', module: 'http_file_share' },
      { domain: 'rooms.two.example', module: 'muc', options: { modules_enabled: '{ "muc_mam" }' } },
    ],
  })
  const start = async (domain: string) => {
    const exporter = await withExporterFor(t, prosody, {
      domain,
      env: {
        // Each scrape is to be a collection of its own.
        PROSODY_EXPORTER_COLLECTION_MIN_AGE: '0s',
        PROSODY_EXPORTER_EXPOSITION_CREATED: 'true',
      },
    })
    await untilReady(exporter, 200)
    return exporter
  }
  const [first, second] = await Promise.all([start(FIRST), start(SECOND)])
  return { prosody, first, second }
}

const isStepped = ({ name }: Family) => /test_(step|families)/.test(name)
const still = (families: readonly Family[]) => families.filter((family) => !isMoving(family))
const moving = (families: readonly Family[]) => seriesOf(families.filter(isMoving))

/** What a format has of what the server told: text has no `_created`. */
function tellable(families: readonly Family[], format: Format): Family[] {
  return families.map((family) => ({
    ...family,
    samples: family.samples.filter(
      ({ name }) => format === 'openmetrics' || name !== `${family.name}_created`,
    ),
  }))
}

function describe(families: readonly Family[]) {
  return Object.fromEntries(families.map(({ name, help }) => [name, help]))
}

function valueOf(families: readonly Family[], name: string): number | undefined {
  return families.find((family) => family.name === name)?.samples[0]?.value
}

/**
 * Compares with mod_http_openmetrics what the exporters tell, in both formats, at rest: that is when
 * the server told the same before and after.
 */
async function compare(
  prosody: TestProsody,
  exporters: readonly RunningExporter[],
): Promise<Family[]> {
  for (let tries = 0; tries < 20; tries++) {
    const before = await readServer(prosody)
    const reads: { format: Format; families: Family[] }[] = []
    for (const exporter of exporters) {
      for (const format of ['openmetrics', 'text'] as const) {
        reads.push({ format, families: await readExporter(exporter, format) })
      }
    }
    const after = await readServer(prosody)
    const restless = difference(seriesOf(still(after)), seriesOf(still(before)))
    if (Object.values(restless).flat().length > 0) continue

    for (const { format, families } of reads) {
      assert.equal(valueOf(families, 'xmpp_up'), 1)
      assert.equal(valueOf(families, 'prosody_exporter_collector_success'), 1)
      const ours = families.filter(isServerFamily)
      const theirs = tellable(before, format)
      assert.deepEqual(difference(seriesOf(still(ours)), seriesOf(still(theirs))), NO_DIFFERENCE)
      assert.deepEqual(describe(ours), describe(theirs))
      if (format === 'openmetrics') {
        for (const { name, unit } of ours) {
          assert.equal(unit, theirs.find((family) => family.name === name)?.unit, name)
        }
      }
      const [from, now] = [moving(theirs), moving(ours)]
      const to = moving(tellable(after, format))
      assert.ok(now.size > 0)
      assert.deepEqual([...now.keys()].sort(), [...from.keys()].sort())
      for (const [key, value] of now) {
        assert.ok(from.get(key)! <= value && value <= to.get(key)!, `${key} ${value} between`)
      }
    }
    const counts = /"prosody_stats_collection_seconds_count"/
    const [key] = [...moving(before).keys()].filter((series) => counts.test(series))
    assert.ok(moving(after).get(key!)! > moving(before).get(key!)!, 'collections are counted')
    return before
  }
  throw new Error('Prosody does not come to rest')
}

for (const version of prosodyVersions) {
  test(`all that mod_http_openmetrics tells under traffic is in both formats and nothing else (${version})`, async (t) => {
    const { prosody, first, second } = await withServer(t, version)
    const idle = await compare(prosody, [first, second])
    const users = await makeTraffic(t, prosody)
    const busy = await compare(prosody, [second, first])
    const moved = difference(seriesOf(still(busy)), seriesOf(still(idle)))
    const names = [...moved.unexpected, ...moved.different].join('\n')
    for (const expected of [
      /"prosody_mod_c2s__connections",.*\["type","c2s"\]/,
      /"prosody_mod_c2s__connections",.*\["type","c2s_unauthed"\]/,
      /"prosody_mod_muc__live_room",.*rooms\.one\.example/,
      /"prosody_mod_muc__room_hit_total",.*rooms\.two\.example/,
      /"prosody_mod_s2s__initiated_total",.*two\.example/,
      /"prosody_mod_s2s__closed_total",.*"host-unknown"/,
      /"prosody_mod_s2s__accepted_tcp_total"/,
      /"prosody_mod_smacks__tx_acked_stanzas_bucket",.*\["le","2"\]/,
      /"prosody_mod_csi_simple__flushes_total"/,
    ]) {
      assert.match(names, expected)
    }
    for (const [host, module] of [
      ['one.example', 'smacks'],
      ['two.example', 'csi_simple'],
      ['three.example', 'mam'],
      [SECOND, 'adhoc_statistics'],
    ]) {
      await evalLua(
        prosody,
        `return assert(require "core.modulemanager".reload("${host}", "${module}"))`,
      )
    }
    await compare(prosody, [first, second])
    await Promise.all(users.map((user) => user.close()))
    const after = await compare(prosody, [first, second])
    const connections = after.find(({ name }) => name === 'prosody_mod_c2s__connections')
    assert.deepEqual(
      connections?.samples.filter(({ labels }) => labels.type === 'c2s').map(({ value }) => value),
      connections?.samples.filter(({ labels }) => labels.type === 'c2s').map(() => 0),
    )
  })

  for (const seed of [1, 2, 3]) {
    test(`two exporters that read in turn tell the same after 200 random steps, seed ${seed} (${version})`, async (t) => {
      const { prosody, first, second } = await withServer(t, version)
      const exporters = { [FIRST]: first, [SECOND]: second }
      const steps = registrySteps(seed, { domains: [FIRST, SECOND], hosts: prosody.hosts })
      const types = new Set<string>()
      let done = 0
      while (done < 200) {
        const { lua, count, loaded, readers, compared } = steps.next(200 - done)
        await evalLua(prosody, lua)
        done += count
        for (const domain of readers) {
          const { text } = await exporters[domain]!.get('/metrics')
          const families = readExposition(text, 'text')
          const success = valueOf(families, 'prosody_exporter_collector_success')
          assert.equal(success, Number(loaded.includes(domain)), `${domain} at step ${done}`)
          assert.equal(families.some(isServerFamily), success === 1)
        }
        if (compared || done === 200) {
          const readable = loaded.map((domain) => exporters[domain]!)
          await Promise.all([
            inTurn(steps.many(30), (moves) => evalLua(prosody, moves)),
            ...readable.map((each) => inTurn(Array(10), () => each.get('/metrics'))),
          ])
          const told = await compare(prosody, readable).catch((error: unknown) => {
            throw new Error(`at step ${done} of seed ${seed}`, { cause: error })
          })
          for (const family of told.filter(isStepped)) types.add(family.type)
        }
      }
      await evalLua(prosody, steps.loadAll())
      const told = await compare(prosody, [second, first])
      const stepped = told.filter(isStepped)
      t.diagnostic(`seed ${seed}: ${stepped.length} families, ${seriesOf(stepped).size} samples`)
      assert.deepEqual([...types].sort(), ['counter', 'gauge', 'histogram', 'summary'])
    })
  }
}

async function inTurn<T>(items: readonly T[], run: (item: T) => Promise<unknown>): Promise<void> {
  for (const item of items) await run(item)
}

/** Moves figures of c2s, s2s, MUC, smacks, csi; the sessions that it resolves are still open. */
async function makeTraffic(t: TestContext, prosody: TestProsody): Promise<XmppUser[]> {
  const port = prosody.ports.c2s
  const join = async (jid: string) => {
    const user = await login({ port, jid, password: PASSWORD })
    t.after(() => user.close())
    return user
  }
  const [a, b, c] = await Promise.all(['a@one.example', 'b@one.example', 'c@two.example'].map(join))
  assert.ok(a && b && c)
  for (const jid of ['a@one.example', 'c@two.example', 'nobody@three.example']) {
    await assert.rejects(login({ port, jid, password: 'wrong' }), LoginError)
  }
  // A client that has not logged in.
  const client = connect(port, '127.0.0.1')
  t.after(() => client.destroy())
  client.write(streamHeader('three.example', 'jabber:client'))
  await once(client, 'data')

  // Prosody 13.0 lets users of the parent host alone create rooms.
  for (const [creator, guest, room] of [
    [a, c, `x@${prosody.rooms}`],
    [a, c, `y@${prosody.rooms}`],
    [c, a, 'z@rooms.two.example'],
  ] as const) {
    await creator.joinRoom(room, 'creator')
    await guest.joinRoom(room, 'guest')
  }

  b.send("<enable xmlns='urn:xmpp:sm:3'/>")
  await b.next(({ name }) => name === 'enabled')
  b.send("<inactive xmlns='urn:xmpp:csi:0'/>")
  // Answered when that has been read: mod_csi_simple then holds up nothing that came before.
  await b.iq('get', 'one.example', xml('ping', { xmlns: 'urn:xmpp:ping' }))
  a.send(xml('message', { to: b.jid, type: 'chat' }, xml('body', {}, 'for b')))
  await b.next(({ name }) => name === 'message')
  b.send("<a xmlns='urn:xmpp:sm:3' h='2'/>")

  for (const to of ['x@refused.example', 'x@none.refused.example', 'y@refused.example']) {
    c.send(xml('message', { to, id: to }, xml('body', {}, 'for nobody')))
    const bounced = await c.next(({ attrs }) => attrs.id === to)
    assert.equal(bounced.attrs.type, 'error')
  }
  const server = connect(prosody.ports.s2s, '127.0.0.1')
  t.after(() => server.destroy())
  server.write(streamHeader('unknown.example', 'jabber:server'))
  server.resume()
  server.on('end', () => server.end())
  await once(server, 'close')
  return [a, b, c]
}

function streamHeader(to: string, xmlns: string): string {
  const streams = 'http://etherx.jabber.org/streams'
  return `<?xml version='1.0'?><stream:stream to='${to}' version='1.0' xmlns='${xmlns}' xmlns:stream='${streams}'>`
}

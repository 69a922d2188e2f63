import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import type { TestContext } from 'node:test'
import xml from '@xmpp/xml'
import { chooseHelp } from '../../src/catalogue/index.js'
import {
  describedOf,
  difference,
  isMovingFamily as isMoving,
  isServerFamily,
  NO_DIFFERENCE,
  readExporter,
  readServer,
  seriesOf,
  type Family,
  type Format,
} from './compare.js'
import { withExporterFor, type RunningExporter } from './exporter.js'
import { withProsody, type ProsodyVersion, type TestProsody } from './prosody.js'
import { reloadModule, untilReady } from './real.js'
import { login, LoginError, type XmppUser } from './xmpp-client.js'

const PASSWORD = 'pw'
export const [FIRST, SECOND] = ['stats.one.example', 'stats.two.example']

/** Starts a Prosody with modules that have metrics of all types, and two exporters that collect from it. */
export async function withServer(t: TestContext, version: ProsodyVersion) {
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
    // Without room locking, other users can enter a new room immediately.
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
        // With a minimum age of 0, each scrape causes a collection.
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

const unmoving = (families: readonly Family[]) => families.filter((family) => !isMoving(family))
const moving = (families: readonly Family[]) => seriesOf(families.filter(isMoving))

/** Returns the families with only those samples that the format can have. The text format has no `_created` samples. */
function selectSamples(families: readonly Family[], format: Format): Family[] {
  return families.map((family) => ({
    ...family,
    samples: family.samples.filter(
      ({ name }) => format === 'openmetrics' || name !== `${family.name}_created`,
    ),
  }))
}

function helpByName(families: readonly Family[]) {
  return Object.fromEntries(families.map(({ name, help }) => [name, help]))
}

/** Returns the HELP text that the exporter should serve for each of Prosody's families. */
function expectedHelp(families: readonly Family[]) {
  return helpByName(
    families.map((family) => ({ ...family, help: chooseHelp(describedOf(family)) })),
  )
}

export function valueOf(families: readonly Family[], name: string): number | undefined {
  return families.find((family) => family.name === name)?.samples[0]?.value
}

/**
 * Asserts that each exporter serves the series that mod_http_openmetrics serves, in both formats, with the expected
 * HELP texts. This function reads mod_http_openmetrics before and after the exporters. If a value changed in between,
 * it compares again.
 *
 * @returns The families of mod_http_openmetrics.
 */
export async function compareAll(
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
    const changed = difference(seriesOf(unmoving(after)), seriesOf(unmoving(before)))
    if (Object.values(changed).flat().length > 0) continue

    for (const { format, families } of reads) {
      assert.equal(valueOf(families, 'xmpp_up'), 1)
      assert.equal(valueOf(families, 'prosody_exporter_collector_success'), 1)
      const exported = families.filter(isServerFamily)
      const expected = selectSamples(before, format)
      assert.deepEqual(
        difference(seriesOf(unmoving(exported)), seriesOf(unmoving(expected))),
        NO_DIFFERENCE,
      )
      assert.deepEqual(helpByName(exported), expectedHelp(expected))
      if (format === 'openmetrics') {
        for (const { name, unit } of exported) {
          assert.equal(unit, expected.find((family) => family.name === name)?.unit, name)
        }
      }
      const [from, now] = [moving(expected), moving(exported)]
      const to = moving(selectSamples(after, format))
      assert.ok(now.size > 0)
      assert.deepEqual([...now.keys()].sort(), [...from.keys()].sort())
      for (const [key, value] of now) {
        // Gauges such as the memory of Prosody also fall.
        if (key.includes('"gauge"')) continue
        assert.ok(
          from.get(key)! <= value && value <= to.get(key)!,
          `${key}: the exporter serves ${value}, which is not between the values of Prosody before and after`,
        )
      }
    }
    const counts = /"prosody_stats_collection_seconds_count"/
    const [key] = [...moving(before).keys()].filter((series) => counts.test(series))
    assert.ok(
      moving(after).get(key!)! > moving(before).get(key!)!,
      'the number of collections that Prosody reports has increased',
    )
    return before
  }
  throw new Error(
    'The metrics of Prosody changed during each of 20 attempts to compare them with the exporters',
  )
}

/**
 * Asserts before, during and after XMPP traffic that the exporters serve the series that mod_http_openmetrics serves.
 */
export async function compareUnderTraffic(t: TestContext, version: ProsodyVersion): Promise<void> {
  const { prosody, first, second } = await withServer(t, version)
  const idle = await compareAll(prosody, [first, second])
  const users = await makeTraffic(t, prosody)
  const busy = await compareAll(prosody, [second, first])
  const moved = difference(seriesOf(unmoving(busy)), seriesOf(unmoving(idle)))
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
  ] as const) {
    await reloadModule(prosody, host, module)
  }
  await compareAll(prosody, [first, second])
  await Promise.all(users.map((user) => user.close()))
  const after = await compareAll(prosody, [first, second])
  const connections = after.find(({ name }) => name === 'prosody_mod_c2s__connections')
  assert.deepEqual(
    connections?.samples.filter(({ labels }) => labels.type === 'c2s').map(({ value }) => value),
    connections?.samples.filter(({ labels }) => labels.type === 'c2s').map(() => 0),
  )
}

/**
 * Creates XMPP traffic that changes the metrics of mod_c2s, mod_s2s, mod_muc, mod_smacks and mod_csi_simple.
 *
 * @returns The sessions of the users, which are still open.
 */
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
  // This connection stays a client that has not logged in, so Prosody counts it as `c2s_unauthed`.
  const client = connect(port, '127.0.0.1')
  t.after(() => client.destroy())
  client.write(streamHeader('three.example', 'jabber:client'))
  await once(client, 'data')

  // The creator of each room is a user of the parent host, because Prosody 13.0 does not let other users create rooms.
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
  // The reply to this ping shows that Prosody has processed the stanzas that user b sent before.
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

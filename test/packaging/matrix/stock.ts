/**
 * Tests the statistics of a server without mod_adhoc_statistics. The server has online users, open rooms and a
 * connection to another server.
 */

import xml from '@xmpp/xml'
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { until } from '../../support/setup/process.js'
import { withExporterFor } from '../../support/exporter.js'
import type { TestProsody } from '../../support/prosody.js'
import { complaints, evalLua, logLines, sampleValue, untilUp } from '../../support/real.js'
import { login } from '../../support/xmpp-client.js'
import { openRoom } from '../../support/rooms.js'
import { USERS, type Server } from './servers.js'

const ROOMS = ['first', 'second', 'third']

/**
 * Logs in two users on one.example and one on two.example, and opens three rooms. Sends messages to and from
 * far.example.
 */
async function useServer(t: TestContext, server: Server, far: TestProsody): Promise<void> {
  const users = await Promise.all(
    Object.entries(USERS).map(([jid, password]) =>
      login({ port: server.ports.c2s, jid, password }),
    ),
  )
  const distant = await login({ port: far.ports.c2s, jid: 'd@far.example', password: 'x' })
  t.after(() => Promise.all([...users, distant].map((user) => user.close())))
  const [a] = users
  assert.ok(a)
  for (const user of users) {
    user.send(xml('presence'))
    await user.next(({ name, attrs }) => name === 'presence' && attrs.from === user.jid)
  }
  for (const room of ROOMS) await openRoom(a, `${room}@${server.rooms}`)
  await evalLua(far, `prosody.test_dns_ports = { ["one.example"] = ${server.ports.s2s} }`)
  for (const [from, to] of [
    [distant, a],
    [a, distant],
  ] as const) {
    from.send(xml('message', { to: to.jid, type: 'chat' }, xml('body', {}, 'from far away')))
    await to.next(({ name, attrs }) => name === 'message' && attrs.from === from.jid)
  }
}

/** The expected value of each series, if the server has the family of the series. */
const NUMBERS: Readonly<Record<string, number>> = {
  'xmpp_online_users{host="one.example"}': 2,
  'xmpp_online_users{host="two.example"}': 1,
  'xmpp_registered_users{host="one.example"}': 2,
  'xmpp_registered_users{host="two.example"}': 1,
  'xmpp_active_users{host="one.example"}': 2,
  'xmpp_idle_users{host="one.example"}': 0,
  // RFC 6120 §4.5: two servers have one connection for each direction.
  'xmpp_s2s_connections{host="one.example",direction="in",security="plain"}': 1,
  'xmpp_s2s_connections{host="one.example",direction="out",security="plain"}': 1,
  'xmpp_s2s_connections{host="two.example",direction="in",security="plain"}': 0,
  'ejabberd_s2s_connections{host="one.example",direction="in"}': 1,
  'ejabberd_s2s_connections{host="one.example",direction="out"}': 1,
  'xmpp_disabled_users{host="one.example"}': 0,
  'xmpp_host_info{host="one.example",category="server",type="im"}': 1,
}

export type StockResult = {
  /** The version number that the server reports. */
  readonly version: string
  /** The names of the exported families in alphabetical order. */
  readonly families: readonly string[]
}

/**
 * Causes traffic on the server and scrapes it. Checks every expected value, and that the exporter logs no warning and
 * only the given hint.
 */
export async function readStock(
  t: TestContext,
  server: Server,
  far: TestProsody,
  hints: RegExp | undefined,
): Promise<StockResult> {
  await useServer(t, server, far)
  const hosts = ['one.example', 'two.example'].map((host) => `--xmpp.host=${host}`)
  const exporter = await withExporterFor(t, server, {
    stock: true,
    flags: [...hosts, '--no-collector.registry', '--log.format=json'],
    env: { PROSODY_EXPORTER_COLLECTION_MIN_AGE: '0s' },
  })
  await untilUp(exporter)
  // After three scrapes, the exporter knows the hosts and does not repeat requests that the server refuses.
  for (let i = 0; i < 3; i++) await exporter.get('/metrics')
  const { text } = await exporter.get('/metrics')
  const families = [...text.matchAll(/^# TYPE (\S+)/gm)]
    .map(([, name]) => name!)
    .filter((name) => !/^(xmpp_up|prosody_exporter_.*)$/.test(name))
    .sort()
  const numbers = {
    ...NUMBERS,
    [`xmpp_muc_rooms{host="${server.rooms}"}`]: ROOMS.length,
    [`xmpp_muc_live_rooms{host="${server.rooms}"}`]: ROOMS.length,
  }
  for (const [series, expected] of Object.entries(numbers)) {
    const family = series.slice(0, series.indexOf('{'))
    if (families.includes(family)) assert.equal(sampleValue(text, series), expected, series)
  }
  for (const host of ['one.example', 'two.example']) {
    assert.ok(sampleValue(text, `xmpp_ping_seconds{host="${host}"}`)! > 0)
    const started = sampleValue(text, `xmpp_start_time_seconds{host="${host}"}`)!
    assert.ok(started > Date.now() / 1000 - 3600 && started < Date.now() / 1000 + 2)
  }
  assert.doesNotMatch(text, /^prosody_exporter_collector_success\{.*\} 0$/m)
  assert.deepEqual(complaints(exporter), [])
  const messages = logLines(exporter).map(({ message }) => message)
  const found = messages.filter((line) => /: no data, because/.test(line))
  assert.equal(found.length, hints ? 1 : 0, found.join('\n'))
  if (hints) assert.match(found[0]!, hints)
  await exporter.stop()
  await until(() => !exporter.running(), { what: 'the exporter has stopped' })
  const [, version] = /^xmpp_info\{host="one\.example",name="\w+",version="([^"]+)"\} 1$/m.exec(
    text,
  )!
  return { version: version!, families }
}

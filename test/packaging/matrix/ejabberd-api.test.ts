// Tests numbers that only the newest ejabberd of the tests has, because older versions lack the commands.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import xml from '@xmpp/xml'
import { withEjabberd } from '../../support/ejabberd.js'
import { withExporterFor } from '../../support/exporter.js'
import { sampleValue, serverSamples, untilUp } from '../../support/real.js'
import { openRoom } from '../../support/rooms.js'
import { commandElement, connectComponent, login } from '../../support/xmpp-client.js'
import { STATS, USERS } from './servers.js'

/** Starts an ejabberd that lets the component run these API commands, as docs/collectors.md describes. */
async function startEjabberd(t: Parameters<typeof withEjabberd>[0], what: readonly string[]) {
  return await withEjabberd(t, {
    version: 'newest',
    users: USERS,
    options: {
      acl: { statistics: { server: STATS } },
      access_rules: { configure: { allow: 'statistics' } },
      api_permissions: {
        'prosody-exporter': { from: 'mod_adhoc_api', who: { server: STATS }, what },
      },
    },
    modules: { mod_adhoc_api: {}, mod_admin_extra: {}, mod_muc_admin: {}, mod_private: {} },
  })
}

const FLAGS = ['--xmpp.host=one.example', '--xmpp.host=two.example', '--no-collector.registry']

test('the rooms in memory of each MUC service and the banned users of each host of ejabberd are exported', async (t) => {
  const what = ['muc_online_rooms_count', 'ban_account']
  const server = await startEjabberd(t, what)
  const a = await login({ port: server.ports.c2s, jid: 'a@one.example', password: 'x' })
  t.after(() => a.close())
  for (const room of ['first', 'second']) await openRoom(a, `${room}@${server.rooms}`)

  const { component: port } = server.ports
  const admin = await connectComponent({ port, domain: STATS, secret: server.secret })
  const values = { user: 'b', host: 'one.example', reason: 'spam' }
  const fields = Object.entries(values).map(([name, value]) =>
    xml('field', { var: name }, xml('value', {}, value)),
  )
  const form = xml('x', { xmlns: 'jabber:x:data', type: 'submit' }, ...fields)
  await admin.iq('set', 'one.example', commandElement('api-commands/ban_account', form))
  await admin.close()
  await assert.rejects(login({ port: server.ports.c2s, jid: 'b@one.example', password: 'x' }))

  const exporter = await withExporterFor(t, server, { stock: true, flags: FLAGS })
  const text = await untilUp(exporter)
  assert.equal(sampleValue(text, 'xmpp_disabled_users{host="one.example"}'), 1)
  assert.equal(sampleValue(text, 'xmpp_disabled_users{host="two.example"}'), 0)
  assert.equal(sampleValue(text, 'xmpp_muc_live_rooms{host="conference.one.example"}'), 2)
  assert.equal(sampleValue(text, 'xmpp_muc_live_rooms{host="conference.two.example"}'), 0)
})

test('an ejabberd without the permission exports no rooms, and the collector does not fail', async (t) => {
  const server = await startEjabberd(t, ['incoming_s2s_number', 'outgoing_s2s_number'])
  const exporter = await withExporterFor(t, server, { stock: true, flags: FLAGS })
  const text = await untilUp(exporter)
  assert.ok(serverSamples(text).some((line) => line.startsWith('ejabberd_s2s_connections')))
  assert.doesNotMatch(text, /^xmpp_muc_live_rooms/m)
  assert.doesNotMatch(text, /^prosody_exporter_collector_success\{.*\} 0$/m)
  assert.doesNotMatch(text, /collector="ejabberd_rooms"/)
})

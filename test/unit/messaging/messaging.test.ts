import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { Hono } from 'hono'
import xml from '@xmpp/xml'
import { findDocumented } from '../../../src/catalogue/index.js'
import type { AlertsConfig, MessagingConfig } from '../../../src/config/read-config.js'
import { createMessaging } from '../../../src/messaging/messaging.js'
import { getLabels } from '../../../src/metrics/labels.js'
import type { MonitoredServer } from '../../../src/servers/monitored-server.js'
import {
  createFakeLog,
  createFakeStream,
  occupantPresence,
  roomInfo,
  settle,
} from '../../support/messaging.js'
import { alertmanagerAlert, alertmanagerPayload } from '../../support/webhook-payloads.js'

const ADMIN = 'admin@one.example'
const ROOM = 'ops@rooms.example'
const ALERTS: AlertsConfig = {
  server: 'one',
  to: [ADMIN],
  rooms: [],
  nick: 'alerts',
  token: 'token',
  template: undefined,
  correctResolved: true,
}

/** Creates the messaging of an exporter with the servers `one` and `two`. */
function setup(alerts: AlertsConfig | undefined) {
  let config: MessagingConfig = { alerts, chat: undefined, alertmanager: undefined }
  const streams = { one: createFakeStream(), two: createFakeStream() }
  const log = createFakeLog()
  const messaging = createMessaging({
    config: () => config,
    serverNames: () => Object.keys(streams),
    log: log.log,
    findServer: (name) => {
      const stream = streams[name as keyof typeof streams]
      const { client } = stream
      return { connection: { ...client, domain: 'stats.example' } } as unknown as MonitoredServer
    },
  })
  after(async () => {
    messaging.stop()
    await messaging.close()
  })
  const app = new Hono()
  messaging.addRoutes(app)
  messaging.applyConfig()
  const post = (fields = {}) =>
    app.request('/alerts', {
      method: 'POST',
      headers: { Authorization: 'Bearer token' },
      body: JSON.stringify(alertmanagerPayload(fields)),
    })
  const change = (next: AlertsConfig | undefined) => {
    config = { ...config, alerts: next }
    messaging.applyConfig()
  }
  /** Sends a notification. Returns the message that the exporter delivers. */
  const send = async (fields = {}) => {
    const answer = post(fields)
    await settle()
    await settle()
    streams.one.request().answer()
    const response = await answer
    assert.equal(response.status, 200)
    assert.deepEqual(await response.json(), { delivered: 1, rejected: 0 })
    return streams.one.take()[0]!
  }
  /** Lets the room exist and the exporter be in it. */
  const enterRoom = async () => {
    streams.one.request(ROOM).answer(roomInfo())
    await settle()
    messaging.onStanza('one', occupantPresence(`${ROOM}/alerts`, ['110']))
  }
  return { messaging, streams, log, post, send, enterRoom, change, app }
}

const resolved = { status: 'resolved', alerts: [alertmanagerAlert({ status: 'resolved' })] }

test('a notification of Alertmanager becomes a message, and its resolution corrects the message', async () => {
  const { send } = setup(ALERTS)
  const firing = await send()
  assert.match(firing.getChildText('body')!, /^CRITICAL: /)
  assert.equal(firing.getChild('replace'), undefined)
  const correction = await send(resolved)
  assert.match(correction.getChildText('body')!, /^RESOLVED: /)
  assert.equal(correction.getChild('replace')?.attrs['id'], firing.attrs['id'])
})

test('only a resolution corrects a message: a change of a group that still fires is a message of its own', async () => {
  const { send } = setup(ALERTS)
  await send()
  const alerts = [alertmanagerAlert(), alertmanagerAlert({ fingerprint: '1cb8c9784a1fd3e7' })]
  assert.equal((await send({ alerts })).getChild('replace'), undefined)
})

test('the resolution of the last alert of a group does not correct the message about an earlier resolution', async () => {
  const { send: sendFields } = setup(ALERTS)
  const alert = (fingerprint: string, status = 'firing') =>
    alertmanagerAlert({ fingerprint, status })
  const send = (status: string, alerts: readonly object[]) => sendFields({ status, alerts })
  await send('firing', [alert('A')])
  const both = await send('firing', [alert('A'), alert('B')])
  await send('firing', [alert('A', 'resolved'), alert('B')])
  const last = await send('resolved', [alert('B', 'resolved')])
  assert.equal(last.getChild('replace'), undefined)
  assert.equal(both.getChild('replace'), undefined)
})

test('without a connection, the response is 503, so that Alertmanager repeats the notification', async () => {
  const { streams, post } = setup(ALERTS)
  streams.one.disconnect()
  assert.equal((await post()).status, 503)
})

test('notifications are counted by the response to them', async () => {
  const { messaging, streams, post, app } = setup(ALERTS)
  const answer = post()
  await settle()
  await settle()
  streams.one.request().answer()
  await answer
  streams.one.disconnect()
  await post(resolved)
  const headers = { Authorization: 'Bearer token' }
  await app.request('/alerts', { method: 'POST', headers, body: '{}' })
  await app.request('/alerts', { method: 'POST', body: '{}' })
  const family = messaging.getFamilies().find(({ name }) => name.endsWith('_notifications'))!
  const known = findDocumented(family.name)
  assert.deepEqual([known?.meaning, known?.type], [family.help, family.type])
  assert.deepEqual(
    Array.from(family.values, (value, row) => [getLabels(family.labels, row), value]),
    ['accepted', 'deferred', 'invalid', 'unauthorized'].map((result) => [`result="${result}"`, 1]),
  )
})

test('only events of the server that delivers the alerts count', async () => {
  const { messaging, streams } = setup({ ...ALERTS, rooms: [ROOM] })
  streams.one.request(ROOM).answer(roomInfo())
  await settle()
  const presence = occupantPresence(`${ROOM}/alerts`, ['110'])
  const joined = () =>
    messaging.getFamilies().find(({ name }) => name.endsWith('_rooms'))!.values[0]
  assert.equal(messaging.onStanza('two', presence), false)
  assert.equal(joined(), 0)
  assert.equal(messaging.onStanza('one', presence), true)
  assert.equal(joined(), 1)
  messaging.onLost('two')
  assert.equal(joined(), 1)
  messaging.onLost('one')
  assert.equal(joined(), 0)
  messaging.onOnline('two')
  assert.equal(streams.one.countRequests(), 0)
  messaging.onOnline('one')
  assert.equal(streams.one.countRequests(), 1)
})

test('an error in a handler does not reach the stream', () => {
  const { messaging } = setup(ALERTS)
  const broken = xml('message', { from: ADMIN })
  broken.getChild = () => {
    throw new Error('broken')
  }
  assert.equal(messaging.onStanza('one', broken), false)
})

test('another server in the configuration delivers the alerts after a reload, and the rooms of the first are left', async () => {
  const { streams, post, change, enterRoom } = setup({ ...ALERTS, rooms: [ROOM] })
  await enterRoom()
  streams.one.take()
  change({ ...ALERTS, server: 'two' })
  assert.equal(streams.one.take()[0]?.attrs['type'], 'unavailable')
  const answer = post()
  await settle()
  await settle()
  streams.two.request().answer()
  assert.equal((await answer).status, 200)
  assert.deepEqual(streams.one.take(), [])
})

test('before a reload ends the stream, the rooms are left; the next stream joins them again', async () => {
  const { streams, messaging, change, enterRoom } = setup({ ...ALERTS, rooms: [ROOM] })
  await enterRoom()
  streams.one.take()
  messaging.onStopping('two')
  assert.deepEqual(streams.one.take(), [])
  messaging.onStopping('one')
  assert.equal(streams.one.take()[0]?.attrs['type'], 'unavailable')
  change({ ...ALERTS, rooms: [ROOM] })
  assert.equal(streams.one.countRequests(), 1)
})

test('a room that a reload removes together with the stream, which is away, is left after the next login', async () => {
  const { streams, messaging, change, enterRoom } = setup({ ...ALERTS, rooms: [ROOM] })
  await enterRoom()
  streams.one.disconnect()
  messaging.onLost('one')
  streams.one.take()
  messaging.onStopping('one')
  change(ALERTS)
  streams.one.connect()
  messaging.onOnline('one')
  assert.equal(streams.one.take()[0]?.attrs['type'], 'unavailable')
})

test('rooms that could not be left through the first server are not left through another one', async () => {
  const { streams, messaging, change, enterRoom } = setup({ ...ALERTS, rooms: [ROOM] })
  await enterRoom()
  streams.one.disconnect()
  messaging.onLost('one')
  change({ ...ALERTS, server: 'two' })
  messaging.onOnline('two')
  assert.deepEqual(streams.two.take(), [])
})

test('a reload that removes the alerts leaves the rooms, and the path answers 404', async () => {
  const { streams, log, post, change, enterRoom } = setup({ ...ALERTS, rooms: [ROOM] })
  await enterRoom()
  streams.one.take()
  log.take()
  change(undefined)
  change(undefined)
  assert.equal(streams.one.take()[0]?.attrs['type'], 'unavailable')
  const lines = log.take()
  assert.equal(lines.length, 1)
  assert.match(lines[0]!, /^warn: The configuration no longer has alerts\. Restart/)
  assert.equal((await post()).status, 404)
})

test('a reload cannot turn on alerts, which is logged', async () => {
  const { messaging, log, change, app } = setup(undefined)
  change(ALERTS)
  assert.match(log.take()[0]!, /^warn: Restart the exporter to turn on alerts/)
  assert.equal((await app.request('/alerts', { method: 'POST' })).status, 404)
  assert.deepEqual(messaging.getFamilies(), [])
  assert.equal(messaging.onStanza('one', xml('message', { from: ADMIN })), false)
  messaging.stop()
  await messaging.close()
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  addRecipients,
  describeRecipients,
  describeRejections,
  readRecipients,
} from '../../../../src/cli/setup/alert-recipients.js'

const ADMIN = 'admin@example.com'
const ROOM = 'ops@rooms.example.com'
const hosts = [
  { name: 'example.com', has_secret: false },
  { name: 'rooms.example.com', component: 'muc', has_secret: false },
]
const NOBODY = { to: [], rooms: [] }

test('recipients at a component for rooms are rooms, and a room in the configuration stays a room', () => {
  const far = 'admin@far.example'
  assert.deepEqual(addRecipients(NOBODY, [ADMIN, ROOM, far], { hosts }), {
    to: [ADMIN, far],
    rooms: [ROOM],
  })
  const before = { to: [ADMIN], rooms: ['ops@far.example'] }
  assert.deepEqual(addRecipients(before, [ADMIN, 'ops@far.example', ROOM], { hosts }), {
    to: [ADMIN],
    rooms: ['ops@far.example', ROOM],
  })
})

test('setup says for each recipient whether it is a person or a room, and what to do if that is wrong', () => {
  const describe = (...jids: string[]) =>
    describeRecipients(jids, addRecipients(NOBODY, jids, { hosts }), {
      hosts: [...hosts, { name: 'irc.example.com', component: 'component', has_secret: true }],
      domain: 'stats.example.com',
    })
  assert.deepEqual(describe(), [])
  assert.deepEqual(describe(ADMIN, ROOM), [
    'Recipients of alerts:',
    `  ${ADMIN}: person`,
    `  ${ROOM}: room`,
  ])
  assert.deepEqual(describe('ops@far.example', 'x@irc.example.com'), [
    'Recipients of alerts:',
    '  ops@far.example: person, not on this Prosody',
    '  x@irc.example.com: person',
    'Other servers accept messages only if stats.example.com has a DNS entry and a certificate.',
    'Setup recognizes only rooms of this Prosody. If ops@far.example or x@irc.example.com is a room, finish this setup. ' +
      'Then move the JID from alerts.to to alerts.rooms in /etc/prosody-exporter/prosody-exporter.yml, and run: ' +
      'systemctl reload prosody-exporter',
  ])
})

test('setup names the recipient that it added and that rejects the test message', () => {
  const report = [
    `  ok     test message      ${ADMIN}: Prosody accepted it, to show it now or at the next login`,
    '  FAILED test message      amdin@example.com: rejected: there is no such user',
  ]
  assert.deepEqual(describeRejections([ADMIN], report), [])
  const [line = '', ...more] = describeRejections([ADMIN, 'amdin@example.com'], report)
  assert.match(line, /^Setup has added amdin@example\.com to .*prosody-exporter\.yml\. If .*reload/)
  assert.deepEqual(more, [])
})

test('setup reads recipients as the exporter does', () => {
  const text = 'alerts: { to: [Admin@Example.com, no JID], rooms: }\n'
  assert.deepEqual(readRecipients(text), { to: [ADMIN, 'no JID'], rooms: [] })
  for (const none of ['', 'alerts:', 'alerts: [', 'chat: { allow: [a@b] }'])
    assert.equal(readRecipients(none), undefined)
})

test('setup repeats no recipient, which the exporter would refuse', () => {
  const text = `alerts: { to: [${ADMIN}, Admin@example.com, ${ROOM}], rooms: [${ROOM}, OPS@rooms.example.com] }`
  const before = readRecipients(text)
  assert.deepEqual(before, { to: [ADMIN], rooms: [ROOM] })
  assert.deepEqual(addRecipients(before, [ROOM, ADMIN], { hosts }), before)
})

// Tests of replies of ejabberd that are hard to get from a real ejabberd, for example refusals.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createEjabberdRoomsSource } from '../../../src/collectors/ejabberd-rooms.js'
import { createEjabberdS2sSource } from '../../../src/collectors/ejabberd-s2s.js'
import type { Ask, HostSource } from '../../../src/collectors/host-collector.js'
import type { Host } from '../../../src/collectors/describe-host.js'
import { usersSource } from '../../../src/collectors/users.js'
import { StanzaError } from '../../../src/errors.js'
import { readDataForm } from '../../../src/xmpp/data-form.js'
import { xml, type Element } from '../../../src/xmpp/xml.js'

const ADMIN = 'http://jabber.org/protocol/admin'

function hostOf(name: string, { commands = [] as string[], features = [] as string[] }): Host {
  return {
    jid: 'a.example',
    identities: [{ category: 'server', type: 'im', name }],
    features: new Set(features),
    commands: new Set(commands),
  }
}

type Fields = Readonly<Record<string, string>>

/**
 * Creates the `Ask` of a fake host. The host answers an ad-hoc command with these form fields, or with this error. It
 * has the empty form of an ad-hoc command with these fields. It refuses every other request.
 */
function askOf(
  answers: Readonly<Record<string, Fields | Error>>,
  forms: Readonly<Record<string, Fields>> = {},
) {
  const asked: string[] = []
  const ask: Ask = {
    iq: () => Promise.reject(new StanzaError('service-unavailable', 'cancel', '')),
    command(node, form, formType) {
      asked.push([node, JSON.stringify(form), formType].join(' ').trim())
      const answer = answers[node] ?? new StanzaError('item-not-found', 'cancel', '')
      if (answer instanceof Error) return Promise.reject(answer)
      const x = formOf('result', answer)
      const element = xml('command', {}, x)
      return Promise.resolve({ status: 'completed', element, notes: [], form: readDataForm(x) })
    },
    form(node) {
      asked.push(`${node} form`)
      const fields = forms[node]
      return fields
        ? Promise.resolve(readDataForm(formOf('form', fields)))
        : Promise.reject(new StanzaError('item-not-found', 'cancel', ''))
    },
  }
  return { ask, asked }
}

function formOf(type: string, fields: Fields): Element {
  const elements = Object.entries(fields).map(([name, value]) =>
    xml('field', { var: name, type: 'text-single' }, xml('value', {}, value)),
  )
  return xml('x', { xmlns: 'jabber:x:data', type }, ...elements)
}

const read = (source: HostSource, host: Host, ask: Ask) => {
  assert.ok(source.appliesTo(host))
  return source.read(host, ask)
}

test('the collector ejabberd_s2s sends API commands with an empty form, and does not repeat them after a refusal', async () => {
  let refusals = 0
  const source = createEjabberdS2sSource(() => refusals++)
  const host = hostOf('ejabberd', {})
  const granted = askOf({
    'api-commands/incoming_s2s_number': { s2s_incoming: '3' },
    'api-commands/outgoing_s2s_number': { s2s_outgoing: '5' },
  })
  assert.deepEqual(await read(source, host, granted.ask), [
    { family: 'ejabberd_s2s_connections', labels: { direction: 'in' }, value: 3 },
    { family: 'ejabberd_s2s_connections', labels: { direction: 'out' }, value: 5 },
  ])
  assert.equal(granted.asked[0], 'api-commands/incoming_s2s_number {}')
  assert.equal(refusals, 0)

  const denied = askOf({
    'api-commands/incoming_s2s_number': { error: 'AccessRules: Account does not have the right' },
  })
  assert.deepEqual(await read(source, host, denied.ask), [])
  assert.equal(refusals, 1)
  assert.ok(!source.appliesTo(host))
  assert.ok(
    source.appliesTo(hostOf('ejabberd', {})),
    'the commands are sent again after the next search for hosts',
  )
  assert.ok(!source.appliesTo(hostOf('Prosody', {})))
})

test('the collector ejabberd_rooms requests the domain of the MUC service once, and exports the rooms of that service', async () => {
  const source = createEjabberdRoomsSource()
  const host = hostOf('ejabberd', {})
  const node = 'api-commands/muc_online_rooms_count'
  const service = 'conference.a.example'
  const { ask, asked } = askOf({ [node]: { count: '2' } }, { [node]: { service } })
  for (let i = 0; i < 2; i++) {
    assert.deepEqual(await read(source, host, ask), [
      { family: 'xmpp_muc_live_rooms', labels: { host: service }, value: 2 },
    ])
  }
  const request = `${node} ${JSON.stringify({ service })}`
  assert.deepEqual(asked, [`${node} form`, request, request])
  assert.ok(!source.appliesTo(hostOf('Prosody', {})))
})

test('the collector ejabberd_rooms exports nothing and does not repeat its requests if ejabberd refuses them', async () => {
  const node = 'api-commands/muc_online_rooms_count'
  const refused = { [node]: { error: 'AccessRules: Account does not have the right' } }
  for (const [what, { ask }] of Object.entries({
    'a version without the command': askOf({}),
    'no right': askOf(refused, { [node]: { service: 'conference.a.example' } }),
    'no MUC service': askOf({ [node]: { count: '2' } }, { [node]: {} }),
    'no domain': askOf({ [node]: { count: '2' } }, { [node]: { service: 'a room@a.example' } }),
  })) {
    const source = createEjabberdRoomsSource()
    const host = hostOf('ejabberd', {})
    assert.deepEqual(await read(source, host, ask), [], what)
    assert.ok(!source.appliesTo(host), what)
  }
})

test('the collector users skips a command that the server lists but does not have, and exports the other numbers', async () => {
  const [online, disabled] = ['online', 'disabled'].map((what) => `${ADMIN}#get-${what}-users-num`)
  const host = hostOf('ejabberd', { commands: [online!, disabled!] })
  const { ask } = askOf({ [online!]: { onlineusersnum: '4' } })
  assert.deepEqual(await read(usersSource, host, ask), [{ family: 'xmpp_online_users', value: 4 }])
})

test('the collector users reads XEP-0039 statistics if the host lists no commands for numbers of users', async () => {
  const NS = 'http://jabber.org/protocol/stats'
  const host = hostOf('ejabberd', { features: [NS] })
  const stats = [
    xml('stat', { name: 'users/online', units: 'users', value: '4' }),
    xml('stat', { name: 'users/total' }, xml('error', { code: '401' }, 'Not Authorized')),
    xml('stat', { name: 'constructor', value: '1' }),
  ]
  const iq: Ask['iq'] = (child) => {
    assert.deepEqual(
      child.getChildren('stat', NS).map(({ attrs }) => attrs['name']),
      ['users/online', 'users/total'],
    )
    return Promise.resolve(xml('iq', {}, xml('query', { xmlns: NS }, ...stats)))
  }
  const told = await read(usersSource, host, { ...askOf({}).ask, iq })
  assert.deepEqual(told, [{ family: 'xmpp_online_users', value: 4 }])
})

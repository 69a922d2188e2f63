// Servers that Debian does not have, as their sources say that they answer; and ejabberd's refusals.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createEjabberdS2s } from '../../src/collectors/ejabberd-s2s.js'
import type { Ask, HostSource } from '../../src/collectors/host-collector.js'
import type { Host } from '../../src/collectors/hosts.js'
import { openfire } from '../../src/collectors/openfire.js'
import { tigase } from '../../src/collectors/tigase.js'
import { users } from '../../src/collectors/users.js'
import { StanzaError } from '../../src/errors.js'
import { readDataForm } from '../../src/xmpp/data-form.js'
import { xml, type Element } from '../../src/xmpp/stream.js'

const ADMIN = 'http://jabber.org/protocol/admin'
const STATS = `${ADMIN}#get-server-stats`

function hostOf(name: string, { commands = [] as string[], features = [] as string[] }): Host {
  return {
    jid: 'a.example',
    identities: [{ category: 'server', type: 'im', name }],
    features: new Set(features),
    commands: new Set(commands),
  }
}

type Fields = Readonly<Record<string, string>>

/** Asks of a host that answers commands with these fields, or refuses. */
function askOf(answers: Readonly<Record<string, Fields | Error>>) {
  const asked: string[] = []
  const ask: Ask = {
    iq: () => Promise.reject(new StanzaError('service-unavailable', 'cancel', '')),
    set: () => Promise.reject(new StanzaError('service-unavailable', 'cancel', '')),
    command(node, form, formType) {
      asked.push([node, JSON.stringify(form), formType].join(' ').trim())
      const answer = answers[node] ?? new StanzaError('item-not-found', 'cancel', '')
      if (answer instanceof Error) return Promise.reject(answer)
      const fields = Object.entries(answer).map(([name, value]) =>
        xml('field', { var: name, type: 'text-single' }, xml('value', {}, value)),
      )
      const x: Element = xml('x', { xmlns: 'jabber:x:data', type: 'result' }, ...fields)
      const element = xml('command', {}, x)
      return Promise.resolve({ status: 'completed', element, notes: [], form: readDataForm(x) })
    },
  }
  return { ask, asked }
}

const read = (source: HostSource, host: Host, ask: Ask) => {
  assert.ok(source.appliesTo(host))
  return source.read(host, ask)
}

test('Openfire tells a component users, sessions and its start, and what is no number is missing', async () => {
  const host = hostOf('Openfire Server', { commands: [STATS] })
  const fields = {
    FORM_TYPE: ADMIN,
    name: 'Openfire',
    version: '5.0.2',
    uptime: '2026-11-22T18:11:05.250Z',
    memory: '92.10 MB of 1024.00 MB (9.0%) used',
    activeusersnum: '17',
    sessionsnum: '21',
  }
  assert.deepEqual(await read(openfire, host, askOf({ [STATS]: fields }).ask), [
    { family: 'openfire_available_users', value: 17 },
    { family: 'openfire_available_sessions', value: 21 },
    { family: 'openfire_start_time_seconds', value: 1795371065.25 },
  ])
  const odd = { ...fields, activeusersnum: 'many', uptime: 'yesterday' }
  assert.deepEqual(await read(openfire, host, askOf({ [STATS]: odd }).ask), [
    { family: 'openfire_available_sessions', value: 21 },
  ])
  assert.ok(!openfire.appliesTo(hostOf('Openfire Server', {})))
})

test("Tigase tells an admin what its session manager counts, and whom it doesn't what to change", async () => {
  const COMMANDS = 'http://jabber.org/protocol/commands'
  const host = hostOf('Tigase ver. 8.4.0', {})
  const field = (name: string | undefined, value: string, type?: string) =>
    xml('field', { var: name, type }, xml('value', {}, value))
  const asked: string[] = []
  const tell = (type: string, ...fields: Element[]): Ask => ({
    ...askOf({}).ask,
    set(to, child) {
      asked.push(`${to} ${child.attrs['node'] ?? ''}`)
      const x = xml('x', { xmlns: 'jabber:x:data', type }, ...fields)
      const attrs = { xmlns: COMMANDS, node: 'stats/sess-man', status: 'executing' }
      return Promise.resolve(xml('iq', {}, xml('command', attrs, x)))
    },
  })
  const told = tell(
    'form',
    field('sess-man/Registered accounts', '292'),
    field('sess-man/Open user connections', '10'),
    field('sess-man/Uptime', '1 day, 2 hours'),
    field('Stats level', 'INFO', 'list-single'),
  )
  const reading = (name: string, value: number) => ({
    ...{ family: 'tigase_statistic', labels: { name } },
    value,
  })
  assert.deepEqual(await read(tigase, host, told), [
    reading('sess-man/Registered accounts', 292),
    reading('sess-man/Open user connections', 10),
  ])
  assert.deepEqual(asked, ['stats@a.example stats/sess-man'])
  const refused = tell('result', field('Error', 'You do not have enough permissions', 'fixed'))
  await assert.rejects(read(tigase, host, refused), /`admins` in Tigase's config\.tdsl/)
  assert.ok(!tigase.appliesTo(hostOf('Prosody', {})))
})

test('ejabberd is asked for its connections with an empty form, and not again when it refuses', async () => {
  let refusals = 0
  const source = createEjabberdS2s(() => refusals++)
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
  assert.ok(source.appliesTo(hostOf('ejabberd', {})), 'when the hosts are found anew')
  assert.ok(!source.appliesTo(hostOf('Prosody', {})))
})

test('a number of users that a server lists and does not have is missing, and the others are told', async () => {
  const [online, disabled] = ['online', 'disabled'].map((what) => `${ADMIN}#get-${what}-users-num`)
  const host = hostOf('ejabberd', { commands: [online!, disabled!] })
  const { ask } = askOf({ [online!]: { onlineusersnum: '4' } })
  assert.deepEqual(await read(users, host, ask), [{ family: 'xmpp_online_users', value: 4 }])
})

test('without commands the numbers of users are those of XEP-0039, where the server has them', async () => {
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
  const told = await read(users, host, { ...askOf({}).ask, iq })
  assert.deepEqual(told, [{ family: 'xmpp_online_users', value: 4 }])
})

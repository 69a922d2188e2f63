// The collectors of standard XMPP against invalid replies. Each is a failure with its reason, or a missing sample, and
// never a wrong number.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ejabberdS2s } from '../../../src/collectors/ejabberd-s2s.js'
import { reasonOf, type Reason } from '../../../src/collectors/failure.js'
import type { CollectorDefinition } from '../../../src/collectors/collector-definition.js'
import { createListGuard } from '../../../src/collectors/list-guard.js'
import { modules } from '../../../src/collectors/modules.js'
import { mucRooms } from '../../../src/collectors/muc-rooms.js'
import { s2s } from '../../../src/collectors/s2s.js'
import { serverStatistics } from '../../../src/collectors/server-statistics.js'
import { startTime } from '../../../src/collectors/start-time.js'
import { users } from '../../../src/collectors/users.js'
import { LinkError, StanzaError, TimeoutError } from '../../../src/errors.js'
import { xml, type Element } from '../../../src/xmpp/xml.js'
import {
  collectorOf,
  completed,
  form,
  serverOf,
  type Answer,
  type FakeHost,
} from '../../support/fake-hosts.js'

const ADMIN = 'http://jabber.org/protocol/admin#'
const PROSODY = 'http://prosody.im/protocol/'
const STATS = 'http://jabber.org/protocol/stats'
const LAST = 'jabber:iq:last'
const MUC = 'http://jabber.org/protocol/muc'
const ITEMS = 'http://jabber.org/protocol/disco#items'

const server = (name = 'Prosody') => [['server', 'im', name]] as const

/** Collects from a host that gives this answer. */
async function collectFrom(
  source: CollectorDefinition,
  host: Omit<FakeHost, 'answer'>,
  answer: Answer,
) {
  const fake = serverOf({ 'a.example': { ...host, answer: () => answer } })
  return await collectorOf(fake, source)()
}

const num = (node: string) => ({ identities: server(), commands: [`${ADMIN}${node}`] })
const REGISTERED = 'get-registered-users-num'
const registered = (...values: string[]) =>
  completed(`${ADMIN}${REGISTERED}`, form('registeredusersnum', values))
const last = (seconds?: string) => xml('query', { xmlns: LAST, seconds })
const withUptime = { identities: server(), features: [LAST] }
const command = (node: string, child?: Element) => completed(node, child ?? xml('note', {}, 'no'))
const rooms = { identities: [['conference', 'text']] as const, features: [MUC] }
const S2S = `${PROSODY}s2s#list`
const MODULES = `${PROSODY}modules#list`
const ONLINE = `${ADMIN}get-online-users-list`

const failures: readonly (readonly [
  what: string,
  source: CollectorDefinition,
  host: Omit<FakeHost, 'answer'>,
  answer: Answer,
  reason: Reason,
  says: RegExp,
])[] = [
  ...(['-1', '1.5', '1e3', 'NaN', '', ' ', '٣', '9'.repeat(16), '1,000', '0x10'] as const).map(
    (text) =>
      [
        `${JSON.stringify(text)} registered users`,
        users,
        num(REGISTERED),
        registered(text),
        'decode',
        /a number in registeredusersnum/,
      ] as const,
  ),
  ['a number without its field', users, num(REGISTERED), registered(), 'decode', /, got none$/],
  [
    'a number without a form',
    users,
    num(REGISTERED),
    command(`${ADMIN}${REGISTERED}`),
    'decode',
    /, got none$/,
  ],
  [
    'a number that is refused',
    users,
    num(REGISTERED),
    new StanzaError('internal-server-error', 'wait', ''),
    'refused',
    /internal-server-error/,
  ],
  [
    'users online without the field',
    users,
    { identities: server(), commands: [ONLINE] },
    completed(ONLINE, form('another', ['a'])),
    'decode',
    /onlineuserjids/,
  ],
  [
    'connections without the field',
    s2s,
    { identities: server(), commands: [S2S] },
    completed(S2S, form('another', ['a'])),
    'decode',
    /a field sessions/,
  ],
  [
    'modules without the field',
    modules,
    { identities: server(), commands: [MODULES] },
    completed(MODULES, form('another', ['a'])),
    'decode',
    /a field modules/,
  ],
  ...(['-5', '1.5', 'long', ''] as const).map(
    (seconds) =>
      [
        `an uptime of ${JSON.stringify(seconds)}`,
        startTime,
        withUptime,
        last(seconds),
        'decode',
        /whole seconds/,
      ] as const,
  ),
  ['no uptime', startTime, withUptime, last(), 'decode', /, got none$/],
  ['rooms without a list', mucRooms, rooms, xml('x', {}), 'decode', /a list of items/],
]

describe('the collectors of standard XMPP fail at', () => {
  for (const [what, source, host, answer, reason, says] of failures) {
    test(what, async () => {
      const { samples, failure } = await collectFrom(source, host, answer)
      assert.deepEqual(samples, [])
      assert.equal(reasonOf(failure), reason)
      assert.match((failure as Error).message, says)
    })
  }
})

const statistics = { identities: server(), features: [STATS] }
const stat = (...stats: Readonly<Record<string, string>>[]) =>
  xml('query', { xmlns: STATS }, ...stats.map((attrs) => xml('stat', attrs)))

const missing: readonly (readonly [
  string,
  CollectorDefinition,
  Omit<FakeHost, 'answer'>,
  Answer,
])[] = [
  ['statistics of no name', serverStatistics, statistics, stat({ value: '1' }, { name: '' })],
  ['statistics that are none', serverStatistics, statistics, xml('nothing', {})],
  [
    'statistics that are no numbers',
    serverStatistics,
    statistics,
    stat({ name: 'a', value: '1e9' }, { name: 'b' }, { name: 'c', value: 'Infinity' }),
  ],
]

describe('no sample is exported for', () => {
  for (const [what, source, host, answer] of missing) {
    test(what, async () => {
      const { samples, failure } = await collectFrom(source, host, answer)
      assert.deepEqual(samples, [])
      assert.equal(failure, undefined)
    })
  }
})

test('an API command that fails without a refusal is repeated', async () => {
  const fake = serverOf({
    'a.example': {
      identities: server('ejabberd'),
      answer: () => new TimeoutError('no answer in time'),
    },
  })
  const collect = collectorOf(fake, ejabberdS2s)
  for (let i = 0; i < 2; i++) await assert.rejects(collect(), TimeoutError)
})

test('items without an address, resources and users are not hosts', async () => {
  const items = ['', 'A.example/resource', 'user@a.example']
  const fake = serverOf({
    'a.example': {
      identities: server(),
      items,
      answer: () => xml('query', { xmlns: ITEMS }),
    },
  })
  await collectorOf(fake, users)()
  assert.deepEqual(
    fake.asked.filter((line) => !line.startsWith('a.example ')),
    [],
  )
})

describe('a list that may be too long', () => {
  const lost = (error: Error) => () => Promise.reject(error)

  test('is not requested again for an hour after the stream was lost twice', async () => {
    let time = 0
    const guard = createListGuard('rooms', () => time)
    const read = (ask: () => Promise<{ items: number }>) => guard.read('a.example', ask)
    for (const error of [new LinkError('the stream is lost'), new TimeoutError('late')]) {
      await assert.rejects(read(lost(error)), error)
    }
    const never = () => assert.fail('asked')
    await assert.rejects(read(never), /did not return its rooms, 2 times in a row.*within an hour/)
    time += 3_600_000
    assert.deepEqual(await read(() => Promise.resolve({ items: 3 })), { items: 3 })
  })

  test('is requested again immediately if the server only refused it in between', async () => {
    const guard = createListGuard('rooms', () => 0)
    const read = (ask: () => Promise<{ items: number }>) => guard.read('a.example', ask)
    const refused = new StanzaError('not-allowed', 'cancel', '')
    for (const error of [new LinkError('lost'), refused, new LinkError('lost')]) {
      await assert.rejects(read(lost(error)), error)
    }
    assert.deepEqual(await read(() => Promise.resolve({ items: 3 })), { items: 3 })
  })

  test('is exported once and then not requested for an hour, if it is too long', async () => {
    const guard = createListGuard('rooms', () => 0)
    const read = (ask: () => Promise<{ items: number }>) => guard.read('a.example', ask)
    assert.deepEqual(await read(() => Promise.resolve({ items: 5001 })), { items: 5001 })
    await assert.rejects(
      read(() => assert.fail('asked')),
      /listed 5001 rooms, more than the maximum of 5000/,
    )
  })
})

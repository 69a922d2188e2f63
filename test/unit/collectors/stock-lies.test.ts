// Tests of the collectors that use standard XMPP extensions, against servers with invalid replies. An invalid reply
// must make the collection fail, or leave out a sample. It must never result in a wrong number.

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

/** Collects from a fake host that gives this answer to each request of the collector. */
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
        `a number of registered users of ${JSON.stringify(text)}`,
        users,
        num(REGISTERED),
        registered(text),
        'decode',
        /a number in registeredusersnum/,
      ] as const,
  ),
  [
    'a number of registered users without its field',
    users,
    num(REGISTERED),
    registered(),
    'decode',
    /, got none$/,
  ],
  [
    'a number of registered users without a form',
    users,
    num(REGISTERED),
    command(`${ADMIN}${REGISTERED}`),
    'decode',
    /, got none$/,
  ],
  [
    'an error instead of the number of registered users',
    users,
    num(REGISTERED),
    new StanzaError('internal-server-error', 'wait', ''),
    'refused',
    /internal-server-error/,
  ],
  [
    'a list of online users without its field',
    users,
    { identities: server(), commands: [ONLINE] },
    completed(ONLINE, form('another', ['a'])),
    'decode',
    /onlineuserjids/,
  ],
  [
    'a list of connections without its field',
    s2s,
    { identities: server(), commands: [S2S] },
    completed(S2S, form('another', ['a'])),
    'decode',
    /a field sessions/,
  ],
  [
    'a list of modules without its field',
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
  ['a reply without an uptime', startTime, withUptime, last(), 'decode', /, got none$/],
  ['a reply without a list of rooms', mucRooms, rooms, xml('x', {}), 'decode', /a list of items/],
]

describe('collectors fail after invalid replies', () => {
  for (const [what, source, host, answer, reason, says] of failures) {
    test(`the collector ${source.name} fails if the server sends ${what}`, async () => {
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
  ['statistics without a name', serverStatistics, statistics, stat({ value: '1' }, { name: '' })],
  ['a reply without statistics', serverStatistics, statistics, xml('nothing', {})],
  [
    'statistics whose values are not plain numbers',
    serverStatistics,
    statistics,
    stat({ name: 'a', value: '1e9' }, { name: 'b' }, { name: 'c', value: 'Infinity' }),
  ],
]

describe('collectors leave out invalid statistics', () => {
  for (const [what, source, host, answer] of missing) {
    test(`the collector ${source.name} exports no sample and does not fail if the server sends ${what}`, async () => {
      const { samples, failure } = await collectFrom(source, host, answer)
      assert.deepEqual(samples, [])
      assert.equal(failure, undefined)
    })
  }
})

test('the collector ejabberd_s2s sends an API command again after a time-out', async () => {
  const fake = serverOf({
    'a.example': {
      identities: server('ejabberd'),
      answer: () => new TimeoutError('no answer in time'),
    },
  })
  const collect = collectorOf(fake, ejabberdS2s)
  for (let i = 0; i < 2; i++) await assert.rejects(collect(), TimeoutError)
})

test('items without an address, and addresses of users or resources, are not queried as hosts', async () => {
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

describe('createListGuard', () => {
  const lost = (error: Error) => () => Promise.reject(error)

  test('a list is not requested again for an hour after two lost replies in a row', async () => {
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

  test('a list is not blocked if the server refused one request between two lost replies', async () => {
    const guard = createListGuard('rooms', () => 0)
    const read = (ask: () => Promise<{ items: number }>) => guard.read('a.example', ask)
    const refused = new StanzaError('not-allowed', 'cancel', '')
    for (const error of [new LinkError('lost'), refused, new LinkError('lost')]) {
      await assert.rejects(read(lost(error)), error)
    }
    assert.deepEqual(await read(() => Promise.resolve({ items: 3 })), { items: 3 })
  })

  test('a list that is too long is counted once, and then not requested again', async () => {
    const guard = createListGuard('rooms', () => 0)
    const read = (ask: () => Promise<{ items: number }>) => guard.read('a.example', ask)
    assert.deepEqual(await read(() => Promise.resolve({ items: 5001 })), { items: 5001 })
    await assert.rejects(
      read(() => assert.fail('asked')),
      /listed 5001 rooms, more than the maximum of 5000/,
    )
  })
})

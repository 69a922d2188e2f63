import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import xml from '@xmpp/xml'
import { findDocumented } from '../../../src/catalogue/index.js'
import type { AlertsConfig } from '../../../src/config/read-config.js'
import { LinkError, NotHandledError, TimeoutError } from '../../../src/errors.js'
import {
  createDelivery,
  type AlertMessage,
  type DeliveryResult,
} from '../../../src/messaging/delivery.js'
import { getLabels } from '../../../src/metrics/labels.js'
import { createClock } from '../../support/clock.js'
import {
  createFakeLog,
  createFakeStream,
  errorFor,
  occupantPresence,
  reflectionOf,
  roomInfo,
  settle,
  stanzaError,
} from '../../support/messaging.js'

const ADMIN = 'admin@one.example'
const OTHER = 'other@one.example'
const ROOM = 'ops@rooms.example'
const OCCUPANT = `${ROOM}/alerts`
const TIMEOUT_MS = 20_000

function setup(changes: Partial<AlertsConfig> = {}) {
  const clock = createClock()
  const stream = createFakeStream()
  const log = createFakeLog()
  let config: AlertsConfig | undefined = {
    server: 'main',
    to: [ADMIN],
    rooms: [],
    nick: 'alerts',
    token: 'token',
    template: undefined,
    correctResolved: false,
    ...changes,
  }
  const delivery = createDelivery({
    client: stream.client,
    config: () => config,
    log: log.log,
    now: clock.now,
    schedule: clock.schedule,
  })
  delivery.applyConfig()

  const deliver = (key = 'key', options: Omit<AlertMessage, 'key' | 'text'> = {}) =>
    delivery.deliver({ key, text: `text of ${key}`, ...options }, TIMEOUT_MS)
  const pong = () => {
    stream.request().answer()
  }
  /** Lets the room exist and the exporter be in it. */
  const enterRoom = async (jid = ROOM) => {
    stream.request(jid).answer(roomInfo())
    await settle()
    delivery.handle(occupantPresence(`${jid}/alerts`, ['110']))
    stream.take()
  }
  /** Lets the room show the message that is being delivered, and checks that it has arrived. */
  const arrives = async (result: Promise<DeliveryResult>) => {
    await settle()
    delivery.handle(reflectionOf(stream.take()[0]!, OCCUPANT))
    assert.deepEqual((await result).delivered, [ROOM])
  }
  const countUnreached = () =>
    delivery.getFamilies().find(({ name }) => name.endsWith('unreached_recipients'))?.values[0]
  const counts = () => {
    const messages = delivery.getFamilies().find(({ name }) => name.endsWith('messages'))!
    return Object.fromEntries(
      Array.from(messages.values, (value, row) => [
        getLabels(messages.labels, row).replace(/.*"(.*)"/, '$1'),
        value,
      ]),
    )
  }
  const change = (next: Partial<AlertsConfig> | undefined) => {
    config = next && { ...config!, ...next }
    delivery.applyConfig()
  }
  return {
    ...{ clock, stream, log, delivery, deliver, pong, enterRoom, arrives },
    ...{ counts, countUnreached, change },
  }
}

const isPending = (result: DeliveryResult, to: string, reason: RegExp) => {
  assert.deepEqual(
    result.pending.map((each) => each.to),
    [to],
  )
  assert.match(result.pending[0]!.reason, reason)
}

describe('a person has received a message', () => {
  test('when the ping after it is answered, and not before', async () => {
    const { stream, deliver, pong, counts, delivery } = setup()
    const result = deliver()
    await settle()
    const [message] = stream.take()
    assert.equal(message?.attrs['to'], ADMIN)
    assert.equal(message.getChildText('body'), 'text of key')
    assert.equal(counts()['delivered'], 0)
    pong()
    assert.deepEqual(await result, { delivered: [ADMIN], rejected: [], pending: [] })
    assert.deepEqual(counts(), { delivered: 1, failed: 0, rejected: 0, unconfirmed: 0 })
    assert.equal(delivery.getFamilies().length, 2, 'no metric of rooms')
  })

  test('when the ping comes back or is refused, which proves the same', async () => {
    for (const error of [new NotHandledError('x'), stanzaError('service-unavailable')]) {
      const { stream, deliver } = setup()
      const result = deliver()
      await settle()
      stream.request().fail(error)
      assert.deepEqual((await result).delivered, [ADMIN])
    }
  })

  test('the messages of all people come before one ping', async () => {
    const { stream, deliver, pong } = setup({ to: [ADMIN, OTHER] })
    const result = deliver()
    await settle()
    assert.equal(stream.stanzas.length, 2)
    assert.equal(stream.countRequests(), 1)
    pong()
    assert.deepEqual((await result).delivered, [ADMIN, OTHER])
  })
})

describe('a person is pending', () => {
  const failures = [
    ['the stream is lost before the answer to the ping', new LinkError('the stream was lost')],
    ['the ping is not answered in time', new TimeoutError('no reply from stats.example')],
  ] as const
  for (const [what, error] of failures) {
    test(`when ${what}, and the next attempt repeats the message with the same id`, async () => {
      const { stream, deliver, pong, counts, log } = setup()
      const result = deliver()
      await settle()
      stream.request().fail(error)
      const reason =
        error instanceof LinkError ? /not connected to Prosody/ : new RegExp(error.message)
      isPending(await result, ADMIN, reason)
      const [first] = stream.take()
      const again = deliver()
      await settle()
      pong()
      assert.deepEqual((await again).delivered, [ADMIN])
      assert.equal(stream.take()[0]!.attrs['id'], first!.attrs['id'])
      assert.equal(counts()['failed'], 1)
      assert.equal(counts()['delivered'], 1)
      assert.match(log.take().join(), /^warn: A message has not reached a recipient/)
    })
  }

  test('without a stream', async () => {
    const { stream, deliver } = setup()
    stream.disconnect()
    isPending(await deliver(), ADMIN, /not connected to Prosody/)
  })

  test('when the error of its server is temporary', async () => {
    const { stream, delivery, deliver, pong } = setup()
    const result = deliver()
    await settle()
    delivery.handle(errorFor(stream.take()[0]!, 'resource-constraint', 'wait'))
    pong()
    isPending(await result, ADMIN, /resource-constraint/)
  })

  test('when its server cannot be reached at the moment, although the error type is cancel', async () => {
    const { stream, delivery, deliver, pong } = setup()
    const result = deliver()
    await settle()
    delivery.handle(errorFor(stream.take()[0]!, 'remote-server-not-found'))
    pong()
    isPending(await result, ADMIN, /cannot connect to the server of the recipient/)
  })
})

test('with too little time left, no message is sent', async () => {
  const { stream, deliver, enterRoom, clock } = setup({ rooms: [ROOM] })
  await enterRoom()
  for (const key of ['1', '2', '3', '4']) void deliver(key)
  await settle()
  stream.take()
  const fifth = deliver('5')
  clock.advance(TIMEOUT_MS)
  assert.deepEqual(
    (await fifth).pending.map(({ reason }) => reason),
    [ADMIN, ROOM].map(() => 'earlier alerts are still being delivered.'),
  )
  await settle()
  const bodies = stream.take().map((stanza) => stanza.getChildText('body'))
  assert.ok(!bodies.includes('text of 5'), bodies.join())
})

describe('a permanent error of one recipient', () => {
  const cases = [
    ['service-unavailable', 'cancel', /no such user/],
    ['item-not-found', 'cancel', /no such user/],
    ['forbidden', 'auth', /Remove the block/],
    ['not-allowed', 'cancel', /answered not-allowed/],
    ['policy-violation', 'modify', /a rule of the server/],
  ] as const
  for (const [condition, type, reason] of cases) {
    test(`${condition} is logged once and does not block the others`, async () => {
      const { stream, delivery, deliver, pong, counts, log } = setup({ to: [ADMIN, OTHER] })
      for (const key of ['1', '2']) {
        const result = deliver(key)
        await settle()
        const messages = stream.take()
        assert.equal(delivery.handle(errorFor(messages[1]!, condition, type)), true)
        pong()
        const { delivered, rejected, pending } = await result
        assert.deepEqual([delivered, pending], [[ADMIN], []])
        assert.equal(rejected[0]?.to, OTHER)
        assert.match(rejected[0].reason, reason)
      }
      assert.equal(counts()['rejected'], 2)
      const lines = log.take()
      assert.equal(lines.length, 1, lines.join('\n'))
      assert.match(lines[0]!, /^error: Cannot deliver alerts to recipient 2 of alerts\.to: /)
      assert.match(lines[0]!, reason)
    })
  }

  test('of a client of the recipient changes nothing, because the client has the message', async () => {
    const { stream, delivery, deliver, pong, log } = setup()
    const result = deliver()
    await settle()
    const error = errorFor(stream.take()[0]!, 'service-unavailable', 'cancel')
    error.attrs['from'] = `${ADMIN}/phone`
    assert.equal(delivery.handle(error), true)
    pong()
    assert.deepEqual(await result, { delivered: [ADMIN], rejected: [], pending: [] })
    assert.deepEqual(log.take(), [])
  })

  test('remains the first one, if the server answers twice', async () => {
    const { stream, delivery, deliver, pong } = setup()
    const result = deliver()
    await settle()
    const [message] = stream.take()
    delivery.handle(errorFor(message!, 'item-not-found'))
    delivery.handle(errorFor(message!, 'resource-constraint', 'wait'))
    pong()
    const { rejected, pending } = await result
    assert.match(rejected[0]!.reason, /no such user/)
    assert.deepEqual(pending, [])
  })

  test('is logged again when it changes, and its end is logged', async () => {
    const { stream, delivery, deliver, pong, log, clock } = setup()
    const attempt = async (key: string, condition: string | undefined) => {
      const result = deliver(key)
      await settle()
      const [message] = stream.take()
      if (condition !== undefined) delivery.handle(errorFor(message!, condition))
      pong()
      await result
      clock.advance(60_000)
    }
    await attempt('1', 'item-not-found')
    await attempt('2', 'not-allowed')
    await attempt('3', 'not-allowed')
    await attempt('4', undefined)
    await attempt('5', undefined)
    assert.deepEqual(
      log.take().map((line) => line.slice(0, 40)),
      [
        'error: Cannot deliver alerts to recipien',
        'error: Cannot deliver alerts to recipien',
        'info: Alerts reach recipient 1 of alerts',
      ],
    )
  })

  test('an error for another message, or from another sender, has no effect', async () => {
    const { stream, delivery, deliver, pong } = setup()
    const result = deliver()
    await settle()
    const [message] = stream.take()
    const wrongId = errorFor(message!, 'item-not-found')
    wrongId.attrs['id'] = 'other'
    assert.equal(delivery.handle(wrongId), false)
    const wrongSender = errorFor(message!, 'item-not-found')
    wrongSender.attrs['from'] = 'mallory@one.example'
    assert.equal(delivery.handle(wrongSender), false)
    const withoutSender = errorFor(message!, 'item-not-found')
    delete withoutSender.attrs['from']
    assert.equal(delivery.handle(withoutSender), false)
    pong()
    assert.deepEqual((await result).delivered, [ADMIN])
  })

  test('that arrives after the delivery takes it back', async () => {
    const { stream, delivery, deliver, pong, counts, countUnreached, log } = setup()
    const result = deliver()
    await settle()
    const [message] = stream.take()
    pong()
    await result
    delivery.handle(errorFor(message!, 'item-not-found'))
    assert.equal(counts()['rejected'], 1)
    assert.match(log.take()[0]!, /Cannot deliver alerts to recipient 1 of alerts\.to/)
    assert.equal(countUnreached(), 1)
    const again = deliver()
    await settle()
    assert.equal(stream.take().length, 1, 'the message is sent again')
    pong()
    await again
  })

  test('a temporary error that arrives after the delivery takes it back, and promises no repetition', async () => {
    const { stream, delivery, deliver, pong, counts, countUnreached, log } = setup()
    const result = deliver()
    await settle()
    const [message] = stream.take()
    pong()
    await result
    delivery.handle(errorFor(message!, 'remote-server-timeout', 'wait'))
    assert.equal(counts()['failed'], 1)
    assert.deepEqual(log.take(), ['warn: A message has not reached a recipient.'])
    assert.equal(countUnreached(), 1)
    const again = deliver()
    await settle()
    assert.equal(stream.take().length, 1, 'a repetition is sent')
    pong()
    await again
    assert.equal(countUnreached(), 0)
  })

  test('makes it an unreached recipient, until it receives a message or a reload removes it', async () => {
    const { stream, delivery, deliver, pong, countUnreached, change } = setup({
      to: [ADMIN, OTHER],
    })
    const send = async (key: string, rejecting: readonly string[]) => {
      const result = deliver(key)
      await settle()
      for (const message of stream.take()) {
        if (rejecting.includes(message.attrs['to']!)) {
          delivery.handle(errorFor(message, 'item-not-found'))
        }
      }
      pong()
      await result
    }
    assert.equal(countUnreached(), 0)
    await send('1', [ADMIN, OTHER])
    assert.equal(countUnreached(), 2)
    await send('2', [ADMIN])
    assert.equal(countUnreached(), 1)
    change({ to: [OTHER] })
    assert.equal(countUnreached(), 0)
    change({ to: [ADMIN, OTHER] })
    assert.equal(countUnreached(), 0)
  })

  test('a text with a character that XML forbids is rejected', async () => {
    const { stream, deliver, pong } = setup()
    stream.failToSend(new TypeError('<message/> has a character that XML forbids'))
    const result = deliver()
    await settle()
    pong()
    assert.deepEqual(
      (await result).rejected.map(({ to }) => to),
      [ADMIN],
    )
  })
})

describe('a recipient that cannot be reached for more than 5 minutes', () => {
  const MINUTE = 60_000

  /** Sends messages that do not reach OTHER, nor those in `unreachable`. */
  function setupOutage() {
    const parts = setup({ to: [ADMIN, OTHER] })
    const { stream, delivery, deliver, pong } = parts
    const send = async (
      key: string,
      unreachable = [OTHER],
      options: { group?: string } = { group: 'group' },
    ) => {
      const result = deliver(key, options)
      await settle()
      const messages = stream.take()
      for (const message of messages) {
        if (unreachable.includes(message.attrs['to']!)) {
          delivery.handle(errorFor(message, 'remote-server-not-found'))
        }
      }
      if (stream.countRequests() > 0) pong()
      const { delivered, rejected, pending } = await result
      const addresses = (list: typeof pending) => list.map(({ to }) => to)
      return {
        sentTo: messages.map(({ attrs }) => attrs['to']),
        ...{ delivered, rejected: addresses(rejected), pending: addresses(pending) },
      }
    }
    return { ...parts, send }
  }
  const GIVEN_UP = { delivered: [ADMIN], rejected: [OTHER], pending: [] }

  test('no longer holds back the confirmation, and is tried again with each new message', async () => {
    const { send, clock, counts, countUnreached, log } = setupOutage()
    const first = await send('1')
    assert.deepEqual([first.delivered, first.pending], [[ADMIN], [OTHER]])
    clock.advance(5 * MINUTE)
    assert.deepEqual((await send('1')).pending, [OTHER])
    assert.equal(countUnreached(), 0)
    log.take()
    clock.advance(1)
    assert.deepEqual(await send('1'), { sentTo: [OTHER], ...GIVEN_UP })
    assert.equal(countUnreached(), 1)
    assert.match(
      log.take().join(),
      /^error: Alerts have not reached recipient 2 of alerts\.to for 5 minutes, so Alertmanager no longer repeats them for it: Prosody cannot connect/,
    )
    assert.deepEqual(await send('1'), { sentTo: [OTHER], ...GIVEN_UP }, 'a reminder')
    clock.advance(24 * 60 * MINUTE)
    assert.deepEqual(await send('2'), { sentTo: [ADMIN, OTHER], ...GIVEN_UP })
    assert.deepEqual([counts()['failed'], counts()['rejected']], [5, 0])

    log.take()
    assert.deepEqual((await send('3', [])).delivered, [ADMIN, OTHER])
    assert.equal(countUnreached(), 0)
    assert.deepEqual(log.take(), ['info: Alerts reach recipient 2 of alerts.to again.'])
    assert.deepEqual((await send('4')).pending, [OTHER])
  })

  test('is pending in a test message, and stays so', async () => {
    const { send, clock, countUnreached } = setupOutage()
    for (const key of ['1', '2', '3']) {
      assert.deepEqual((await send(key, [OTHER], {})).pending, [OTHER])
      clock.advance(6 * MINUTE)
    }
    assert.equal(countUnreached(), 0)
  })

  test('holds it back while no recipient has the message, and is tried with each attempt', async () => {
    const { send, clock, countUnreached } = setupOutage()
    for (let i = 0; i < 3; i++) {
      const { pending } = await send('1', [ADMIN, OTHER])
      assert.deepEqual(pending, [ADMIN, OTHER])
      clock.advance(6 * MINUTE)
    }
    assert.equal(countUnreached(), 0)
    assert.deepEqual((await send('1')).pending, [OTHER], 'the time begins')
  })

  test('can have a short problem later: a problem long ago does not count', async () => {
    const { send, clock } = setupOutage()
    await send('1')
    clock.advance(60 * MINUTE + 1)
    assert.deepEqual((await send('2')).pending, [OTHER])
  })

  test('is not given up because the exporter has no stream', async () => {
    const { send, clock, stream, delivery } = setupOutage()
    await send('1')
    stream.disconnect()
    delivery.onLost()
    for (let i = 0; i < 3; i++) {
      clock.advance(3 * MINUTE)
      assert.deepEqual((await send('1')).pending, [OTHER])
    }
    stream.connect()
    delivery.onOnline()
    assert.deepEqual((await send('1')).pending, [OTHER])
  })

  test('is not given up because earlier alerts are still being delivered', async () => {
    const { send, clock, deliver, stream } = setupOutage()
    await send('1')
    clock.advance(5 * MINUTE)
    const running = ['a', 'b', 'c', 'd'].map((key) => deliver(key))
    const waiting = deliver('1', { group: 'group' })
    await settle()
    clock.advance(TIMEOUT_MS)
    isPending(await waiting, OTHER, /earlier alerts/)
    stream.disconnect()
    await Promise.all(running)
  })

  test('is not given up if a room shows the message while the exporter still waits for a person', async () => {
    const { stream, delivery, deliver, pong, enterRoom, clock, countUnreached } = setup({
      rooms: [ROOM],
    })
    await enterRoom()
    const first = deliver('1')
    await settle()
    pong()
    await settle()
    clock.advance(TIMEOUT_MS)
    isPending(await first, ROOM, /has not sent the message/)
    clock.advance(5 * MINUTE + 1)
    stream.take()
    const second = deliver('2')
    await settle()
    const toRoom = stream.take().find(({ attrs }) => attrs['type'] === 'groupchat')!
    clock.advance(TIMEOUT_MS)
    await settle()
    delivery.handle(reflectionOf(toRoom, OCCUPANT))
    pong()
    isPending(await second, ROOM, /has not sent the message/)
    assert.equal(countUnreached(), 0)
    assert.deepEqual((await deliver('2')).delivered, [ADMIN, ROOM])
  })

  test('is forgotten when a reload removes it', async () => {
    const { send, clock, change } = setupOutage()
    await send('1')
    clock.advance(6 * MINUTE)
    change({ to: [ADMIN] })
    change({ to: [ADMIN, OTHER] })
    assert.deepEqual((await send('1')).pending, [OTHER])
  })
})

describe('a repeated message', () => {
  test('goes only to recipients that have not received it', async () => {
    const { stream, delivery, deliver, pong } = setup({ to: [ADMIN, OTHER] })
    const first = deliver()
    await settle()
    delivery.handle(errorFor(stream.take()[1]!, 'resource-constraint', 'wait'))
    pong()
    assert.deepEqual((await first).delivered, [ADMIN])
    const again = deliver()
    await settle()
    const messages = stream.take()
    assert.deepEqual(
      messages.map(({ attrs }) => attrs['to']),
      [OTHER],
    )
    pong()
    assert.deepEqual((await again).delivered, [ADMIN, OTHER])
    assert.deepEqual((await deliver()).delivered, [ADMIN, OTHER])
    assert.deepEqual(stream.take(), [])
  })

  test('is a new message after the next message of its group, if everybody had it', async () => {
    const { stream, deliver, pong } = setup()
    for (const key of [
      'firing',
      'firing',
      'resolved',
      'resolved',
      'firing',
      'firing',
      'resolved',
    ]) {
      const result = deliver(key, { group: 'g' })
      await settle()
      if (stream.countRequests() > 0) pong()
      assert.deepEqual((await result).delivered, [ADMIN])
    }
    const messages = stream.take()
    assert.deepEqual(
      messages.map((message) => message.getChildText('body')),
      ['firing', 'resolved', 'firing', 'resolved'].map((key) => `text of ${key}`),
    )
    assert.equal(new Set(messages.map(({ attrs }) => attrs['id'])).size, 4)
  })

  test('is not sent again to those who have it, if a recipient is missing, also after the next message of its group', async () => {
    const { stream, delivery, deliver, pong } = setup({ to: [ADMIN, OTHER] })
    const send = async (key: string, { isOtherReached = true } = {}) => {
      const result = deliver(key, { group: 'g' })
      await settle()
      const messages = stream.take()
      const toOther = messages.find(({ attrs }) => attrs['to'] === OTHER)
      if (!isOtherReached) delivery.handle(errorFor(toOther!, 'resource-constraint', 'wait'))
      pong()
      await result
      return messages.map(({ attrs }) => attrs['to'])
    }
    assert.deepEqual(await send('1', { isOtherReached: false }), [ADMIN, OTHER])
    assert.deepEqual(await send('2'), [ADMIN, OTHER])
    assert.deepEqual(await send('1'), [OTHER])
  })

  test('does not go to recipients that have rejected it, if another recipient has received it', async () => {
    const third = 'third@one.example'
    const { stream, delivery, deliver, pong, counts } = setup({ to: [ADMIN, OTHER, third] })
    const first = deliver()
    await settle()
    const messages = stream.take()
    delivery.handle(errorFor(messages[1]!, 'item-not-found'))
    delivery.handle(errorFor(messages[2]!, 'resource-constraint', 'wait'))
    pong()
    const { rejected } = await first
    const again = deliver()
    await settle()
    assert.deepEqual(
      stream.take().map(({ attrs }) => attrs['to']),
      [third],
    )
    pong()
    assert.deepEqual(await again, { delivered: [ADMIN, third], rejected, pending: [] })
    assert.equal(counts()['rejected'], 1)
  })

  test('goes to all recipients if all have rejected it, and the same rejection is counted once', async () => {
    const { stream, delivery, deliver, pong, counts } = setup({ to: [ADMIN, OTHER] })
    for (let i = 0; i < 3; i++) {
      const result = deliver()
      await settle()
      for (const message of stream.take()) delivery.handle(errorFor(message, 'item-not-found'))
      pong()
      assert.equal((await result).rejected.length, 2)
    }
    assert.equal(counts()['rejected'], 2)
    const last = deliver()
    await settle()
    assert.equal(stream.take().length, 2)
    pong()
    assert.deepEqual((await last).delivered, [ADMIN, OTHER])
    assert.equal(counts()['delivered'], 2)
    const all = { delivered: [ADMIN, OTHER], rejected: [], pending: [] }
    assert.deepEqual(await deliver(), all, 'the rejections are over')
  })

  test('joins the running delivery', async () => {
    const { stream, deliver, pong } = setup()
    const both = [deliver(), deliver()]
    await settle()
    assert.equal(stream.take().length, 1)
    pong()
    for (const result of await Promise.all(both)) assert.deepEqual(result.delivered, [ADMIN])
  })

  test('of another group or with another key is another message', async () => {
    const { stream, deliver, pong } = setup()
    const all = [
      deliver('1', { group: 'a' }),
      deliver('1', { group: 'b' }),
      deliver('2', { group: 'a' }),
    ]
    await settle()
    assert.equal(stream.take().length, 3)
    for (let i = 0; i < 3; i++) pong()
    await Promise.all(all)
  })
})

describe('a correction', () => {
  test('replaces the previous message of its group, for those who have received it', async () => {
    const { stream, delivery, deliver, pong } = setup({ to: [ADMIN, OTHER] })
    const first = deliver('firing', { group: 'g', firingAlerts: 'A' })
    await settle()
    const firing = stream.take()
    delivery.handle(errorFor(firing[1]!, 'resource-constraint', 'wait'))
    pong()
    await first
    const second = deliver('resolved', { group: 'g', corrects: 'A' })
    await settle()
    const replaced = stream.take().map((each) => each.getChild('replace')?.attrs['id'])
    assert.deepEqual(replaced, [firing[0]!.attrs['id'], undefined])
    pong()
    await second
  })

  test('replaces the previous message, also if it is repeated', async () => {
    const { stream, delivery, deliver, pong } = setup({ to: [ADMIN, OTHER] })
    const firing = deliver('firing', { group: 'g', firingAlerts: 'A' })
    await settle()
    const [, toOther] = stream.take()
    pong()
    await firing
    const correct = () => deliver('resolved', { group: 'g', corrects: 'A' })
    const first = correct()
    await settle()
    delivery.handle(errorFor(stream.take()[1]!, 'resource-constraint', 'wait'))
    pong()
    await first
    const again = correct()
    await settle()
    const [message, ...others] = stream.take()
    assert.deepEqual(others, [])
    assert.equal(message?.getChild('replace')?.attrs['id'], toOther!.attrs['id'])
    pong()
    await again
  })

  test('of other alerts than the previous message of its group reports is an ordinary message', async () => {
    const { stream, deliver, pong } = setup()
    const send = async (key: string, fields: Omit<AlertMessage, 'key' | 'text'>) => {
      const result = deliver(key, { group: 'g', ...fields })
      await settle()
      pong()
      await result
      return stream.take()[0]!.getChild('replace')
    }
    await send('A fires', { firingAlerts: 'A' })
    assert.equal(await send('B and A are resolved', { corrects: 'AB' }), undefined)
    // The previous message is a resolution now.
    assert.equal(await send('A is resolved', { corrects: 'A' }), undefined)
    await send('A is resolved, B fires', {})
    assert.equal(await send('B is resolved', { corrects: 'B' }), undefined)
  })

  test('without a previous message is an ordinary message', async () => {
    const { stream, deliver, pong } = setup()
    const result = deliver('resolved', { group: 'g', corrects: 'A' })
    await settle()
    assert.equal(stream.take()[0]!.getChild('replace'), undefined)
    pong()
    await result
  })
})

describe('a room has received a message', () => {
  const rooms = { to: [], rooms: [ROOM] }

  test('when it reflects the message from the own occupant, by id or origin-id', async () => {
    for (const id of [undefined, 'changed-by-the-room']) {
      const { stream, delivery, deliver, enterRoom } = setup(rooms)
      await enterRoom()
      const result = deliver()
      await settle()
      const [message] = stream.take()
      assert.equal(message?.attrs['type'], 'groupchat')
      assert.equal(message.attrs['from'], 'alerts@stats.example/exporter')
      assert.equal(delivery.handle(reflectionOf(message, OCCUPANT, id)), true)
      assert.deepEqual(await result, { delivered: [ROOM], rejected: [], pending: [] })
      assert.equal(stream.countRequests(), 0, 'a room needs no ping')
    }
  })

  test('not when another occupant sends a message with this id', async () => {
    const { stream, delivery, deliver, enterRoom, clock } = setup(rooms)
    await enterRoom()
    const result = deliver()
    await settle()
    const [message] = stream.take()
    delivery.handle(reflectionOf(message!, `${ROOM}/mallory`))
    delivery.handle(xml('message', { from: OCCUPANT, type: 'groupchat', id: 'other' }))
    await settle()
    clock.advance(TIMEOUT_MS)
    isPending(await result, ROOM, /has not sent the message to its occupants/)
  })

  test('also when another occupant answers to the message with an error', async () => {
    for (const condition of ['not-acceptable', 'forbidden']) {
      const { stream, delivery, deliver, enterRoom } = setup(rooms)
      await enterRoom()
      const result = deliver()
      await settle()
      const [message] = stream.take()
      const forged = errorFor(message!, condition)
      forged.attrs['from'] = `${ROOM}/mallory`
      assert.equal(delivery.handle(forged), true)
      assert.equal(stream.countRequests(), 0, 'the exporter does not join again')
      delivery.handle(reflectionOf(message!, OCCUPANT))
      assert.deepEqual((await result).delivered, [ROOM])
    }
  })

  test('when the reflection arrives after the end of the attempt, and the next attempt does not send it', async () => {
    const { stream, delivery, deliver, enterRoom, clock, counts } = setup(rooms)
    await enterRoom()
    const result = deliver()
    await settle()
    const [message] = stream.take()
    clock.advance(TIMEOUT_MS)
    await result
    delivery.handle(reflectionOf(message!, OCCUPANT))
    delivery.handle(reflectionOf(message!, OCCUPANT))
    assert.deepEqual((await deliver()).delivered, [ROOM])
    assert.deepEqual(stream.take(), [])
    assert.equal(counts()['delivered'], 1)
    assert.equal(counts()['failed'], 1)
  })

  test('a message waits until the exporter has joined the room', async () => {
    const { stream, deliver, enterRoom, arrives } = setup(rooms)
    const result = deliver()
    await settle()
    assert.deepEqual(stream.take(), [])
    await enterRoom()
    await arrives(result)
  })

  test('a slow room does not delay the confirmation for people', async () => {
    const { stream, deliver, pong, enterRoom, counts, clock } = setup({ rooms: [ROOM] })
    await enterRoom()
    const result = deliver()
    await settle()
    assert.equal(stream.take().length, 2)
    pong()
    await settle()
    assert.equal(counts()['delivered'], 1)
    clock.advance(TIMEOUT_MS)
    const { delivered, pending } = await result
    assert.deepEqual([delivered, pending.map(({ to }) => to)], [[ADMIN], [ROOM]])
  })
})

describe('a room has not received a message', () => {
  const rooms = { to: [], rooms: [ROOM] }

  test('is pending while the exporter is not connected, or the room does not answer', async () => {
    const offline = setup(rooms)
    offline.stream.disconnect()
    offline.delivery.onLost()
    isPending(await offline.deliver(), ROOM, /not connected to Prosody/)
    const silent = setup(rooms)
    const result = silent.deliver()
    await settle()
    silent.clock.advance(TIMEOUT_MS)
    isPending(await result, ROOM, /has not answered yet/)
  })

  test('is pending immediately while a server that did not answer is asked again, until it answers', async () => {
    const { clock, deliver, delivery, stream, enterRoom, arrives } = setup(rooms)
    clock.advance(30_000)
    // The message causes another attempt to join, but does not wait for it.
    for (const key of ['1', '2']) isPending(await deliver(key), ROOM, /does not answer/)
    assert.equal(stream.countRequests(), 2)
    stream.request(ROOM)
    await enterRoom()
    const result = deliver('joined')
    await arrives(result)

    delivery.handle(occupantPresence(OCCUPANT, ['110', '332'], { type: 'unavailable' }))
    clock.advance(10_000)
    const waiting = deliver('joining again')
    await enterRoom()
    await arrives(waiting)
  })

  test('waits again for a silent server after a new login', async () => {
    const { clock, deliver, delivery, stream, enterRoom, arrives } = setup(rooms)
    clock.advance(35_000)
    stream.disconnect()
    delivery.onLost()
    stream.connect()
    delivery.onOnline()
    const result = deliver()
    await settle()
    await enterRoom()
    await arrives(result)
  })

  test('is pending when the room removes the exporter before it reflects the message', async () => {
    const { delivery, deliver, enterRoom } = setup(rooms)
    await enterRoom()
    const result = deliver()
    await settle()
    delivery.handle(occupantPresence(OCCUPANT, ['110', '307'], { type: 'unavailable' }))
    isPending(await result, ROOM, /left the room before/)
  })

  test('is pending when the room changes the nickname of the exporter before it reflects the message', async () => {
    const { delivery, deliver, enterRoom } = setup(rooms)
    await enterRoom()
    const result = deliver()
    await settle()
    delivery.handle(occupantPresence(`${ROOM}/renamed`, ['110']))
    isPending(await result, ROOM, /left the room before/)
  })

  test('a late error does not make the exporter join before the pause after a kick ends', async () => {
    const { stream, delivery, deliver, enterRoom } = setup(rooms)
    await enterRoom()
    const result = deliver()
    await settle()
    const [message] = stream.take()
    delivery.handle(occupantPresence(OCCUPANT, ['110', '307'], { type: 'unavailable' }))
    await result
    delivery.handle(errorFor(message!, 'not-acceptable'))
    assert.equal(stream.countRequests(), 0)
  })

  test('is pending when the stream is lost before the reflection', async () => {
    const { delivery, deliver, enterRoom, stream } = setup(rooms)
    await enterRoom()
    const result = deliver()
    await settle()
    stream.disconnect()
    delivery.onLost()
    isPending(await result, ROOM, /left the room before/)
  })

  test('is pending when the message cannot be written', async () => {
    const { deliver, enterRoom, stream } = setup(rooms)
    await enterRoom()
    stream.disconnect()
    isPending(await deliver(), ROOM, /not connected to Prosody/)
  })

  test('is rejected when the exporter may not join, which is logged once', async () => {
    const { stream, delivery, deliver, log, counts } = setup(rooms)
    stream.request(ROOM).answer(roomInfo())
    await settle()
    delivery.handle(errorFor(stream.take()[0]!, 'forbidden', 'auth'))
    for (const key of ['1', '2']) {
      const { rejected, pending } = await deliver(key)
      assert.deepEqual(pending, [])
      assert.match(rejected[0]!.reason, /banned/)
    }
    assert.equal(counts()['rejected'], 2)
    const lines = log.take()
    assert.equal(lines.length, 1, lines.join('\n'))
    assert.match(lines[0]!, /^error: The exporter is not in room 1 of alerts\.rooms: .*banned/)
  })

  test('a message causes a new attempt to join, if the last one is 30 seconds ago', async () => {
    const { stream, deliver, enterRoom, clock, arrives } = setup(rooms)
    for (let i = 0; i < 4; i++) {
      stream.request(ROOM).fail(stanzaError('item-not-found'))
      await settle()
      // The pause after the fourth attempt is 40 s.
      if (i < 3) clock.advance(clock.nextMs())
      await settle()
    }
    clock.advance(30_000)
    const result = deliver()
    await settle()
    await enterRoom()
    await arrives(result)
  })

  test('is rejected when the exporter has no voice in a moderated room', async () => {
    const { stream, delivery, deliver, enterRoom, log } = setup(rooms)
    await enterRoom()
    log.take()
    const result = deliver()
    await settle()
    delivery.handle(errorFor(stream.take()[0]!, 'forbidden', 'auth'))
    assert.match((await result).rejected[0]!.reason, /Grant voice/)
    assert.match(log.take()[0]!, /^error: Cannot deliver alerts to room 1 of alerts\.rooms: /)
  })

  test('the exporter joins again when the room answers that it is not in it', async () => {
    for (const condition of ['not-acceptable', 'item-not-found', 'gone']) {
      const { stream, delivery, deliver, enterRoom } = setup(rooms)
      await enterRoom()
      const result = deliver()
      await settle()
      const [message] = stream.take()
      delivery.handle(errorFor(message!, condition))
      isPending(await result, ROOM, /not in it/)
      const again = deliver()
      await enterRoom()
      await settle()
      const [repeated] = stream.take()
      assert.equal(repeated?.attrs['id'], message!.attrs['id'])
      delivery.handle(reflectionOf(repeated!, OCCUPANT))
      assert.deepEqual((await again).delivered, [ROOM])
    }
  })
})

describe('stanzas', () => {
  test('the conversation and the presence of a room are ignored, and requests are not', async () => {
    const { delivery, enterRoom, stream } = setup({ to: [], rooms: [ROOM] })
    await enterRoom()
    const from = `${ROOM}/someone`
    const body = xml('body', {}, 'help')
    assert.equal(delivery.handle(xml('message', { from, type: 'groupchat' }, body)), true)
    assert.equal(delivery.handle(xml('message', { from, type: 'chat' }, body)), true)
    assert.equal(delivery.handle(xml('message', { from: ROOM }, body)), true)
    assert.equal(delivery.handle(xml('presence', { from })), true)
    assert.equal(delivery.handle(xml('iq', { from, type: 'get', id: '1' })), false)
    assert.deepEqual(stream.take(), [])
  })

  test('messages and presence of others are for other parts of the exporter', () => {
    const { delivery } = setup()
    const body = xml('body', {}, 'help')
    assert.equal(
      delivery.handle(xml('message', { from: `${ADMIN}/phone`, type: 'chat' }, body)),
      false,
    )
    assert.equal(delivery.handle(xml('presence', { from: `${ADMIN}/phone` })), false)
    assert.equal(delivery.handle(xml('message', {}, body)), false)
  })

  describe('a receipt', () => {
    function setupReceipts() {
      const parts = setup()
      const { stream, delivery, deliver, pong } = parts
      const receive = async (key: string, condition?: string) => {
        const result = deliver(key)
        await settle()
        const [message] = stream.take()
        if (condition !== undefined) delivery.handle(errorFor(message!, condition))
        pong()
        await result
        return message!.attrs['id']!
      }
      const receipt = (id: string, from = `${ADMIN}/phone`) =>
        xml('message', { from }, xml('received', { xmlns: 'urn:xmpp:receipts', id }))
      return { ...parts, receive, receipt }
    }

    test('of a client that sends receipts is counted as unconfirmed if it is missing', async () => {
      const { delivery, counts, clock, receive, receipt } = setupReceipts()
      assert.equal(delivery.handle(receipt(await receive('1'))), true)
      await receive('2')
      assert.equal(delivery.handle(receipt(await receive('3'))), true)
      assert.equal(delivery.handle(receipt('x', 'mallory@one.example/x')), false)
      clock.advance(600_000)
      assert.equal(counts()['unconfirmed'], 1)
      assert.equal(counts()['delivered'], 3)
    })

    test('is not expected for a message that was rejected', async () => {
      const { delivery, counts, clock, receive, receipt } = setupReceipts()
      delivery.handle(receipt(await receive('1')))
      await receive('2', 'not-allowed')
      clock.advance(600_000)
      assert.equal(counts()['unconfirmed'], 0)
    })

    test('is not expected after a reload that removed the recipient', async () => {
      const { delivery, counts, clock, receive, receipt, change } = setupReceipts()
      delivery.handle(receipt(await receive('1')))
      change({ to: [OTHER] })
      change({ to: [ADMIN] })
      await receive('2')
      clock.advance(600_000)
      assert.equal(counts()['unconfirmed'], 0)
    })
  })

  test('a receipt with a text is also for other parts of the exporter', () => {
    const { delivery } = setup()
    const children = [
      xml('received', { xmlns: 'urn:xmpp:receipts', id: 'x' }),
      xml('body', {}, 'help'),
    ]
    assert.equal(delivery.handle(xml('message', { from: ADMIN }, ...children)), false)
  })
})

describe('limits and the end', () => {
  test('four deliveries run at the same time, in the order of the calls', async () => {
    const { stream, deliver, pong } = setup()
    const all = ['1', '2', '3', '4', '5', '6'].map((key) => deliver(key))
    await settle()
    const texts = () => stream.take().map((each) => each.getChildText('body'))
    assert.deepEqual(
      texts(),
      ['1', '2', '3', '4'].map((key) => `text of ${key}`),
    )
    pong()
    await settle()
    assert.deepEqual(texts(), ['text of 5'])
    for (let i = 0; i < 5; i++) {
      pong()
      await settle()
    }
    for (const result of await Promise.all(all)) assert.deepEqual(result.delivered, [ADMIN])
  })

  test('a delivery that has no turn in time is pending', async () => {
    const { stream, deliver, clock, counts } = setup()
    const running = ['1', '2', '3', '4'].map((key) => deliver(key))
    const waiting = deliver('5')
    await settle()
    // The other half of the time would be for the delivery.
    clock.advance(TIMEOUT_MS / 2)
    isPending(await waiting, ADMIN, /earlier alerts/)
    assert.equal(counts()['failed'], 1)
    stream.disconnect()
    await Promise.all(running)
  })

  test('stop lets running deliveries end, then leaves the rooms, and starts no more deliveries', async () => {
    const { stream, delivery, deliver, pong, enterRoom } = setup({ rooms: [ROOM] })
    await enterRoom()
    const running = deliver()
    await settle()
    const [, message] = stream.take()
    delivery.stop()
    const result = await deliver('later')
    assert.match(result.pending[0]!.reason, /is stopping/)
    pong()
    await settle()
    assert.deepEqual(stream.take(), [], 'still in the room')
    delivery.handle(reflectionOf(message!, OCCUPANT))
    assert.deepEqual((await running).delivered, [ADMIN, ROOM])
    await settle()
    assert.equal(stream.take()[0]?.attrs['type'], 'unavailable')
    await delivery.close()
  })

  test('stop ends deliveries that wait for their turn', async () => {
    const { stream, delivery, deliver } = setup()
    const all = ['1', '2', '3', '4', '5'].map((key) => deliver(key))
    await settle()
    delivery.stop()
    isPending(await all[4]!, ADMIN, /is stopping/)
    stream.disconnect()
    await Promise.all(all)
  })

  test('close ends a delivery that waits for a room', async () => {
    const { delivery, deliver, clock } = setup({ to: [], rooms: [ROOM] })
    const result = deliver()
    await settle()
    delivery.stop()
    await delivery.close()
    isPending(await result, ROOM, /not connected/)
    assert.equal(clock.pending(), 0)
  })
})

describe('a reload', () => {
  test('changes the recipients', async () => {
    const { stream, deliver, pong, change } = setup()
    change({ to: [OTHER] })
    const result = deliver()
    await settle()
    assert.equal(stream.take()[0]!.attrs['to'], OTHER)
    pong()
    assert.deepEqual((await result).delivered, [OTHER])
  })

  test('joins new rooms, leaves removed ones, and does not touch the others', async () => {
    const { stream, delivery, enterRoom, change } = setup({ rooms: [ROOM] })
    await enterRoom()
    change({ rooms: [ROOM, 'new@rooms.example'] })
    assert.equal(stream.countRequests(), 1)
    await enterRoom('new@rooms.example')
    change({ rooms: ['new@rooms.example'] })
    const [leave, ...others] = stream.take()
    assert.equal(leave?.attrs['to'], OCCUPANT)
    assert.equal(leave.attrs['type'], 'unavailable')
    assert.deepEqual(others, [])
    assert.equal(stream.countRequests(), 0)
    const family = delivery.getFamilies().find(({ name }) => name.endsWith('_rooms'))
    assert.deepEqual([...family!.values], [1, 0])
  })

  test('without a stream leaves removed rooms after the next login, before it joins the others', async () => {
    const { stream, delivery, enterRoom, change } = setup({ rooms: [ROOM] })
    await enterRoom()
    stream.disconnect()
    delivery.onLost()
    change({ rooms: [] })
    change({ rooms: [ROOM], nick: 'bot' })
    assert.deepEqual(stream.take(), [])
    stream.connect()
    delivery.onOnline()
    const [leave, ...others] = stream.take()
    assert.deepEqual([leave?.attrs['to'], leave?.attrs['type']], [OCCUPANT, 'unavailable'])
    assert.deepEqual(others, [])
    await enterRoom()
    delivery.onOnline()
    assert.deepEqual(stream.take(), [], 'left once')
  })

  test('with another nickname leaves the room and joins it again', async () => {
    const { stream, delivery, enterRoom, change } = setup({ rooms: [ROOM] })
    await enterRoom()
    change({ nick: 'bot' })
    assert.equal(stream.take()[0]?.attrs['to'], OCCUPANT)
    stream.request(ROOM).answer(roomInfo())
    await settle()
    assert.equal(stream.take()[0]?.attrs['to'], `${ROOM}/bot`)
    // The room confirms that the exporter has left under its old nickname.
    delivery.handle(occupantPresence(OCCUPANT, ['110'], { type: 'unavailable' }))
    delivery.handle(occupantPresence(`${ROOM}/bot`, ['110']))
    const family = delivery.getFamilies().find(({ name }) => name.endsWith('_rooms'))
    assert.deepEqual([...family!.values], [1, 0])
  })

  test('that removes a recipient during the delivery to it, is clear from the log', async () => {
    const { stream, delivery, deliver, pong, change, log, countUnreached } = setup()
    const result = deliver()
    await settle()
    change({ to: [OTHER] })
    delivery.handle(errorFor(stream.take()[0]!, 'item-not-found'))
    pong()
    await result
    assert.match(log.take()[0]!, /alerts to a recipient that the configuration no longer has: /)
    assert.equal(countUnreached(), 0)
  })

  test('that removes the recipients makes each delivery pending', async () => {
    const { deliver, change } = setup()
    change(undefined)
    assert.match((await deliver()).pending[0]!.reason, /no recipients/)
  })
})

test('the metrics are documented with their HELP texts', () => {
  const { delivery } = setup({ rooms: [ROOM] })
  const families = delivery.getFamilies()
  assert.equal(families.length, 3)
  for (const { name, help, type } of families) {
    const known = findDocumented(name)
    assert.equal(known?.meaning, help, name)
    assert.equal(known.type, type)
  }
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createDeliveredMessages } from '../../../src/messaging/delivered-messages.js'
import { createClock } from '../../support/clock.js'

const HOUR = 3_600_000

function setup(recipients = 1) {
  const clock = createClock()
  const messages = createDeliveredMessages({ now: clock.now, countRecipients: () => recipients })
  return { clock, messages }
}

test('a repeated message has the same recipients and the same id as in the first attempt', () => {
  const { messages } = setup()
  const first = messages.open('group', 'key')
  first.received.add('a@one.example')
  const again = messages.open('group', 'key')
  assert.deepEqual([...again.received], ['a@one.example'])
  assert.equal(again.idFor('a@one.example'), first.idFor('a@one.example'))
  assert.notEqual(again.idFor('a@one.example'), first.idFor('b@one.example'))
})

test('a message without a confirmation that is repeated after the next one of its group is the same message', () => {
  const { messages } = setup()
  const first = messages.open('group', '1')
  const second = messages.open('group', '2')
  assert.equal(messages.open('group', '1'), first)
  assert.equal(messages.open('group', '2'), second)
})

test('a confirmed message is the same message until the group has another one, and new after it', () => {
  const { messages } = setup()
  const first = messages.open('group', 'firing')
  first.received.add('a@one.example')
  first.isConfirmed = true
  messages.open('other', 'firing')
  assert.equal(messages.open('group', 'firing'), first)
  const resolution = messages.open('group', 'resolved')
  resolution.isConfirmed = true
  const again = messages.open('group', 'firing')
  assert.equal(again.received.size, 0)
  assert.notEqual(again.idFor('a@one.example'), first.idFor('a@one.example'))
  assert.equal(again.previous?.received, resolution.received)
  assert.equal(messages.open('group', 'firing'), again)
  assert.notEqual(messages.open('group', 'resolved'), resolution)
})

test('a message that was never confirmed is new, if it comes 15 minutes after its last attempt and another one of its group', () => {
  const { messages, clock } = setup()
  const first = messages.open('group', '1')
  clock.advance(14 * 60_000)
  assert.equal(messages.open('group', '1'), first)
  messages.open('group', '2').isConfirmed = true
  clock.advance(15 * 60_000)
  assert.equal(messages.open('group', '1'), first)
  messages.open('group', '3').isConfirmed = true
  clock.advance(15 * 60_000 + 1)
  assert.notEqual(messages.open('group', '1'), first)
})

test('a late repetition is the last message of its group, so a confirmed message after it is new', () => {
  const { messages } = setup()
  const first = messages.open('group', '1')
  const second = messages.open('group', '2')
  second.isConfirmed = true
  assert.equal(messages.open('group', '1'), first)
  assert.notEqual(messages.open('group', '2'), second)
})

test('a message that is new again is the youngest one', () => {
  const { messages } = setup()
  messages.open('group', '1').isConfirmed = true
  messages.open('group', '2')
  const again = messages.open('group', '1')
  for (let i = 3; i < 10_002; i++) messages.open('group', `${i}`)
  assert.equal(messages.open('group', '1'), again)
})

test('a repeated message has the same previous message as in the first attempt, never itself', () => {
  const { messages } = setup()
  const [first, second] = [messages.open('group', '1'), messages.open('group', '2')]
  for (const key of ['1', '2', '1', '2']) messages.open('group', key)
  assert.equal(messages.open('group', '1').previous, undefined)
  assert.equal(messages.open('group', '2').previous?.received, first.received)
  assert.equal(messages.open('group', '3').previous?.received, second.received)
})

test('a message has no previous message when the memory of the whole group has ended', () => {
  const { clock, messages } = setup()
  messages.open('group', '1')
  clock.advance(24 * HOUR)
  assert.equal(messages.open('group', '1').previous, undefined)
})

test('a message knows who received the previous message of its group, but not earlier ones', () => {
  const { messages } = setup()
  const first = messages.open('group', '1')
  first.received.add('a@one.example')
  const second = messages.open('group', '2')
  assert.equal(second.previous?.idFor('a@one.example'), first.idFor('a@one.example'))
  assert.ok(second.previous.received.has('a@one.example'))
  assert.equal(messages.open('other', '1').previous, undefined)
  const third = messages.open('group', '3')
  assert.equal(third.previous?.received, second.received)
  assert.equal((third.previous as { previous?: unknown }).previous, undefined)
})

test('a message is remembered for 24 hours after its first attempt, even if it is repeated', () => {
  const { clock, messages } = setup()
  messages.open('group', 'key').received.add('a@one.example')
  clock.advance(24 * HOUR - 1)
  assert.equal(messages.open('group', 'key').received.size, 1)
  clock.advance(1)
  assert.equal(messages.open('group', 'key').received.size, 0)
})

test('the memory holds 10,000 messages and forgets the oldest ones', () => {
  const { messages } = setup()
  for (let i = 0; i < 10_001; i++) messages.open(`group ${i}`, 'key').received.add('a@one.example')
  assert.equal(messages.open('group 1', 'key').received.size, 1)
  assert.equal(messages.open('group 0', 'key').received.size, 0)
})

test('the messages of one group count like those of many groups', () => {
  const { messages } = setup()
  for (let i = 0; i < 10_001; i++) messages.open('group', `key ${i}`).received.add('a@one.example')
  assert.equal(messages.open('group', 'key 1').received.size, 1)
  assert.equal(messages.open('group', 'key 0').received.size, 0)
})

test('with very many recipients, the memory holds fewer messages', () => {
  const { messages } = setup(100_000)
  for (let i = 0; i < 11; i++) messages.open('group', `key ${i}`).received.add('a@one.example')
  assert.equal(messages.open('group', 'key 1').received.size, 1)
  assert.equal(messages.open('group', 'key 0').received.size, 0)
})

test('a delivery joins the running delivery of the same message, and not one that has ended', async () => {
  const { messages } = setup()
  let runs = 0
  let end = () => {}
  const deliver = () => {
    runs++
    return new Promise<number>((resolve) => {
      end = () => {
        resolve(runs)
      }
    })
  }
  const both = [messages.share('group', 'key', deliver), messages.share('group', 'key', deliver)]
  end()
  assert.deepEqual(await Promise.all(both), [1, 1])
  const later = messages.share('group', 'key', deliver)
  end()
  assert.equal(await later, 2)
  await assert.rejects(messages.share('group', 'other', () => Promise.reject(new Error('x'))))
  const afterFailure = messages.share('group', 'other', deliver)
  end()
  assert.equal(await afterFailure, 3)
})

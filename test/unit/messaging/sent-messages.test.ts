import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMessage } from '../../../src/messaging/message-stanza.js'
import { createSentMessages } from '../../../src/messaging/sent-messages.js'
import { ADDRESS, errorFor } from '../../support/messaging.js'

const ADMIN = 'admin@one.example'
const MAX_SENT = 2000

function setup() {
  const sent = createSentMessages()
  const failed: string[] = []
  const add = (id: string) => {
    sent.add(ADMIN, id, { onError: () => failed.push(id) })
  }
  /** Returns whether the memory knows the message, to which an error arrives. */
  const fail = (id: string) => {
    const message = createMessage({ from: ADDRESS, to: ADMIN, type: 'chat', id, text: 'text' })
    return sent.handle(errorFor(message, 'item-not-found'))
  }
  return { add, fail, failed }
}

test('the memory holds the last 2000 messages', () => {
  const { add, fail, failed } = setup()
  for (let i = 0; i <= MAX_SENT; i++) add(`m${i}`)
  assert.equal(fail('m0'), false)
  assert.equal(fail('m1'), true)
  assert.equal(fail(`m${MAX_SENT}`), true)
  assert.deepEqual(failed, ['m1', `m${MAX_SENT}`])
})

test('a message that is sent again is one of the last messages', () => {
  const { add, fail } = setup()
  add('repeated')
  add('old')
  add('repeated')
  for (let i = 1; i < MAX_SENT; i++) add(`m${i}`)
  assert.equal(fail('old'), false)
  assert.equal(fail('repeated'), true)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createReceipts } from '../../../src/messaging/receipts.js'
import { createClock } from '../../support/clock.js'

const ADMIN = 'admin@one.example'
const TEN_MINUTES = 600_000

function setup() {
  const clock = createClock()
  return { clock, receipts: createReceipts({ now: clock.now }) }
}

/** Lets the client of a person send its first receipt, so that further ones are expected. */
function confirmFirst(receipts: ReturnType<typeof createReceipts>, to = ADMIN) {
  receipts.expect(to, 'first')
  receipts.confirm(to, 'first')
}

test('no receipt is expected from a person whose client has never sent one', () => {
  const { clock, receipts } = setup()
  receipts.expect(ADMIN, '1')
  clock.advance(TEN_MINUTES)
  assert.equal(receipts.countMissing(), 0)
})

test('a receipt that has not arrived after ten minutes is counted once', () => {
  const { clock, receipts } = setup()
  confirmFirst(receipts)
  receipts.expect(ADMIN, '2')
  clock.advance(TEN_MINUTES - 1)
  assert.equal(receipts.countMissing(), 0)
  clock.advance(1)
  assert.equal(receipts.countMissing(), 1)
  assert.equal(receipts.countMissing(), 1)
  receipts.confirm(ADMIN, '2')
  assert.equal(receipts.countMissing(), 1)
})

test('a receipt in time is not counted as missing', () => {
  const { clock, receipts } = setup()
  confirmFirst(receipts)
  receipts.expect(ADMIN, '2')
  clock.advance(TEN_MINUTES - 1)
  receipts.confirm(ADMIN, '2')
  clock.advance(TEN_MINUTES)
  assert.equal(receipts.countMissing(), 0)
})

test('a receipt for a message that was not sent, or was sent to another person, has no effect', () => {
  const { clock, receipts } = setup()
  receipts.expect(ADMIN, '1')
  receipts.confirm(ADMIN, 'other')
  receipts.confirm('mallory@one.example', '1')
  receipts.expect(ADMIN, '2')
  receipts.expect('mallory@one.example', '3')
  clock.advance(TEN_MINUTES)
  assert.equal(receipts.countMissing(), 0)
})

test('no receipt is expected for a message that was not delivered', () => {
  const { clock, receipts } = setup()
  confirmFirst(receipts)
  receipts.expect(ADMIN, '2')
  receipts.cancel(ADMIN, '2')
  clock.advance(TEN_MINUTES)
  assert.equal(receipts.countMissing(), 0)
})

test('a person who was removed from the configuration is forgotten', () => {
  const { clock, receipts } = setup()
  confirmFirst(receipts)
  receipts.expect(ADMIN, '2')
  receipts.retain(['other@one.example'])
  clock.advance(TEN_MINUTES)
  assert.equal(receipts.countMissing(), 0)
  receipts.expect(ADMIN, '3')
  clock.advance(TEN_MINUTES)
  assert.equal(receipts.countMissing(), 0, 'the person has to confirm a message again')
})

test('the memory holds 10,000 expected receipts; older ones count as missing', () => {
  const { receipts } = setup()
  confirmFirst(receipts)
  for (let i = 0; i < 10_003; i++) receipts.expect(ADMIN, `m-${i}`)
  assert.equal(receipts.countMissing(), 3)
})

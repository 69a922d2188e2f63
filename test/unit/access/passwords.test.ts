import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hashSync } from 'bcryptjs'
import { createBcrypt } from '../../../src/access/bcrypt.js'
import { createFairQueue } from '../../../src/access/fair-queue.js'
import { createPasswords } from '../../../src/access/passwords.js'

const PASSWORD = 'correct horse'
// The lowest cost of bcrypt keeps these tests fast.
const HASH = hashSync(PASSWORD, 4)
const USERS = new Map([['bob', HASH]])
const range = (length: number) => Array.from({ length }, (_, i) => i)

type Test = { after(run: () => Promise<void>): void }

/** Creates a password check that records the costs of all computed hashes in order. */
function counted(t: Test) {
  const bcrypt = createBcrypt()
  const costs: number[][] = []
  const passwords = createPasswords({
    hash(password, salts) {
      costs.push(salts.map((salt) => Number(salt.slice(4, 6))))
      return bcrypt.hash(password, salts)
    },
    stop: () => bcrypt.stop(),
  })
  t.after(() => passwords.stop())
  return { passwords, costs }
}

test('a login computes hashes of the same costs for every user name, known or not', async (t) => {
  const { passwords, costs } = counted(t)
  const users = new Map([4, 6, 5].map((cost) => [`cost${cost}`, hashSync(PASSWORD, cost)]))
  users.set('other', hashSync('other', 6))
  for (const name of [...users.keys(), 'nobody', '', '__proto__']) {
    assert.equal(await passwords.check(name, 'wrong', users, ''), 'wrong')
  }
  assert.deepEqual(
    costs,
    range(7).map(() => [4, 5, 6]),
  )
  assert.equal(await passwords.check('cost5', PASSWORD, users, ''), 'right')
  assert.equal(await passwords.check('nobody', PASSWORD, users, ''), 'wrong')
  assert.deepEqual(costs.slice(7), [
    [4, 5, 6],
    [4, 5, 6],
  ])
})

test('a repeated login, right or wrong, computes no hash', async (t) => {
  const { passwords, costs } = counted(t)
  for (const [name, password, verdict] of [
    ['bob', PASSWORD, 'right'],
    ['bob', 'wrong', 'wrong'],
    ['eve', PASSWORD, 'wrong'],
  ] as const) {
    const twice = [0, 1].map(() => passwords.check(name, password, USERS, ''))
    assert.equal(twice[0], twice[1], 'concurrent logins share one check')
    assert.deepEqual(await Promise.all(twice), [verdict, verdict])
    assert.equal(await passwords.check(name, password, USERS, ''), verdict)
    assert.equal(passwords.isKnown(name, password, USERS), verdict === 'right')
  }
  assert.equal(costs.length, 3)
  const changed = new Map([['bob', hashSync('wrong', 4)]])
  assert.ok(!passwords.isKnown('bob', PASSWORD, changed))
  assert.equal(await passwords.check('bob', 'wrong', changed, ''), 'right')
})

test('a login that was right before does not wait for wrong logins', async (t) => {
  const { passwords, costs } = counted(t)
  assert.equal(await passwords.check('bob', PASSWORD, USERS, '192.0.2.1'), 'right')
  const flood = range(50).map((i) => passwords.check('bob', `wrong ${i}`, USERS, '192.0.2.1'))
  assert.ok(passwords.isKnown('bob', PASSWORD, USERS))
  assert.equal(await passwords.check('bob', PASSWORD, USERS, '192.0.2.1'), 'right')
  assert.ok(costs.length < 5)
  await Promise.all(flood)
})

for (const [what, name, client, turn] of [
  ['another address', 'bob', '192.0.2.2', 3],
  ['the same address and another name', 'bob', '192.0.2.1', 3],
  ['the same address and the same name', 'eve', '192.0.2.1', 101],
] as const) {
  test(`the first right login from ${what} does not wait behind all logins of a flood of wrong ones`, async (t) => {
    const { passwords, costs } = counted(t)
    const users = new Map([
      ['bob', HASH],
      ['eve', HASH],
    ])
    const flood = range(100).map((i) => passwords.check('eve', `wrong ${i}`, users, '192.0.2.1'))
    assert.equal(await passwords.check(name, PASSWORD, users, client), 'right')
    // When the verdict arrives, the check of the next login has already begun, so one more hash is computed.
    assert.ok(costs.length <= turn + 1, `${costs.length} logins were compared`)
    assert.deepEqual(new Set(await Promise.all(flood)), new Set(['wrong']))
  })
}

test('a right login is checked during an endless flood of wrong logins with random names', async (t) => {
  const { passwords, costs } = counted(t)
  let isOver = false
  let sent = 0
  const senders = range(100).map(async () => {
    while (!isOver) await passwords.check(`name ${sent++}`, 'wrong', USERS, '192.0.2.1')
  })
  assert.equal(await passwords.check('bob', PASSWORD, USERS, '192.0.2.1'), 'right')
  assert.ok(costs.length <= 102, `${costs.length} logins were compared`)
  isOver = true
  await Promise.all(senders)
})

test('above the queue limit, the oldest logins are busy, and a new login is accepted', async (t) => {
  const { passwords } = counted(t)
  const flood = range(300).map((i) => passwords.check('bob', `wrong ${i}`, USERS, '192.0.2.1'))
  assert.equal(await passwords.check('bob', PASSWORD, USERS, '192.0.2.1'), 'right')
  const verdicts = await Promise.all(flood)
  const count = (verdict: string) => verdicts.filter((each) => each === verdict).length
  // The first login is not busy, because it was being checked. Of the waiting logins, newer ones replaced the
  // oldest.
  assert.deepEqual([count('busy'), count('wrong')], [172, 128])
  assert.equal(
    await passwords.check('bob', 'wrong 1', USERS, ''),
    'wrong',
    'a busy login can be repeated',
  )
})

test('a login is busy, neither right nor wrong, if the bcrypt thread ends', async (t) => {
  let isBroken = true
  const bcrypt = createBcrypt()
  const passwords = createPasswords({
    hash: (...all) => (isBroken ? Promise.reject(new Error('it ended')) : bcrypt.hash(...all)),
    stop: () => bcrypt.stop(),
  })
  t.after(() => passwords.stop())
  assert.equal(await passwords.check('bob', PASSWORD, USERS, ''), 'busy')
  isBroken = false
  assert.equal(await passwords.check('bob', PASSWORD, USERS, ''), 'right')
})

test('waiting logins get a verdict when the password check stops', async () => {
  const passwords = createPasswords()
  const waiting = range(20).map((i) => passwords.check('bob', `wrong ${i}`, USERS, ''))
  await passwords.stop()
  for (const verdict of await Promise.all(waiting)) assert.match(verdict, /^(busy|wrong)$/)
})

test('in a fair queue, addresses take turns, and so do the names at an address', () => {
  const queue = createFairQueue<string>(100)
  for (const item of ['a1', 'a1', 'a2', 'a1', 'b1', 'b2', 'b2', 'c1']) {
    assert.equal(queue.add(item.slice(0, 1), item.slice(1), item), undefined)
  }
  const taken = range(9).map(() => queue.take())
  assert.deepEqual(taken, ['a1', 'b1', 'c1', 'a2', 'b2', 'a1', 'b2', 'a1', undefined])
})

test('a full fair queue drops the oldest item of the longest line', () => {
  const queue = createFairQueue<string>(4)
  const add = (address: string, name: string, item: string) => queue.add(address, name, item)
  for (const item of ['1', '2', '3']) assert.equal(add('a', 'x', item), undefined)
  assert.equal(add('a', 'y', '4'), undefined)
  assert.equal(add('b', 'x', '5'), '1')
  assert.equal(add('b', 'x', '6'), '2')
  assert.deepEqual(
    range(5).map(() => queue.take()),
    ['3', '5', '4', '6', undefined],
  )
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hashSync } from 'bcryptjs'
import { createPasswords } from '../../src/web/passwords.js'

const PASSWORD = 'correct horse'
// The lowest cost that bcrypt has.
const HASH = hashSync(PASSWORD, 4)

test('who logs in for the first time finds room while somebody else guesses', async () => {
  const passwords = createPasswords()
  const users = new Map([['bob', HASH]])
  const guesses = Array.from({ length: 100 }, (_, i) =>
    passwords.check('bob', `wrong ${i}`, users, '192.0.2.1'),
  )
  assert.equal(await passwords.check('bob', PASSWORD, users, '192.0.2.2'), 'right')
  const verdicts = await Promise.all(guesses)
  assert.deepEqual(
    ['wrong', 'busy'].map((verdict) => verdicts.filter((each) => each === verdict).length),
    [8, 92],
  )
  await passwords.stop()
})

test('a stranger is compared as long as somebody is, and the same question is asked once', async (t) => {
  const passwords = createPasswords()
  t.after(() => passwords.stop())
  const users = new Map([['bob', HASH]])
  const twice = [passwords.check('bob', 'x', users, ''), passwords.check('bob', 'x', users, '')]
  assert.equal(twice[0], twice[1])
  assert.deepEqual(await Promise.all(twice), ['wrong', 'wrong'])
  // The right password of somebody else: it was compared, and is not remembered.
  assert.equal(await passwords.check('eve', PASSWORD, users, ''), 'wrong')
  assert.ok(!passwords.isKnown('eve', PASSWORD, users))
  assert.equal(await passwords.check('bob', PASSWORD, users, ''), 'right')
  assert.ok(passwords.isKnown('bob', PASSWORD, users))
  assert.ok(!passwords.isKnown('bob', PASSWORD, new Map([['bob', hashSync('new', 4)]])))
})

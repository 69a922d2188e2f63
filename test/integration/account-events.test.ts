// Tests the counters of account events and of offline messages. A test causes a known number of events on a real
// Prosody, and compares the counters with that number, and with the files of Prosody.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import xml from '@xmpp/xml'
import {
  compareAccountEvents,
  readEvents,
  startWithAccounts,
  ZERO,
} from '../support/account-steps.js'
import {
  nonZero,
  readCounts,
  reloadAll,
  startCountedProsody,
  type CountedProsody,
} from '../support/counted-prosody.js'
import { everyVersion, legacyVersion, type Version } from '../support/prosody.js'
import { evalLua } from '../support/real.js'
import { until } from '../support/setup/process.js'
import { errorCondition, login, registerAccount, type XmppUser } from '../support/xmpp-client.js'

const PASSWORD = 'pw'

for (const version of everyVersion) {
  test(`registrations, deletions and password changes are counted once each, also after reloads (Prosody ${version})`, (t) =>
    compareAccountEvents(t, version))

  test(`an event that a module repeats is not counted again (Prosody ${version})`, async (t) => {
    const prosody = await startWithAccounts(t, version)
    await evalLua(
      prosody,
      `local events = prosody.hosts["one.example"].events
      local function fire(name, username, is_global)
        local to = is_global and prosody.events or events
        to.fire_event(name, { username = username, host = "one.example", source = "test" })
      end
      -- A module repeats the event of each registration.
      for _, name in ipairs { "x", "y" } do prosody.hosts["one.example"].sessions[name] = { sessions = {} } end
      local is_repeated
      events.add_handler("user-registered", function (event)
        if not is_repeated then
          is_repeated = true
          events.fire_event("user-registered", event)
          is_repeated = false
        end
      end)
      for _, name in ipairs { "x", "y", "x" } do fire("user-registered", name) end
      -- The account is registered, deleted, and registered again.
      fire("user-deleted", "x", true)
      fire("user-deregistered", "x")
      fire("user-registered", "x")
      -- A web page resets a password: a module sets the password and fires an event of its own.
      fire("user-password-changed", "x", true)
      fire("user-password-reset", "x")
      -- The reset of a version that fires one event only.
      fire("user-password-reset", "x")
      -- prosodyctl deletes the account in another process, and the account is registered again.
      fire("user-registering", "x")
      fire("user-registered", "x")
      -- The user changes the password, and later resets it in-band in a version that fires one event only.
      fire("user-password-changed", "x", true)
      fire("user-registering", "x")
      fire("user-password-reset", "x")`,
    )
    assert.deepEqual(await readEvents(prosody), {
      registrations: { 'one.example': 5, 'two.example': 0 },
      deletions: { 'one.example': 1, 'two.example': 0 },
      passwordChanges: { 'one.example': 4, 'two.example': 0 },
    })
  })
}

test('an account whose deletion is delayed is counted when it is deleted (Prosody 13.0.1)', async (t) => {
  const prosody = await startWithAccounts(t, '13.0.1', {
    registration_delete_grace_period: '"1 second"',
  })
  const account = { port: prosody.ports.c2s, jid: 'a@one.example', password: PASSWORD }
  await registerAccount(account)
  const user = await login(account)
  const remove = xml('query', { xmlns: 'jabber:iq:register' }, xml('remove'))
  assert.equal((await user.iq('set', 'one.example', remove)).attrs.type, 'result')
  await user.close()
  const deletions = () => readCounts(prosody, 'xmpp_account_deletions')
  assert.deepEqual(await deletions(), ZERO)
  const deleteExpired = `
    local mm = require "core.modulemanager"
    mm.get_module("one.example", "user_account_management").cleanup_soft_deleted_accounts()
    return tostring(require "core.usermanager".user_exists("a", "one.example"))`
  await until(async () => (await evalLua(prosody, deleteExpired)) !== 'true', {
    what: 'Prosody deletes the account',
  })
  assert.deepEqual(await deletions(), { ...ZERO, 'one.example': 1 })
})

const STORED = 'xmpp_offline_messages_stored'
const USERS = ['a@one.example', 'away@one.example', 'phone@one.example', 'far@two.example']

async function startWithOfflineMessages(t: TestContext, version: Version) {
  const isNew = version !== legacyVersion
  const prosody = await startCountedProsody(t, version, {
    users: Object.fromEntries(USERS.map((jid) => [jid, PASSWORD])),
    modules: ['message', 'presence', 'offline', 'mam', ...(isNew ? ['smacks'] : [])],
    // From Prosody 0.12, the internal storage refuses further messages of a user with this number.
    ...(isNew && { globals: { storage_archive_item_limit: '5' } }),
  })
  const a = await login({ port: prosody.ports.c2s, jid: USERS[0]!, password: PASSWORD })
  t.after(() => a.close())
  return { prosody, a }
}

/** Sends a message, and returns the condition of the error with which it came back, or `stored`. */
async function send(a: XmppUser, to: string, attrs: Readonly<Record<string, string>> = {}) {
  const id = `m${Math.random()}`
  a.send(xml('message', { to, type: 'chat', id, ...attrs }, xml('body', {}, 'text')))
  // The reply to this request arrives after the error, if there is one.
  await a.iq('get', 'one.example', xml('ping', { xmlns: 'urn:xmpp:ping' }))
  const error = a.taken((stanza) => stanza.name === 'message' && stanza.attrs.id === id)
  return error ? errorCondition(error) : 'stored'
}

/** Returns the number of messages that mod_offline has stored for a user on the disk. */
async function countStored(prosody: CountedProsody, jid: string): Promise<number> {
  const [user = '', host = ''] = jid.split('@')
  const path = join(prosody.dir, 'data', host.replaceAll('.', '%2e'), 'offline', `${user}.list`)
  const text = await readFile(path, 'utf8').catch(() => '')
  return text.match(/^item\(/gm)?.length ?? 0
}

for (const version of everyVersion) {
  const isNew = version !== legacyVersion

  test(`xmpp_offline_messages_stored_total is the number of messages that mod_offline stored (Prosody ${version})`, async (t) => {
    const { prosody, a } = await startWithOfflineMessages(t, version)
    const [, away, , far] = USERS as [string, string, string, string]
    assert.deepEqual(await readCounts(prosody, STORED), ZERO)
    for (const to of [away, away, far]) assert.equal(await send(a, to), 'stored')
    await send(a, away, { type: 'headline' })
    assert.equal(await send(a, 'nobody@one.example'), 'service-unavailable')
    assert.equal(await send(a, 'nobody@two.example'), 'service-unavailable')

    const counts = { 'one.example': 2, 'two.example': 1 }
    assert.deepEqual(await readCounts(prosody, STORED), counts)
    await reloadAll(prosody)
    await evalLua(prosody, 'prosody.reload_config()')
    assert.equal(await send(a, away), 'stored')
    counts['one.example'] += 1
    assert.deepEqual(await readCounts(prosody, STORED), counts)
    assert.equal(await countStored(prosody, away), counts['one.example'])
    assert.equal(await countStored(prosody, far), counts['two.example'])

    await testUnstored(prosody, a, away, isNew)
    assert.deepEqual(await readCounts(prosody, STORED), {
      ...counts,
      'one.example': await countStored(prosody, away),
    })
  })

  if (!isNew) continue
  test(`a message that a client did not acknowledge is counted when it is stored (Prosody ${version})`, async (t) => {
    const { prosody, a } = await startWithOfflineMessages(t, version)
    const jid = USERS[2]!
    const phone = await login({ port: prosody.ports.c2s, jid, password: PASSWORD })
    phone.send(xml('presence'))
    phone.send(xml('enable', { xmlns: 'urn:xmpp:sm:3' }))
    await phone.next(({ name }) => name === 'enabled')
    await send(a, phone.jid)
    await phone.next(({ name }) => name === 'message')
    assert.deepEqual(nonZero(await readCounts(prosody, STORED)), {})
    phone.destroy()
    await until(async () => (await countStored(prosody, jid)) === 1, {
      what: 'Prosody stores the message',
    })
    assert.deepEqual(nonZero(await readCounts(prosody, STORED)), { 'one.example': 1 })
  })
}

/** Sends messages that mod_offline does not store, for several reasons. Two more are stored in between. */
async function testUnstored(prosody: CountedProsody, a: XmppUser, to: string, isNew: boolean) {
  // Another module discards a message before mod_offline gets it.
  await evalLua(
    prosody,
    `function discard() return true end
    prosody.hosts["one.example"].events.add_handler("message/offline/handle", discard, 10)`,
  )
  assert.equal(await send(a, to), 'stored')
  await evalLua(
    prosody,
    'prosody.hosts["one.example"].events.remove_handler("message/offline/handle", discard)',
  )
  for (let i = 0; i < 2; i++) assert.equal(await send(a, to), 'stored')
  // The storage is full, and from Prosody 0.12, mod_mam has the message in the archive. So it does not come back.
  if (isNew) assert.equal(await send(a, to), 'stored')
  await evalLua(prosody, 'assert(require "core.modulemanager".unload("one.example", "offline"))')
  assert.equal(await send(a, to), isNew ? 'stored' : 'service-unavailable')
  // Other storage returns false if it fails.
  await evalLua(
    prosody,
    `local events = prosody.hosts["one.example"].events
    events.add_handler("message/offline/handle", function () return false end, -1)`,
  )
  assert.equal(await send(a, to), 'service-unavailable')
  assert.equal(await countStored(prosody, to), 5)
}

/** Steps of a test that register, change and delete accounts of a Prosody in every way that it offers. */

import assert from 'node:assert/strict'
import xml from '@xmpp/xml'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import {
  readCounts,
  reloadAll,
  startCountedProsody,
  type CountedProsody,
} from './counted-prosody.js'
import { legacyVersion, type LuaOptions, type ProsodyVersion, type TestProsody } from './prosody.js'

import { evalLua } from './real.js'
import {
  errorCondition,
  login,
  registerAccount,
  registerElement,
  submitCommand,
  type XmppUser,
} from './xmpp-client.js'

const PASSWORD = 'pw'
const ADMIN = 'http://jabber.org/protocol/admin'

export const adminJid = 'admin@one.example'

/** How often an account was registered, deleted, or got another password, by host. */
export type AccountEvents = {
  readonly registrations: Readonly<Record<string, number>>
  readonly deletions: Readonly<Record<string, number>>
  readonly passwordChanges: Readonly<Record<string, number>>
}

const signIn = (prosody: TestProsody, jid: string, password = PASSWORD) =>
  login({ port: prosody.ports.c2s, jid, password })

async function register(prosody: TestProsody, jid: string, token?: string, password = PASSWORD) {
  const port = prosody.ports.c2s
  return await registerAccount({ port, jid, password, ...(token !== undefined && { token }) })
}

/** Registers four accounts in-band. Attempts without success and accounts of an admin are no registrations. */
async function registerAccounts(prosody: TestProsody, admin: XmppUser, round: number) {
  for (const jid of ['a@one.example', 'b@one.example', 'c@one.example', 'd@two.example']) {
    assert.equal((await register(prosody, `${round}${jid}`)).attrs.type, 'result')
  }
  assert.equal(errorCondition(await register(prosody, `${round}a@one.example`)), 'conflict')
  const added = `${round}added@one.example`
  await command(admin, 'add-user', { accountjid: added, 'password-verify': PASSWORD })
  await prosody.prosodyctl('register', `${round}ctl`, 'one.example', PASSWORD)
}

async function command(admin: XmppUser, node: string, values: Readonly<Record<string, string>>) {
  const fields = { FORM_TYPE: ADMIN, password: PASSWORD, ...values }
  const reply = await submitCommand(admin, 'one.example', `${ADMIN}#${node}`, fields)
  assert.match(reply.toString(), /success/, `${node}: ${reply.toString()}`)
}

async function changePasswords(prosody: TestProsody, admin: XmppUser, round: number) {
  for (const jid of [`${round}a@one.example`, `${round}d@two.example`]) {
    const [username = '', host = ''] = jid.split('@')
    const user = await signIn(prosody, jid)
    const reply = await user.iq('set', host, registerElement(username, PASSWORD))
    assert.equal(reply.attrs.type, 'result')
    await user.close()
  }
  await command(admin, 'change-user-password', { accountjid: `${round}b@one.example` })
}

async function deleteAccounts(prosody: TestProsody, admin: XmppUser, round: number) {
  for (const jid of [`${round}a@one.example`, `${round}d@two.example`]) {
    const user = await signIn(prosody, jid)
    const remove = xml('query', { xmlns: 'jabber:iq:register' }, xml('remove'))
    assert.equal((await user.iq('set', jid.split('@')[1]!, remove)).attrs.type, 'result')
    await user.close()
  }
  await command(admin, 'delete-user', { accountjids: `${round}b@one.example` })
  await prosody.prosodyctl('unregister', `${round}ctl`, 'one.example')
}

/** Uses the shell, which Prosody has since 0.12. A disabled account is not deleted. */
async function useShell(prosody: TestProsody, round: number) {
  const jid = `${round}shell@one.example`
  await prosody.prosodyctl('shell', 'user', 'create', jid, PASSWORD)
  await prosody.prosodyctl('shell', 'user', 'password', jid, PASSWORD)
  if (!prosody.version.startsWith('0.12')) {
    await prosody.prosodyctl('shell', 'user', 'disable', jid)
    await prosody.prosodyctl('shell', 'user', 'enable', jid)
  }
  await prosody.prosodyctl('shell', 'user', 'delete', jid)
}

/** Registers an account with an invite, and resets its password with another. Invites are new in Prosody 0.12. */
async function useInvites(prosody: TestProsody, round: number) {
  const jid = `${round}guest@one.example`
  const createInvite = (call: string) =>
    evalLua(
      prosody,
      `return require "core.modulemanager".get_module("one.example", "invites").${call}.token`,
    )
  const invite = await createInvite('create_account()')
  assert.equal((await register(prosody, jid, invite)).attrs.type, 'result')
  const reset = await createInvite(`create_account_reset("${round}guest")`)
  assert.equal((await register(prosody, jid, reset, 'new')).attrs.type, 'result')
  await (await signIn(prosody, jid, 'new')).close()
}

/** Does everything once, and returns what was done. Another `round` uses other accounts. */
export async function changeAccounts(prosody: TestProsody, round: number): Promise<AccountEvents> {
  const admin = await signIn(prosody, adminJid)
  await registerAccounts(prosody, admin, round)
  await changePasswords(prosody, admin, round)
  await deleteAccounts(prosody, admin, round)
  await admin.close()
  const hasShell = !prosody.version.startsWith('0.11')
  if (hasShell) {
    await useShell(prosody, round)
    await useInvites(prosody, round)
  }
  const own = { 'two.example': 1 }
  return {
    registrations: { 'one.example': hasShell ? 4 : 3, ...own },
    deletions: { 'one.example': hasShell ? 3 : 2, ...own },
    passwordChanges: { 'one.example': hasShell ? 4 : 2, ...own },
  }
}

const NEW_MODULES = ['invites', 'invites_register', 'register_ibr', 'user_account_management']

/** Starts a Prosody in which accounts can be registered, with an admin. */
export async function startWithAccounts(
  t: TestContext,
  version: ProsodyVersion,
  globals: LuaOptions = {},
): Promise<CountedProsody> {
  return await startCountedProsody(t, version, {
    users: { [adminJid]: PASSWORD },
    modules: ['admin_adhoc', ...(version === legacyVersion ? ['register'] : NEW_MODULES)],
    globals: {
      // With internal_plain, Prosody can't disable accounts.
      authentication: '"internal_hashed"',
      admins: `{ "${adminJid}" }`,
      allow_registration: 'true',
      registration_invite_only: 'false',
      ...globals,
    },
  })
}

/** Reads the counters of account events. */
export async function readEvents(prosody: CountedProsody): Promise<AccountEvents> {
  return {
    registrations: await readCounts(prosody, 'xmpp_registrations'),
    deletions: await readCounts(prosody, 'xmpp_account_deletions'),
    passwordChanges: await readCounts(prosody, 'xmpp_password_changes'),
  }
}

/** The value of a counter of every host that has counted nothing. */
export const ZERO = { 'one.example': 0, 'two.example': 0 }

const add = (a: AccountEvents, b: AccountEvents): AccountEvents => {
  const sum = (name: keyof AccountEvents) =>
    Object.fromEntries(Object.entries(b[name]).map(([host, n]) => [host, n + a[name][host]!]))
  return {
    registrations: sum('registrations'),
    deletions: sum('deletions'),
    passwordChanges: sum('passwordChanges'),
  }
}

const countAccounts = async (prosody: CountedProsody, host: string) =>
  (await readdir(join(prosody.dir, 'data', host.replaceAll('.', '%2e'), 'accounts'))).length

/**
 * Changes accounts in every way, and compares the counters with what was done, and with the accounts on the disk. The
 * counters keep their values when the module or the configuration is reloaded.
 */
export async function compareAccountEvents(t: TestContext, version: ProsodyVersion) {
  const prosody = await startWithAccounts(t, version)
  let expected: AccountEvents = { registrations: ZERO, deletions: ZERO, passwordChanges: ZERO }
  assert.deepEqual(await readEvents(prosody), expected)
  const before = await countAccounts(prosody, 'one.example')

  expected = add(expected, await changeAccounts(prosody, 1))
  assert.deepEqual(await readEvents(prosody), expected)
  // xmpp_registrations_total contains no accounts of an admin. One of these remains, and that of the shell was deleted.
  const { registrations, deletions } = expected
  const growth = registrations['one.example']! - deletions['one.example']!
  const fromShell = version === legacyVersion ? 0 : 1
  assert.equal(await countAccounts(prosody, 'one.example'), before + growth + 1 + fromShell)

  await reloadAll(prosody)
  assert.deepEqual(await readEvents(prosody), expected)
  expected = add(expected, await changeAccounts(prosody, 2))
  assert.deepEqual(await readEvents(prosody), expected)

  await evalLua(prosody, 'prosody.reload_config()')
  assert.deepEqual(await readEvents(prosody), expected)
  expected = add(expected, await changeAccounts(prosody, 3))
  assert.deepEqual(await readEvents(prosody), expected)
}

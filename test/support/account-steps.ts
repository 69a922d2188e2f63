/** Steps of a test that register, change and delete accounts of a Prosody in every way that it offers. */

import assert from 'node:assert/strict'
import xml from '@xmpp/xml'
import type { TestProsody } from './prosody.js'
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

import xml, { type Element } from '@xmpp/xml'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { startFakeAlertmanager } from '../../support/fake-alertmanager.js'
import { ADDRESS, ADMIN, createFakeChat, DOMAIN, PHONE } from '../../support/fake-chat.js'
import { createRandom, type Random } from '../../support/random.js'

const STANZAS = 5000

const FROM = [
  ...[PHONE, `${ADMIN}/laptop`, ADMIN, 'stranger@a.example/x', 'admin@far.example/x', 'a.example'],
  ...['x@far.example/y', ADDRESS, DOMAIN, '', '/', '@', undefined, 'admin@a.example@b/x'],
]
const TO = [ADDRESS, ADDRESS, ADDRESS, `${ADDRESS}/x`, DOMAIN, `other@${DOMAIN}`, '', undefined]
const TYPES = ['chat', 'normal', 'get', 'set', 'result', 'error', 'groupchat', '', undefined]
const TEXTS = [
  ...['status', 'status x', 'alerts', 'certs', 'top', 'help', 'silence A 2h', 'unsilence A'],
  ...['yes 000000', 'silence', '\u0000', '\uD800', 'x'.repeat(10_000), '{{}}', '<b/>', ''],
]
const NAMESPACES = [
  ...['http://jabber.org/protocol/commands', 'http://jabber.org/protocol/disco#info'],
  ...['http://jabber.org/protocol/disco#items', 'urn:xmpp:carbons:2', 'urn:xmpp:delay'],
  ...['urn:xmpp:receipts', 'jabber:x:data', 'urn:xmpp:ping', undefined],
]
const NAMES = ['command', 'query', 'x', 'body', 'delay', 'received', 'ping', 'field', 'value']
const ATTRIBUTES = [
  {},
  { node: 'status' },
  { node: 'silence', action: 'execute' },
  { node: 'silence', sessionid: 'x', action: 'complete' },
  { node: '__proto__', stamp: 'x', action: 'prev' },
]

function createChild(random: Random, depth: number): Element {
  const children = Array.from({ length: depth > 0 ? random.below(3) : 0 }, () =>
    createChild(random, depth - 1),
  )
  const attrs = { xmlns: random.pick(NAMESPACES), ...random.pick(ATTRIBUTES) }
  return xml(random.pick(NAMES), attrs, ...children)
}

function createStanza(random: Random, id: number): Element {
  const attrs = {
    ...{ from: random.pick(FROM), to: random.pick(TO), type: random.pick(TYPES) },
    id: random.below(10) === 0 ? undefined : `${id}`,
  }
  const body = random.below(2) === 0 ? [] : [xml('body', {}, random.pick(TEXTS))]
  const children = Array.from({ length: random.below(3) }, () => createChild(random, 2))
  return xml(random.pick(['message', 'iq', 'presence', 'other']), attrs, ...body, ...children)
}

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

test('questions that wait for the check of the domain do not keep their stanzas in memory', async () => {
  const { tell, settle, requests } = createFakeChat({ reply: () => new Promise(() => undefined) })
  collectGarbage()
  const before = process.memoryUsage().heapUsed
  // The address and the body of each stanza are parts of one string. Four of the stanzas get an answer.
  for (let i = 0; i < 10; i++) {
    const text = Buffer.from(`${PHONE}${`question ${i}`.padEnd(5_000_000, ' x')}`).toString()
    tell(text.slice(PHONE.length), { from: text.slice(0, PHONE.length) })
  }
  tell('help')
  await settle()
  collectGarbage()
  assert.ok(requests.length > 0)
  const bytes = process.memoryUsage().heapUsed - before
  // V8 keeps the last text to which a regular expression was applied (RegExp.input).
  assert.ok(bytes < 10_000_000, `${bytes} bytes are in use`)
})

test('5,000 random stanzas cause no exception, no silence, and no answer to a stranger except forbidden', async (t) => {
  const fake = await startFakeAlertmanager(t)
  const { chat, sent, settle, clock, lines } = createFakeChat({
    alertmanager: fake.url,
    allow: [ADMIN, 'x@far.example'],
  })
  const random = createRandom(19)
  for (let i = 0; i < STANZAS; i++) {
    chat.handle(createStanza(random, i))
    if (i % 100 === 0) await settle()
    clock.advance(random.below(2000))
  }
  await settle()
  assert.ok(sent.length > STANZAS / 20, `${sent.length} answers`)
  for (const stanza of sent) {
    const { to = '', from, type } = stanza.attrs
    const isAllowed = to === ADMIN || to.startsWith(`${ADMIN}/`)
    const isForbidden = type === 'error' && stanza.toString().includes('<forbidden ')
    assert.ok(isAllowed || isForbidden, stanza.toString())
    assert.ok(from === DOMAIN || from === ADDRESS || from === `${ADDRESS}/x`)
    assert.ok(stanza.toString().length < 20_000)
  }
  assert.equal(fake.silences.length, 0)
  assert.deepEqual(
    lines.filter(({ level }) => level === 'error'),
    [],
  )
})

import xml from '@xmpp/xml'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { answerIq } from '../../../src/xmpp/service.js'

const DOMAIN = 'stats.example'
const NS_COMMANDS = 'http://jabber.org/protocol/commands'
const options = {
  domain: DOMAIN,
  version: '1.2.3',
  commands: [{ node: 'urn:node', name: 'Statistics & more' }],
}

function answer(
  child: { name: string; xmlns: string; node?: string } | undefined,
  attrs: Record<string, string | undefined> = {},
): string | undefined {
  const { name = '', ...rest } = child ?? {}
  const all = { type: 'get', id: '1', from: 'a@b/c', to: DOMAIN, ...attrs }
  return answerIq(xml('iq', all, child && xml(name, rest)), options)?.toString()
}

const query = (xmlns: string, node?: string) => ({ name: 'query', xmlns, ...(node && { node }) })
const ITEMS = 'http://jabber.org/protocol/disco#items'
const INFO = 'http://jabber.org/protocol/disco#info'
const result = (content: string) =>
  `<iq type="result" id="1" from="${DOMAIN}" to="a@b/c">${content}</iq>`
const refusal = (type: string, condition: string) =>
  `<iq type="error" id="1" from="${DOMAIN}" to="a@b/c"><error type="${type}">` +
  `<${condition} xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error></iq>`

test('a ping is answered with an empty result', () => {
  assert.equal(
    answer({ name: 'ping', xmlns: 'urn:xmpp:ping' }),
    `<iq type="result" id="1" from="${DOMAIN}" to="a@b/c"/>`,
  )
})

test('disco#info returns the identity and the features of the exporter', () => {
  assert.equal(
    answer(query(INFO)),
    result(
      `<query xmlns="${INFO}"><identity category="component" type="stats" name="prosody-exporter"/>` +
        `<feature var="${NS_COMMANDS}"/><feature var="${INFO}"/><feature var="${ITEMS}"/>` +
        `<feature var="jabber:iq:version"/><feature var="urn:xmpp:ping"/></query>`,
    ),
  )
})

test('disco#items lists the commands, and disco#info describes each node as a command', () => {
  assert.equal(
    answer(query(ITEMS, NS_COMMANDS)),
    result(
      `<query xmlns="${ITEMS}" node="${NS_COMMANDS}">` +
        `<item jid="${DOMAIN}" node="urn:node" name="Statistics &amp; more"/></query>`,
    ),
  )
  assert.match(answer(query(INFO, NS_COMMANDS))!, /category="automation" type="command-list"/)
  assert.match(answer(query(INFO, 'urn:node'))!, /category="automation" type="command-node"/)
  assert.equal(answer(query(ITEMS)), result(`<query xmlns="${ITEMS}"/>`))
  assert.equal(answer(query(INFO, 'other')), refusal('cancel', 'item-not-found'))
  assert.equal(answer(query(ITEMS, 'other')), refusal('cancel', 'item-not-found'))
})

test('the answer to a version request has the version of the exporter, and not the operating system', () => {
  assert.equal(
    answer(query('jabber:iq:version')),
    result(
      '<query xmlns="jabber:iq:version"><name>prosody-exporter</name><version>1.2.3</version></query>',
    ),
  )
})

test('unknown requests, and requests to other addresses of the domain, get service-unavailable', () => {
  const unavailable = refusal('cancel', 'service-unavailable')
  assert.equal(answer(query('jabber:iq:last')), unavailable)
  assert.equal(answer({ name: 'ping', xmlns: 'urn:other' }), unavailable)
  assert.equal(answer(query(INFO), { type: 'set' }), unavailable)
  assert.match(answer(query(INFO), { to: `a@${DOMAIN}` })!, /<service-unavailable /)
})

test('a malformed request gets bad-request, and a reply is never answered', () => {
  const bad = refusal('modify', 'bad-request')
  assert.equal(answer(undefined), bad)
  assert.equal(answer(query(INFO), { type: 'query' }), bad)
  assert.equal(answer(query(INFO), { type: undefined }), bad)
  assert.match(answer(query(INFO), { id: undefined })!, /<bad-request /)
  const two = xml('iq', { type: 'get', id: '1', from: 'a@b/c', to: DOMAIN }, xml('a'), xml('b'))
  assert.equal(answerIq(two, options)?.toString(), bad)
  for (const type of ['result', 'error']) assert.equal(answer(query(INFO), { type }), undefined)
  assert.equal(answer(query(INFO), { from: undefined }), undefined)
})

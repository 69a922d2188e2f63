import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMessage } from '../../../src/messaging/message-stanza.js'

const COMMON = { from: 'alerts@stats.example', id: 'a-1', text: 'Disk full: 90 % < 95 %' }

test('a message to a person has an origin-id, a request for a receipt and the hint to store it', () => {
  const message = createMessage({ ...COMMON, to: 'admin@one.example', type: 'chat' })
  assert.equal(
    message.toString(),
    '<message from="alerts@stats.example" to="admin@one.example" type="chat" id="a-1">' +
      '<body>Disk full: 90 % &lt; 95 %</body>' +
      '<origin-id xmlns="urn:xmpp:sid:0" id="a-1"/>' +
      '<request xmlns="urn:xmpp:receipts"/>' +
      '<store xmlns="urn:xmpp:hints"/></message>',
  )
})

test('a message to a room requests no receipts, which all occupants would send', () => {
  const message = createMessage({ ...COMMON, to: 'ops@rooms.example', type: 'groupchat' })
  assert.equal(message.attrs['type'], 'groupchat')
  assert.equal(message.getChild('request'), undefined)
  assert.ok(message.getChild('store', 'urn:xmpp:hints'))
})

test('a correction names the message that it replaces', () => {
  const message = createMessage({
    ...COMMON,
    to: 'admin@one.example',
    type: 'chat',
    replaces: 'a-0',
  })
  const replace = message.getChild('replace', 'urn:xmpp:message-correct:0')
  assert.equal(replace?.attrs['id'], 'a-0')
})

import xml from '@xmpp/xml'
import assert from 'node:assert/strict'
import type { XmppUser } from './xmpp-client.js'

const NS_MUC = 'http://jabber.org/protocol/muc'

/** Creates a MUC room and makes it public (XEP-0045 §10.1.3). */
export async function openRoom(user: XmppUser, room: string): Promise<void> {
  user.send(xml('presence', { to: `${room}/me` }, xml('x', { xmlns: NS_MUC })))
  await user.next((stanza) => stanza.is('presence') && stanza.attrs['from'] === `${room}/me`)
  const field = (name: string, value: string) =>
    xml('field', { var: name }, xml('value', {}, value))
  const form = xml(
    'x',
    { xmlns: 'jabber:x:data', type: 'submit' },
    field('FORM_TYPE', `${NS_MUC}#roomconfig`),
    field('muc#roomconfig_publicroom', '1'),
  )
  const reply = await user.iq('set', room, xml('query', { xmlns: `${NS_MUC}#owner` }, form))
  assert.equal(reply.attrs['type'], 'result', reply.toString())
}

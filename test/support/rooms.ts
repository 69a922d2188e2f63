import xml from '@xmpp/xml'
import assert from 'node:assert/strict'
import type { XmppUser } from './xmpp-client.js'

const NS_MUC = 'http://jabber.org/protocol/muc'

/** Creates a MUC room with the nickname `me` and submits its configuration (XEP-0045 §10.1.3). Default: it is public. */
export async function openRoom(
  user: XmppUser,
  room: string,
  fields: Readonly<Record<string, string>> = { 'muc#roomconfig_publicroom': '1' },
): Promise<void> {
  user.send(xml('presence', { to: `${room}/me` }, xml('x', { xmlns: NS_MUC })))
  await user.next((stanza) => stanza.is('presence') && stanza.attrs['from'] === `${room}/me`)
  const field = (name: string, value: string) =>
    xml('field', { var: name }, xml('value', {}, value))
  const form = xml(
    'x',
    { xmlns: 'jabber:x:data', type: 'submit' },
    field('FORM_TYPE', `${NS_MUC}#roomconfig`),
    ...Object.entries(fields).map(([name, value]) => field(name, value)),
  )
  const reply = await user.iq('set', room, xml('query', { xmlns: `${NS_MUC}#owner` }, form))
  assert.equal(reply.attrs['type'], 'result', reply.toString())
}

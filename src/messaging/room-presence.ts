import type { StanzaError } from '../errors.js'
import { readError } from '../xmpp/stanza-error.js'
import { xml, type Element } from '../xmpp/xml.js'

const NS_MUC = 'http://jabber.org/protocol/muc'
const NS_MUC_USER = 'http://jabber.org/protocol/muc#user'

type Addresses = { readonly from: string; readonly occupant: string }

/** Creates the presence that joins a room, without a password and without the history of the room. @see XEP-0045 §7.2 */
export function createJoin({ from, occupant }: Addresses, id: string): Element {
  const history = xml('history', { maxstanzas: '0' })
  return xml('presence', { from, to: occupant, id }, xml('x', { xmlns: NS_MUC }, history))
}

/** @see XEP-0045 §7.14 */
export function createLeave({ from, occupant }: Addresses): Element {
  return xml('presence', { from, to: occupant, type: 'unavailable' })
}

/** What a presence stanza from a room means for the exporter. */
export type RoomEvent =
  | { readonly kind: 'error'; readonly id: string | undefined; readonly error: StanzaError }
  /** An occupant, who can be the exporter, is no longer in the room. */
  | { readonly kind: 'gone'; readonly occupant: string; readonly removal: Removal }
  /** The exporter is in the room. */
  | { readonly kind: 'self'; readonly occupant: string; readonly isNewRoom: boolean }
  | { readonly kind: 'other' }

export type Removal = {
  /** @see XEP-0045 §15.6.2 */
  readonly codes: readonly string[]
  readonly isDestroyed: boolean
}

export function readRoomEvent(presence: Element): RoomEvent {
  const { from: occupant = '', type, id } = presence.attrs
  const user = presence.getChild('x', NS_MUC_USER)
  const codes = (user?.getChildren('status') ?? []).map(({ attrs }) => attrs['code'] ?? '')
  if (type === 'error') return { kind: 'error', id, error: readError(presence) }
  if (type === 'unavailable') {
    // 303: an occupant changes the nickname, and remains in the room.
    if (codes.includes('303')) return { kind: 'other' }
    const isDestroyed = user?.getChild('destroy') !== undefined
    return { kind: 'gone', occupant, removal: { codes, isDestroyed } }
  }
  // 110: this is the exporter's own presence, which ends the list of occupants. 201: joining created the room.
  return codes.includes('110')
    ? { kind: 'self', occupant, isNewRoom: codes.includes('201') }
    : { kind: 'other' }
}

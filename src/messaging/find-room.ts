import { StanzaError } from '../errors.js'
import { NS_DISCO_INFO } from '../xmpp/namespaces.js'
import { xml } from '../xmpp/xml.js'
import type { MessagingClient } from './messaging-client.js'
import { describeJoinError, NOT_A_ROOM, type RoomProblem } from './room-problems.js'

/** Conditions with which a server can refuse information about a room that the exporter may join. */
const REFUSALS = ['forbidden', 'not-allowed', 'feature-not-implemented']

/**
 * Asks the server whether an address is a room. Returns why the exporter cannot join it, if the server knows.
 *
 * @throws {LinkError} @throws {TimeoutError} @see XEP-0045 §6.4
 */
export async function findRoom(
  client: MessagingClient,
  { from, room, timeoutMs }: { from: string; room: string; timeoutMs: number },
): Promise<RoomProblem | undefined> {
  try {
    const query = xml('query', { xmlns: NS_DISCO_INFO })
    const info = await client.request('get', query, { from, to: room, timeoutMs })
    const identities = info.getChild('query', NS_DISCO_INFO)?.getChildren('identity') ?? []
    return identities.some(({ attrs }) => attrs['category'] === 'conference')
      ? undefined
      : NOT_A_ROOM
  } catch (error) {
    if (!(error instanceof StanzaError)) throw error
    if (REFUSALS.includes(error.condition)) return undefined
    // A server answers so for a user, whether the user exists or not (RFC 6121 §8.5.1).
    if (error.condition === 'service-unavailable' && error.type !== 'wait') return NOT_A_ROOM
    return describeJoinError(error, { address: client.address() })
  }
}

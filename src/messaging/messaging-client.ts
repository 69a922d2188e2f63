import { LinkError } from '../errors.js'
import type { Connection } from '../xmpp/connection.js'
import type { Element } from '../xmpp/xml.js'

/** The local part of the address from which the exporter sends messages, and to which people write. */
const LOCAL_PART = 'alerts'

/** The operations on the stream to one server that this folder uses. */
export type MessagingClient = {
  /** The component's domain; `undefined` if the configuration no longer has the server. */
  domain(): string | undefined
  /** The address of the exporter for people: `alerts@` and the component's domain. */
  address(): string
  isConnected(): boolean
  /** @throws {LinkError} The exporter is not connected. @throws {TypeError} XML forbids a character of the stanza. */
  send(stanza: Element): void
  request: Connection['request']
}

/** @param findConnection Returns the current connection to the server. A reload can replace or remove it. */
export function createMessagingClient(
  findConnection: () => Connection | undefined,
): MessagingClient {
  const get = () => {
    const connection = findConnection()
    if (connection) return connection
    throw new LinkError('the configuration no longer has this server')
  }
  return {
    domain: () => findConnection()?.domain,
    address: () => `${LOCAL_PART}@${get().domain}`,
    isConnected: () => findConnection()?.isConnected() ?? false,
    send: (stanza) => {
      get().send(stanza)
    },
    request: async (...args) => get().request(...args),
  }
}

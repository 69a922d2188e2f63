import { LinkError } from '../errors.js'
import { copyString } from '../metrics/copy-string.js'
import type { Connection } from '../xmpp/connection.js'
import { NS_COMMANDS, NS_DISCO_INFO, NS_DISCO_ITEMS } from '../xmpp/namespaces.js'
import { xml, type Element } from '../xmpp/xml.js'
import type { CollectorError } from './failure.js'

// A host with more items lists users or rooms, not hosts.
const MAX_ITEMS = 200
// In bytes: RFC 7622 §3.2.
const MAX_DOMAIN = 1023
// A scrape does not wait that long. It waits with a time-out of its own.
const REPLY_MS = 10_000

export type Identity = { readonly category: string; readonly type: string; readonly name: string }

/** A VirtualHost or component of the server, as it describes itself to the exporter. */
export type Host = {
  readonly jid: string
  readonly identities: readonly Identity[]
  readonly features: ReadonlySet<string>
  /** Nodes of the ad-hoc commands that the host lists, which are those that the exporter may run. */
  readonly commands: ReadonlySet<string>
  /** Why the host, which is configured, has not described itself. */
  readonly problem?: CollectorError
}

type Requester = Pick<Connection, 'request'>

/** Returns the element `query` of the reply, or an error if the host does not exist or does not answer. */
async function queryDisco(
  connection: Requester,
  to: string,
  xmlns: string,
  node?: string,
): Promise<Element | Error> {
  const child = xml('query', { xmlns, node })
  try {
    const reply = await connection.request('get', child, { to, timeoutMs: REPLY_MS })
    return reply.getChild('query', xmlns) ?? new Error('the reply has no <query/>')
  } catch (error) {
    if (error instanceof LinkError) throw error
    return error instanceof Error ? error : new Error(String(error))
  }
}

/**
 * Returns the domains that a host lists; none if it returns an error.
 *
 * @throws {LinkError}
 * @see XEP-0030 §4
 */
export async function itemsOf(connection: Requester, jid: string): Promise<string[]> {
  const items = await queryDisco(connection, jid, NS_DISCO_ITEMS)
  if (items instanceof Error) return []
  return items
    .getChildren('item', NS_DISCO_ITEMS)
    .filter(({ attrs }) => attrs['node'] === undefined)
    .map(({ attrs }) => (attrs['jid'] ?? '').toLowerCase())
    .filter((item) => item !== '' && item.length <= MAX_DOMAIN && !/[@/\s]/.test(item))
    .slice(0, MAX_ITEMS)
    .map(copyString)
}

/**
 * Returns the identities, features and commands of a host, or an error if it does not describe itself.
 *
 * @throws {LinkError}
 * @see XEP-0030 §3; XEP-0050 §2.2
 */
export async function describeHost(connection: Requester, jid: string): Promise<Host | Error> {
  const info = await queryDisco(connection, jid, NS_DISCO_INFO)
  if (info instanceof Error) return info
  const features = new Set(
    info.getChildren('feature', NS_DISCO_INFO).map(({ attrs }) => copyString(attrs['var'] ?? '')),
  )
  const list = features.has(NS_COMMANDS)
    ? await queryDisco(connection, jid, NS_DISCO_ITEMS, NS_COMMANDS)
    : undefined
  const nodes = list && !(list instanceof Error) ? list.getChildren('item', NS_DISCO_ITEMS) : []
  return {
    jid,
    identities: info.getChildren('identity', NS_DISCO_INFO).map(({ attrs }) => ({
      category: copyString(attrs['category'] ?? ''),
      type: copyString(attrs['type'] ?? ''),
      name: copyString(attrs['name'] ?? ''),
    })),
    features,
    commands: new Set(nodes.map(({ attrs }) => copyString(attrs['node'] ?? ''))),
  }
}

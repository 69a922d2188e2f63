import { LinkError } from '../errors.js'
import { copyString } from '../metrics/copy-string.js'
import type { Connection } from '../xmpp/connection.js'
import { NS_COMMANDS, NS_DISCO_INFO, NS_DISCO_ITEMS } from '../xmpp/namespaces.js'
import { xml, type Element } from '../xmpp/xml.js'
import type { CollectorError } from './failure.js'

// The exporter uses at most 200 of the domains that a host lists. Users and rooms do not count.
const MAX_ITEMS = 200
// RFC 7622 §3.2: a domain has at most 1023 bytes.
const MAX_DOMAIN = 1023
// The time-out of one request about a host. A scrape does not wait for it, because `Hosts.list` has a shorter time-out.
const REPLY_MS = 10_000

export type Identity = { readonly category: string; readonly type: string; readonly name: string }

/** A VirtualHost or component of the server, as it describes itself to the exporter. */
export type Host = {
  readonly jid: string
  readonly identities: readonly Identity[]
  readonly features: ReadonlySet<string>
  /** Nodes of the ad-hoc commands that the host lists. Prosody lists the commands that it lets the exporter run. */
  readonly commands: ReadonlySet<string>
  /** Why a configured host has not described itself to the exporter. It is undefined if the host has done so. */
  readonly problem?: CollectorError
}

type Requester = Pick<Connection, 'request'>

/**
 * Returns the element `query` of the reply, or an error if the host does not exist, refuses, does not answer, or
 * replies without it.
 */
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
 * Returns at most 200 domains that a host lists, or an empty list if the host does not answer or answers with an error.
 *
 * @throws {LinkError} The stream to the server is lost.
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
 * Requests the identities, features and ad-hoc commands of a host. If the host refuses or does not answer, the
 * function returns the error.
 *
 * @throws {LinkError} The stream to the server is lost.
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

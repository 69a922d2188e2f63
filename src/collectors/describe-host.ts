import { LinkError } from '../errors.js'
import { copyString } from '../metrics/copy-string.js'
import type { Connection } from '../xmpp/connection.js'
import { NS_COMMANDS, NS_DISCO_INFO, NS_DISCO_ITEMS } from '../xmpp/namespaces.js'
import { xml, type Element } from '../xmpp/xml.js'
import type { CollectorError } from './failure.js'

// A host that lists more than this lists users or rooms.
const MAX_ITEMS = 200
// RFC 7622 §3.2, in bytes.
const MAX_DOMAIN = 1023
// Nobody waits for these answers: a host that takes longer is as good as silent.
const ANSWER_MS = 10_000

export type Identity = { readonly category: string; readonly type: string; readonly name: string }

/** A domain of the server, as it describes itself to the exporter. */
export type Host = {
  readonly jid: string
  readonly identities: readonly Identity[]
  readonly features: ReadonlySet<string>
  /** Nodes of the ad-hoc commands that it lists for us, i.e. that it lets us run. */
  readonly commands: ReadonlySet<string>
  /** It is named in the configuration, and did not describe itself. */
  readonly problem?: CollectorError
}

type Requester = Pick<Connection, 'request'>

/** The answer's query; an error for a host that does not exist, or does not answer. */
async function query(
  connection: Requester,
  to: string,
  xmlns: string,
  node?: string,
): Promise<Element | Error> {
  const child = xml('query', { xmlns, node })
  try {
    const reply = await connection.request('get', child, { to, timeoutMs: ANSWER_MS })
    return reply.getChild('query', xmlns) ?? new Error('an answer without <query/>')
  } catch (error) {
    if (error instanceof LinkError) throw error
    return error instanceof Error ? error : new Error(String(error))
  }
}

/**
 * The domains that a host lists.
 *
 * @throws {LinkError}
 * @see XEP-0030 §4
 */
export async function itemsOf(connection: Requester, jid: string): Promise<string[]> {
  const items = await query(connection, jid, NS_DISCO_ITEMS)
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
 * What a host is able to; an error for one that does not say.
 *
 * @throws {LinkError}
 * @see XEP-0030 §3; XEP-0050 §2.2
 */
export async function describeHost(connection: Requester, jid: string): Promise<Host | Error> {
  const info = await query(connection, jid, NS_DISCO_INFO)
  if (info instanceof Error) return info
  const features = new Set(
    info.getChildren('feature', NS_DISCO_INFO).map(({ attrs }) => copyString(attrs['var'] ?? '')),
  )
  const list = features.has(NS_COMMANDS)
    ? await query(connection, jid, NS_DISCO_ITEMS, NS_COMMANDS)
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

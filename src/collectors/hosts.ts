import { LinkError } from '../errors.js'
import type { Connection } from '../xmpp/connection.js'
import { xml, type Element } from '../xmpp/stream.js'

const NS_COMMANDS = 'http://jabber.org/protocol/commands'
const NS_DISCO_INFO = 'http://jabber.org/protocol/disco#info'
const NS_DISCO_ITEMS = 'http://jabber.org/protocol/disco#items'
// What a server offers changes when it is configured anew, which mostly comes with a new stream.
const KEEP_MS = 300_000
// A host that lists more than this lists users or rooms.
const MAX_ITEMS = 200

export type Identity = { readonly category: string; readonly type: string; readonly name: string }

/** A domain of the server, as it describes itself to us. */
export type Host = {
  readonly jid: string
  readonly identities: readonly Identity[]
  readonly features: ReadonlySet<string>
  /** Nodes of the ad-hoc commands that it lists for us, i.e. that it lets us run. */
  readonly commands: ReadonlySet<string>
}

export type Hosts = {
  /** Those that answered, in the order of their names. Callers at the same time share one search. */
  list(timeoutMs: number): Promise<readonly Host[]>
}

export type HostsOptions = {
  /** In lower case. Default: our component's parent domain. */
  readonly named: readonly string[]
  /** Monotonic milliseconds. */
  readonly now?: () => number
}

/**
 * Finds the hosts to ask: those that are named and the components that they list, with what each is
 * able to. Kept for five minutes, or until the stream is another one.
 *
 * @see XEP-0030 §3, §4; XEP-0050 §2.2
 */
export function createHosts(
  connection: Pick<Connection, 'domain' | 'request' | 'connects'>,
  { named, now = () => performance.now() }: HostsOptions,
): Hosts {
  const roots = named.length > 0 ? named : [parentOf(connection.domain)]
  let found: { hosts: Promise<readonly Host[]>; connects: number; atMs: number } | undefined

  async function search(timeoutMs: number): Promise<readonly Host[]> {
    const listed = await Promise.all(roots.map((root) => itemsOf(root, timeoutMs)))
    const jids = new Set([...roots, ...listed.flat()])
    jids.delete(connection.domain)
    const hosts = await Promise.all([...jids].sort().map((jid) => describe(jid, timeoutMs)))
    return hosts.filter((host) => host !== undefined)
  }

  async function itemsOf(jid: string, timeoutMs: number): Promise<string[]> {
    const items = await query(jid, NS_DISCO_ITEMS, undefined, timeoutMs)
    return (items?.getChildren('item', NS_DISCO_ITEMS) ?? [])
      .filter(({ attrs }) => attrs['node'] === undefined)
      .map(({ attrs }) => (attrs['jid'] ?? '').toLowerCase())
      .filter((item) => item !== '' && !/[@/]/.test(item))
      .slice(0, MAX_ITEMS)
      .map(own)
  }

  async function describe(jid: string, timeoutMs: number): Promise<Host | undefined> {
    const info = await query(jid, NS_DISCO_INFO, undefined, timeoutMs)
    if (!info) return undefined
    const features = new Set(
      info.getChildren('feature', NS_DISCO_INFO).map(({ attrs }) => own(attrs['var'] ?? '')),
    )
    const list = features.has(NS_COMMANDS)
      ? await query(jid, NS_DISCO_ITEMS, NS_COMMANDS, timeoutMs)
      : undefined
    const nodes = list?.getChildren('item', NS_DISCO_ITEMS) ?? []
    return {
      jid,
      identities: info.getChildren('identity', NS_DISCO_INFO).map(({ attrs }) => ({
        category: own(attrs['category'] ?? ''),
        type: own(attrs['type'] ?? ''),
        name: own(attrs['name'] ?? ''),
      })),
      features,
      commands: new Set(nodes.map(({ attrs }) => own(attrs['node'] ?? ''))),
    }
  }

  /** `undefined` for a host that is not there or does not tell. */
  async function query(
    to: string,
    xmlns: string,
    node: string | undefined,
    timeoutMs: number,
  ): Promise<Element | undefined> {
    try {
      const reply = await connection.request('get', xml('query', { xmlns, node }), {
        to,
        timeoutMs,
      })
      return reply.getChild('query', xmlns)
    } catch (error) {
      if (error instanceof LinkError) throw error
      return undefined
    }
  }

  return {
    list(timeoutMs) {
      const connects = connection.connects()
      if (!found || found.connects !== connects || now() - found.atMs >= KEEP_MS) {
        const hosts = search(timeoutMs)
        found = { hosts, connects, atMs: now() }
        hosts.catch(() => (found = undefined))
      }
      return found.hosts
    },
  }
}

function parentOf(domain: string): string {
  return domain.includes('.') ? domain.slice(domain.indexOf('.') + 1) : domain
}

/** A copy: V8 keeps the whole stanza for each string that is cut out of it. */
function own(text: string): string {
  return Buffer.from(text).toString()
}

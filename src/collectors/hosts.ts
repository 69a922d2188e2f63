import { LinkError, TimeoutError } from '../errors.js'
import { own } from '../own.js'
import type { Connection } from '../xmpp/connection.js'
import { NS_COMMANDS, NS_DISCO_INFO, NS_DISCO_ITEMS } from '../xmpp/namespaces.js'
import { xml, type Element } from '../xmpp/stream.js'
import { CollectorError } from './failure.js'

// What a server offers changes when it is configured anew, which mostly comes with a new stream.
const KEEP_MS = 300_000
// Somebody did not answer in time: not for long.
const KEEP_PARTIAL_MS = 30_000
// A host that lists more than this lists users or rooms.
const MAX_ITEMS = 200
// RFC 7622 §3.2, in bytes.
const MAX_DOMAIN = 1023

export type Identity = { readonly category: string; readonly type: string; readonly name: string }

/** A domain of the server, as it describes itself to us. */
export type Host = {
  readonly jid: string
  readonly identities: readonly Identity[]
  readonly features: ReadonlySet<string>
  /** Nodes of the ad-hoc commands that it lists for us, i.e. that it lets us run. */
  readonly commands: ReadonlySet<string>
  /** It is named in the configuration, and told nothing of itself. */
  readonly problem?: CollectorError
}

export type Hosts = {
  /** What the last search found, while it is good. */
  known(): readonly Host[] | undefined
  /** In the order of their names. Callers at the same time share one search. */
  list(timeoutMs: number): Promise<readonly Host[]>
}

export type HostsOptions = {
  /** In lower case. Default: our component's parent domain, if it is of the same server. */
  readonly named: readonly string[]
  /** After each search. */
  readonly onFound?: (hosts: readonly Host[]) => void
  /** Monotonic milliseconds. */
  readonly now?: () => number
}

type Found = {
  readonly hosts: Promise<readonly Host[]>
  result: readonly Host[] | undefined
  readonly connects: number
  untilMs: number
}

/**
 * Finds the hosts to ask: those that are named and the components that they list, with what each is
 * able to. Kept for five minutes, or until the stream is another one.
 *
 * @see XEP-0030 §3, §4; XEP-0050 §2.2
 */
export function createHosts(
  connection: Pick<Connection, 'domain' | 'request' | 'connects'>,
  { named, onFound, now = () => performance.now() }: HostsOptions,
): Hosts {
  let found: Found | undefined

  async function search(timeoutMs: number): Promise<{ hosts: Host[]; isWhole: boolean }> {
    const deadline = now() + timeoutMs
    let isWhole = true

    /** An error for a host that is not there, does not tell, or not in time. */
    async function query(to: string, xmlns: string, node?: string): Promise<Element | Error> {
      const child = xml('query', { xmlns, node })
      const leftMs = Math.max(deadline - now(), 1)
      try {
        const reply = await connection.request('get', child, { to, timeoutMs: leftMs })
        return reply.getChild('query', xmlns) ?? new Error('an answer without <query/>')
      } catch (error) {
        if (error instanceof LinkError) throw error
        if (error instanceof TimeoutError) isWhole = false
        return error instanceof Error ? error : new Error(String(error))
      }
    }

    async function itemsOf(jid: string): Promise<string[]> {
      const items = await query(jid, NS_DISCO_ITEMS)
      if (items instanceof Error) return []
      return items
        .getChildren('item', NS_DISCO_ITEMS)
        .filter(({ attrs }) => attrs['node'] === undefined)
        .map(({ attrs }) => (attrs['jid'] ?? '').toLowerCase())
        .filter((item) => item !== '' && item.length <= MAX_DOMAIN && !/[@/]/.test(item))
        .slice(0, MAX_ITEMS)
        .map(own)
    }

    async function describe(jid: string): Promise<Host | undefined> {
      const info = await query(jid, NS_DISCO_INFO)
      if (info instanceof Error) return named.includes(jid) ? missing(jid, info) : undefined
      const features = new Set(
        info.getChildren('feature', NS_DISCO_INFO).map(({ attrs }) => own(attrs['var'] ?? '')),
      )
      const list = features.has(NS_COMMANDS)
        ? await query(jid, NS_DISCO_ITEMS, NS_COMMANDS)
        : undefined
      const nodes = list && !(list instanceof Error) ? list.getChildren('item', NS_DISCO_ITEMS) : []
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

    async function rootsWithItems(): Promise<string[]> {
      if (named.length > 0) return [...named, ...(await Promise.all(named.map(itemsOf))).flat()]
      // `example.com` of `stats.example.com` may be somebody else's: ours is the one that lists us.
      const parent = parentOf(connection.domain)
      const items = parent === undefined ? [] : await itemsOf(parent)
      return parent !== undefined && items.includes(connection.domain) ? [parent, ...items] : []
    }

    const jids = new Set(await rootsWithItems())
    jids.delete(connection.domain)
    const hosts = await Promise.all([...jids].sort().map(describe))
    return { hosts: hosts.filter((host) => host !== undefined), isWhole }
  }

  function isGood(search: Found | undefined): search is Found {
    return search?.connects === connection.connects() && now() < search.untilMs
  }

  function begin(timeoutMs: number): Found {
    const searching = search(timeoutMs)
    const begun: Found = {
      connects: connection.connects(),
      untilMs: now() + KEEP_MS,
      result: undefined,
      hosts: searching.then(({ hosts }) => hosts),
    }
    searching.then(
      ({ hosts, isWhole }) => {
        begun.result = hosts
        const isEmpty = hosts.every(({ problem }) => problem !== undefined)
        // A server that was busy is asked again at once: nothing is known of it yet.
        if (!isWhole) begun.untilMs = now() + (isEmpty ? 0 : KEEP_PARTIAL_MS)
        onFound?.(hosts)
      },
      () => {
        if (found === begun) found = undefined
      },
    )
    return begun
  }

  return {
    known: () => (isGood(found) ? found.result : undefined),
    list(timeoutMs) {
      // Half, so that there is time left to ask those that are there.
      if (!isGood(found)) found = begin(timeoutMs / 2)
      return found.hosts
    },
  }
}

function missing(jid: string, { message }: Error): Host {
  const problem = new CollectorError(
    'not_found',
    `${jid} of \`hosts\` does not say what it is (${message}): expected a VirtualHost or Component of this server`,
  )
  return { jid, identities: [], features: new Set(), commands: new Set(), problem }
}

function parentOf(domain: string): string | undefined {
  return domain.includes('.') ? domain.slice(domain.indexOf('.') + 1) : undefined
}

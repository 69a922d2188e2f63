import type { Connection } from '../xmpp/connection.js'
import { itemsOf } from './describe-host.js'
import { CollectorError } from './failure.js'

/** The hosts at which a search for hosts starts. */
export type Roots = {
  /**
   * Hosts of this server. Configured hosts are checked only by mod_adhoc_statistics. The search finds the other hosts
   * in the item lists (XEP-0030) of these hosts.
   */
  readonly roots: readonly string[]
  /** The names in the setting `hosts` that are not hosts of this server. Empty without mod_adhoc_statistics. */
  readonly absent: readonly string[]
  /** Returns those items of the host `root` that the exporter queries. */
  readonly select: (items: readonly string[], root: string) => string[] | Promise<string[]>
}

/**
 * Asks mod_adhoc_statistics which of the names are hosts of this server. The result is undefined if the server does not
 * have this module, or has a version that does not support this request.
 */
export type AskServed = (names: readonly string[]) => Promise<ReadonlySet<string> | undefined>

const NO_ROOTS: Roots = { roots: [], absent: [], select: () => [] }
const selectSubdomains: Roots['select'] = (items, root) =>
  items.filter((name) => name.endsWith(`.${root}`))

/**
 * Creates a function that returns the hosts at which a search for hosts starts. These are the configured hosts. If no
 * host is configured, the search starts at the nearest parent of the component's domain that is a host.
 *
 * @param named The configured hosts, in lower case.
 */
export function createRootFinder(
  connection: Pick<Connection, 'domain' | 'request' | 'connects'>,
  named: readonly string[],
  askServed: AskServed,
): () => Promise<Roots> {
  // The items that the parent of the component's domain lists. The exporter requests them once per stream.
  let parentItems: { readonly connects: number; readonly items: Promise<string[]> } | undefined

  /**
   * Finds the first host without mod_adhoc_statistics. The parent of the component's domain is a host of this server
   * if it lists the component.
   */
  async function guessParent(): Promise<Roots> {
    const connects = connection.connects()
    const [parent] = parentsOf(connection.domain)
    if (parent === undefined) return NO_ROOTS
    if (parentItems?.connects !== connects) {
      parentItems = { connects, items: itemsOf(connection, parent) }
    }
    const items = await parentItems.items
    if (!items.includes(connection.domain)) return NO_ROOTS
    return { roots: [parent], absent: [], select: selectSubdomains }
  }

  async function selectServed(items: readonly string[]): Promise<string[]> {
    if (items.length === 0) return []
    const served = await askServed(items)
    if (!served) {
      throw new CollectorError(
        'refused',
        'mod_adhoc_statistics stopped reporting which hosts exist while the exporter searched for hosts. ' +
          'The next scrape searches again. If it repeats, check whether the module is loaded for the component.',
      )
    }
    return items.filter((name) => served.has(name))
  }

  return async () => {
    const wanted = named.length > 0 ? named : parentsOf(connection.domain)
    const served = await askServed(wanted)
    if (!served) {
      return named.length > 0
        ? { roots: named, absent: [], select: selectSubdomains }
        : await guessParent()
    }
    const roots = wanted.filter((name) => served.has(name))
    return {
      // `parentsOf` returns the nearest parent first.
      roots: named.length > 0 ? roots : roots.slice(0, 1),
      absent: named.filter((name) => !served.has(name)),
      select: selectServed,
    }
  }
}

/** Returns the parent domains of a domain. For `a.b.example`, these are `b.example` and `example`, in this order. */
function parentsOf(domain: string): string[] {
  const labels = domain.split('.')
  return labels.slice(1).map((_, i) => labels.slice(i + 1).join('.'))
}

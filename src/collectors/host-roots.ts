import type { Connection } from '../xmpp/connection.js'
import { itemsOf } from './describe-host.js'
import { CollectorError } from './failure.js'

/** Where a search for hosts starts. */
export type Roots = {
  /** Hosts of this server. Their lists of items have the other hosts. */
  readonly roots: readonly string[]
  /** The configured names that are not hosts of this server. */
  readonly absent: readonly string[]
  /** Selects the items of a root that are hosts of this server. */
  readonly select: (items: readonly string[], root: string) => string[] | Promise<string[]>
}

/**
 * Returns which of the names are hosts of this server; undefined if that is unknown, because the server does
 * not have mod_adhoc_statistics.
 */
export type AskServed = (names: readonly string[]) => Promise<ReadonlySet<string> | undefined>

const NO_ROOTS: Roots = { roots: [], absent: [], select: () => [] }
const selectSubdomains: Roots['select'] = (items, root) =>
  items.filter((name) => name.endsWith(`.${root}`))

/**
 * Creates a function that finds the roots of a search: the configured hosts, or else the nearest parent of the
 * component's domain that is a host.
 *
 * @param named The configured hosts, in lower case.
 */
export function createRootFinder(
  connection: Pick<Connection, 'domain' | 'request' | 'connects'>,
  named: readonly string[],
  askServed: AskServed,
): () => Promise<Roots> {
  // The items of the parent. They are requested once per stream.
  let parentItems: { readonly connects: number; readonly items: Promise<string[]> } | undefined

  /** Without the module, the parent is a host of this server if it lists the component. */
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
      throw new CollectorError('refused', 'mod_adhoc_statistics no longer reports the hosts')
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
      // The first parent is the nearest one.
      roots: named.length > 0 ? roots : roots.slice(0, 1),
      absent: named.filter((name) => !served.has(name)),
      select: selectServed,
    }
  }
}

/** Returns the parent domains, the nearest first. */
function parentsOf(domain: string): string[] {
  const labels = domain.split('.')
  return labels.slice(1).map((_, i) => labels.slice(i + 1).join('.'))
}

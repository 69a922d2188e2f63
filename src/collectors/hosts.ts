import { TimeoutError } from '../errors.js'
import type { Connection } from '../xmpp/connection.js'
import { realTime, type Schedule } from '../xmpp/schedule.js'
import { describeHost, itemsOf, type Host } from './describe-host.js'
import { CollectorError } from './failure.js'
import { createRootFinder, type AskServed, type Roots } from './host-roots.js'

// Hosts change their features with the configuration of the server. Then the server mostly ends the stream.
const SEARCH_AGAIN_MS = 300_000
// The same, if a host did not answer.
const SEARCH_PARTIAL_AGAIN_MS = 60_000

export type Hosts = {
  /** Returns the hosts to query; undefined until a search on this stream has found them. */
  known(): readonly Host[] | undefined
  /**
   * Returns the hosts, sorted by name. It waits for the first search on a stream, but at most half of the time-out.
   * The search continues in the background for hosts that have not answered by then. Concurrent calls share one
   * search.
   */
  list(timeoutMs: number): Promise<readonly Host[]>
}

export type HostsOptions = {
  /** The configured hosts, in lower case. Empty: the nearest parent of the component's domain that is a host. */
  readonly named: readonly string[]
  /** Default: a function that returns undefined. */
  readonly served?: AskServed
  /** Called after each search. */
  readonly onFound?: (hosts: readonly Host[]) => void
  /** Monotonic milliseconds. */
  readonly now?: () => number
  readonly schedule?: Schedule
}

/** A search for hosts. It continues in the background until each host has answered or timed out. */
type Search = {
  readonly connects: number
  readonly startedMs: number
  readonly found: Map<string, Host>
  /** Whether the hosts found so far are in use, and later ones are added as they answer. */
  isShown: boolean
  isOver: boolean
  /** Time from the start of this search to the next one. */
  againMs: number
  readonly ended: Promise<void>
}

/**
 * Finds the hosts to query: the configured ones or the parent of the component's domain, and the components that
 * they list. On each stream, the search is repeated every five minutes, or every minute if a host did not answer.
 *
 * The exporter queries hosts of this server only, because Prosody would connect to any other one. The module
 * reports which names are hosts. Without the module, the exporter queries the parent once per stream, and continues
 * only if the parent lists the component.
 */
export function createHosts(
  connection: Pick<Connection, 'domain' | 'request' | 'connects'>,
  options: HostsOptions,
): Hosts {
  const { named, served = () => Promise.resolve(undefined), onFound } = options
  const { now = () => performance.now(), schedule = realTime } = options
  const findRoots = createRootFinder(connection, named, served)
  let search: Search | undefined
  let shown: readonly Host[] | undefined

  function show(from: Search): void {
    if (search !== from) return
    from.isShown = true
    shown = [...from.found.values()].sort((a, b) => (a.jid < b.jid ? -1 : 1))
  }

  function startSearch(): Search {
    const started = newSearch(connection.connects(), now())
    const ended = explore(started).then(
      () => {
        started.isOver = true
        if (search !== started) return
        show(started)
        onFound?.(shown!)
      },
      (error: unknown) => {
        // The stream was lost, or the component's domain did not answer. The next collection starts a new search.
        if (search === started) search = undefined
        throw error
      },
    )
    return Object.assign(started, { ended })
  }

  async function explore(current: Search): Promise<void> {
    const roots = await findRoots()
    for (const jid of roots.absent) {
      current.found.set(jid, missingHost(jid, 'this server has no such host'))
    }
    await forEachHost(connection, roots, (jid) => describe(current, jid))
  }

  async function describe(current: Search, jid: string): Promise<void> {
    const { found } = current
    if (named.includes(jid)) found.set(jid, missingHost(jid, 'no answer yet'))
    const host = await describeHost(connection, jid)
    const previous = shown?.find((each) => each.jid === jid)
    if (host instanceof TimeoutError) current.againMs = SEARCH_PARTIAL_AGAIN_MS
    if (!(host instanceof Error)) found.set(jid, host)
    // A host that was found before stays in use. Its collectors fail until it answers, or until the next stream.
    else if (host instanceof TimeoutError && previous) found.set(jid, previous)
    else if (named.includes(jid)) found.set(jid, missingHost(jid, host.message))
    if (current.isShown) show(current)
  }

  function isOfThisStream(): boolean {
    return search?.connects === connection.connects()
  }

  function known(): readonly Host[] | undefined {
    if (!search || !isOfThisStream()) return undefined
    if (search.isOver && now() - search.startedMs >= search.againMs) {
      // Until the new search ends, the hosts of the previous one are in use.
      search = startSearch()
      search.ended.catch(() => {})
    }
    return shown
  }

  return {
    known,
    async list(timeoutMs) {
      const hosts = known()
      if (hosts) return hosts
      if (!search || !isOfThisStream()) {
        shown = undefined
        search = startSearch()
      }
      const current = search
      // Half of the time-out, so that time is left to query the hosts that have answered.
      await waitAtMost(schedule, timeoutMs / 2, current.ended)
      if (!current.isShown) show(current)
      return shown ?? []
    },
  }
}

function newSearch(connects: number, startedMs: number): Search {
  return {
    connects,
    startedMs,
    found: new Map(),
    isShown: false,
    isOver: false,
    againMs: SEARCH_AGAIN_MS,
    ended: Promise.resolve(),
  }
}

/** Visits the roots and their items, each host once, except the component itself. */
async function forEachHost(
  connection: Pick<Connection, 'domain' | 'request'>,
  { roots, select }: Roots,
  visit: (jid: string) => Promise<void>,
): Promise<void> {
  const visited = new Set([connection.domain])
  const visitOnce = async (jid: string) => {
    if (visited.has(jid)) return
    visited.add(jid)
    await visit(jid)
  }
  const visitItems = async (root: string) => {
    const items = await select(await itemsOf(connection, root), root)
    await Promise.all(items.map(visitOnce))
  }
  // Concurrently, so that a silent host does not delay the others.
  await Promise.all(roots.flatMap((root) => [visitOnce(root), visitItems(root)]))
}

/** Waits until the promise settles, but at most so many milliseconds. Rejects if the promise does. */
async function waitAtMost(schedule: Schedule, ms: number, promise: Promise<void>): Promise<void> {
  let cancel = () => {}
  const time = new Promise<void>((resolve) => {
    cancel = schedule(ms, resolve)
  })
  await Promise.race([promise, time]).finally(() => {
    cancel()
  })
}

/** A configured host that has not described itself. The collector `components` fails with its problem. */
function missingHost(jid: string, why: string): Host {
  const problem = new CollectorError(
    'not_found',
    `${jid} of \`hosts\` does not describe itself (${why}). Name a VirtualHost or Component of this server.`,
  )
  return { jid, identities: [], features: new Set(), commands: new Set(), problem }
}

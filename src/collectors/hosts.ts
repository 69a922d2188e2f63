import { TimeoutError } from '../errors.js'
import type { Connection } from '../xmpp/connection.js'
import { realTime, type Schedule } from '../xmpp/schedule.js'
import { describeHost, itemsOf, type Host } from './describe-host.js'
import { CollectorError } from './failure.js'
import { createRootFinder, type AskServed, type Roots } from './host-roots.js'

// The time from one search for hosts to the next one on the same stream. It can be long, because the set of hosts
// changes only with the configuration of the server, and most such changes need a restart, after which a new stream
// starts.
const SEARCH_AGAIN_MS = 300_000
// The time from one search for hosts to the next one if a host did not answer in the first one.
const SEARCH_PARTIAL_AGAIN_MS = 60_000

export type Hosts = {
  /**
   * Returns the hosts to query, or undefined if no search on the current stream has a result. If it is time, starts the
   * next search.
   */
  known(): readonly Host[] | undefined
  /**
   * Returns the hosts to query, sorted by name. This function waits for the first search on a stream, but at most half
   * of `timeoutMs`. Then the search continues in the background for the hosts that have not answered. Concurrent calls
   * share one search.
   */
  list(timeoutMs: number): Promise<readonly Host[]>
}

export type HostsOptions = {
  /**
   * The configured hosts, in lower case. If the list is empty, the search starts at the nearest parent of the
   * component's domain that is a host.
   */
  readonly named: readonly string[]
  /** Asks mod_adhoc_statistics which names are hosts. By default, the search works as if the module did not exist. */
  readonly served?: AskServed
  /** Receives the hosts after each search. */
  readonly onFound?: (hosts: readonly Host[]) => void
  /** Returns monotonic milliseconds. */
  readonly now?: () => number
  readonly schedule?: Schedule
}

/** A search for hosts. A search continues in the background until each host has answered or timed out. */
type Search = {
  readonly connects: number
  readonly startedMs: number
  readonly found: Map<string, Host>
  /**
   * Whether the collectors already query the hosts that this search has found. If so, each further host is added when
   * it answers.
   */
  isShown: boolean
  isOver: boolean
  /** Time from the start of this search to the next one. */
  againMs: number
  readonly ended: Promise<void>
}

/**
 * Finds the hosts that the exporter queries. These are the configured hosts, or else the parent of the component's
 * domain, and the components that these hosts list. On each stream, the first collection after five minutes repeats the
 * search, or after one minute if a host timed out.
 *
 * The exporter must not query a host of another server, because Prosody would then connect to that server.
 * mod_adhoc_statistics reports which names are hosts of this server. Without this module and without configured hosts,
 * the exporter queries the parent once per stream. It queries further hosts only if the parent lists the component.
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
        // The search failed, for example because the stream was lost. The next collection starts a new search.
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
    // A host that an earlier search found, and that no longer answers, is still queried. So the collectors fail until
    // the host answers, or until the next stream.
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
      // The collectors query the hosts of the previous search until the new search ends.
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
      // The search gets half of the time-out. The other half is for the queries to the hosts that it finds.
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

/** Calls `visit` once for each root and for each selected item of a root, but not for the component itself. */
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
  // The visits run concurrently, so that a host that does not answer does not delay the others.
  await Promise.all(roots.flatMap((root) => [visitOnce(root), visitItems(root)]))
}

/**
 * Waits until the promise settles, but at most `ms` milliseconds. If the promise rejects in that time, this function
 * rejects too.
 */
async function waitAtMost(schedule: Schedule, ms: number, promise: Promise<void>): Promise<void> {
  let cancel = () => {}
  const time = new Promise<void>((resolve) => {
    cancel = schedule(ms, resolve)
  })
  await Promise.race([promise, time]).finally(() => {
    cancel()
  })
}

/** Creates the entry for a configured host that has not described itself. It makes the collector `components` fail. */
function missingHost(jid: string, why: string): Host {
  const problem = new CollectorError(
    'not_found',
    `${jid} of \`hosts\` does not describe itself (${why}). Name a VirtualHost or Component of this server.`,
  )
  return { jid, identities: [], features: new Set(), commands: new Set(), problem }
}

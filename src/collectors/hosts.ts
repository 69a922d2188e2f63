import { TimeoutError } from '../errors.js'
import type { Connection } from '../xmpp/connection.js'
import { realTime, type Schedule } from '../xmpp/schedule.js'
import { describeHost, itemsOf, type Host } from './describe-host.js'
import { CollectorError } from './failure.js'

export type { Host } from './describe-host.js'

// What a server offers changes when its configuration does, which mostly comes with a new stream.
const KEEP_MS = 300_000
// A host was silent.
const KEEP_PARTIAL_MS = 60_000

export type Hosts = {
  /** The hosts to ask, while they are known. */
  known(): readonly Host[] | undefined
  /**
   * The same, in the order of their names. The first search on a stream is waited for, and hosts that
   * do not answer it within half of that time are left to it. Callers share one search.
   */
  list(timeoutMs: number): Promise<readonly Host[]>
}

export type HostsOptions = {
  /** In lower case. Default: the nearest parent of the component's domain that this server has. */
  readonly named: readonly string[]
  /** Which of these names are hosts of this server. Default, and undefined: that is not known. */
  readonly served?: (names: readonly string[]) => Promise<ReadonlySet<string> | undefined>
  /** After each search. */
  readonly onFound?: (hosts: readonly Host[]) => void
  /** Monotonic milliseconds. */
  readonly now?: () => number
  readonly schedule?: Schedule
}

/** A search, which goes on in the background for as long as a host is silent. */
type Search = {
  readonly connects: number
  readonly startedMs: number
  readonly found: Map<string, Host>
  /** Collections no longer wait for it. */
  isShown: boolean
  isOver: boolean
  keepMs: number
  readonly ended: Promise<void>
}

type Roots = {
  readonly roots: readonly string[]
  readonly select: (items: readonly string[], root: string) => string[] | Promise<string[]>
}

const NO_ROOTS: Roots = { roots: [], select: () => [] }
const subdomains: Roots['select'] = (items, root) =>
  items.filter((name) => name.endsWith(`.${root}`))

/**
 * Finds the hosts to ask: those that are named, or the component's parent, and the components that
 * they list, with what each is able to. A stream searches again after five minutes; after one where a
 * host was silent.
 *
 * Nobody is asked who may be another server: Prosody would connect to it. The module says which names
 * the server has; without it the parent is tried once a stream, and asked further if it lists us.
 */
export function createHosts(
  connection: Pick<Connection, 'domain' | 'request' | 'connects'>,
  options: HostsOptions,
): Hosts {
  const { named, served = () => Promise.resolve(undefined), onFound } = options
  const { now = () => performance.now(), schedule = realTime } = options
  let search: Search | undefined
  let shown: readonly Host[] | undefined
  // What the guess on this stream came to.
  let guess: { readonly connects: number; readonly items: Promise<string[]> } | undefined

  /** Hosts to begin with, and which of the names that one of them lists are hosts of this server. */
  async function findRoots(found: Search['found']): Promise<Roots> {
    const { domain } = connection
    const wanted = named.length > 0 ? named : parentsOf(domain)
    const here = await served(wanted)
    if (!here) return named.length > 0 ? { roots: named, select: subdomains } : await guessParent()
    for (const jid of named.filter((name) => !here.has(name))) {
      found.set(jid, missing(jid, 'this server has no such host'))
    }
    const roots = wanted.filter((name) => here.has(name))
    return {
      // The first parent is the nearest.
      roots: named.length > 0 ? roots : roots.slice(0, 1),
      select: async (items) => {
        if (items.length === 0) return []
        const all = await served(items)
        if (!all)
          throw new CollectorError('refused', 'the module no longer says which hosts there are')
        return items.filter((name) => all.has(name))
      },
    }
  }

  /** Without the module: `example.com` of `stats.example.com` is ours if it lists us. */
  async function guessParent(): Promise<Roots> {
    const connects = connection.connects()
    const [parent] = parentsOf(connection.domain)
    if (parent === undefined) return NO_ROOTS
    if (guess?.connects !== connects) {
      guess = { connects, items: itemsOf(connection, parent) }
    }
    const items = await guess.items
    return items.includes(connection.domain) ? { roots: [parent], select: subdomains } : NO_ROOTS
  }

  /** A host, and then what it lists: the ones that are silent keep no others waiting. */
  async function explore({ roots, select }: Roots, describe: (jid: string) => Promise<void>) {
    const listed = async (root: string) => {
      const items = await select(await itemsOf(connection, root), root)
      await Promise.all(items.map(describe))
    }
    await Promise.all(roots.flatMap((root) => [describe(root), listed(root)]))
  }

  function begin(): Search {
    const found = new Map<string, Host>()
    const asked = new Set([connection.domain])
    const describe = async (jid: string) => {
      if (asked.has(jid)) return
      asked.add(jid)
      // Until it answers.
      if (named.includes(jid)) found.set(jid, missing(jid, 'no answer yet'))
      const host = await describeHost(connection, jid)
      if (host instanceof TimeoutError) begun.keepMs = KEEP_PARTIAL_MS
      // Its collectors continue to fail until it answers, or until the next stream.
      const before = shown?.find((each) => each.jid === jid)
      if (!(host instanceof Error)) found.set(jid, host)
      else if (host instanceof TimeoutError && before) found.set(jid, before)
      else if (named.includes(jid)) found.set(jid, missing(jid, host.message))
      if (begun.isShown) show(begun)
    }
    const begun: Search = {
      connects: connection.connects(),
      startedMs: now(),
      found,
      isShown: false,
      isOver: false,
      keepMs: KEEP_MS,
      ended: Promise.resolve(),
    }
    const ended = findRoots(found)
      .then((roots) => explore(roots, describe))
      .then(
        () => {
          end(begun)
        },
        (error: unknown) => {
          // The link is lost, or our own domain did not answer: the next collection asks again.
          if (search === begun) search = undefined
          throw error
        },
      )
    return Object.assign(begun, { ended })
  }

  function end(ended: Search): void {
    ended.isOver = true
    if (search !== ended) return
    show(ended)
    onFound?.(shown!)
  }

  function show(from: Search): void {
    if (search !== from) return
    from.isShown = true
    shown = [...from.found.values()].sort((a, b) => (a.jid < b.jid ? -1 : 1))
  }

  function isOfThisStream(): boolean {
    return search?.connects === connection.connects()
  }

  function known(): readonly Host[] | undefined {
    if (!search || !isOfThisStream()) return undefined
    if (search.isOver && now() - search.startedMs >= search.keepMs) {
      // The hosts that are known are asked meanwhile.
      search = begin()
      search.ended.catch(() => {})
      return shown
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
        search = begin()
      }
      const mine = search
      // Half, so that there is time left to ask the hosts that answer.
      await within(schedule, timeoutMs / 2, mine.ended)
      if (!mine.isShown) show(mine)
      return shown ?? []
    },
  }
}

/** Resolves when the promise does, or after so long; rejects if it does so before. */
async function within(schedule: Schedule, ms: number, promise: Promise<void>): Promise<void> {
  let cancel = () => {}
  const time = new Promise<void>((resolve) => {
    cancel = schedule(ms, resolve)
  })
  await Promise.race([promise, time]).finally(() => {
    cancel()
  })
}

function missing(jid: string, why: string): Host {
  const problem = new CollectorError(
    'not_found',
    `${jid} of \`hosts\` does not say what it is (${why}): expected a VirtualHost or Component of this server`,
  )
  return { jid, identities: [], features: new Set(), commands: new Set(), problem }
}

/** The domains above it, the nearest first. */
function parentsOf(domain: string): string[] {
  const labels = domain.split('.')
  return labels.slice(1).map((_, i) => labels.slice(i + 1).join('.'))
}

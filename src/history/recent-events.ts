import type { Family } from '../metrics/family.js'
import { readRegistryUpdateTime } from '../metrics/own-families.js'
import type { Collection } from '../scrape/scraper.js'
import { createRowReader, findLabel, type Row } from './family-rows.js'

/**
 * What happened on a server in the last minutes, for the list of what needs attention. Counters alone do not show this.
 * The durations are those of the alerts in deploy/prometheus/rules.yml.
 */
export type RecentEvents = {
  /** About the last five minutes. */
  readonly short: ShortEvents
  /** The connections to other servers in about the last 15 minutes. */
  readonly s2s: {
    readonly overMs: number
    /** The hosts with the most failed connections: at most 5. */
    readonly hosts: readonly HostConnections[]
  }
}

export type ShortEvents = {
  /** How long the events were counted. This is shorter than five minutes after the exporter has connected. */
  readonly overMs: number
  /** The hosts with the most failed logins: at most 5. */
  readonly hosts: readonly HostLogins[]
  /** The logins on all hosts, successful and failed. */
  readonly logins: number
  /** How many of the measurements of the event loop found Prosody blocked for more than `SLOW_LOOP_SECONDS`. */
  readonly loop: { readonly slow: number; readonly measured: number }
  /** The connections that ended before they authenticated: from clients, and from other servers. */
  readonly unauthenticated: { readonly c2s: number; readonly s2sin: number }
}

export type HostLogins = {
  readonly host: string
  readonly failed: number
  readonly succeeded: number
}

export type HostConnections = {
  readonly host: string
  /** The connections that did not authenticate. Prosody does not count failed connections themselves. */
  readonly failed: number
  readonly initiated: number
}

/** A bucket of the histogram `xmpp_loop_lag_seconds` has this bound. Users notice longer pauses. */
export const SLOW_LOOP_SECONDS = 0.5

// A tenth more than five and 15 minutes, because the samples are not exact to the second.
const SHORT_MS = 5.5 * 60_000
const LONG_MS = 16.5 * 60_000
/** The shortest time between two samples of the counters. */
const SPACING_MS = 60_000
const MAX_HOSTS = 5

/** The counters of a host, or those of the whole server. Samples are arrays, because objects would take more memory. */
const HOST_COUNTERS = ['failed', 'succeeded', 'initiated', 'authenticated'] as const
const SERVER_COUNTERS = ['slow', 'measured', 'c2s', 's2sin'] as const
type HostCounts = Record<(typeof HOST_COUNTERS)[number], number>
type ServerCounts = Record<(typeof SERVER_COUNTERS)[number], number>
const COLUMNS = 4

type Counters = { readonly server: ServerCounts; readonly hosts: ReadonlyMap<string, HostCounts> }

/** The counters at one time. The first row is that of the server, and each host has a row. */
type CounterSample = { readonly atMs: number; readonly values: Float64Array }

/**
 * Creates a function that returns the events of the last minutes. Call it with each collection and the number of logins
 * of the exporter so far. It returns `undefined` if the counters are unknown.
 *
 * @param now Returns the time in monotonic milliseconds.
 */
export function createEventCounter(now = () => performance.now()) {
  /** The row of each host in the samples. A host that has a counter for the first time gets the next row. */
  let rows = new Map<string, number>()
  let samples: CounterSample[] = []
  let stream: number | undefined

  function encode({ server, hosts }: Counters): Float64Array {
    for (const host of hosts.keys()) if (!rows.has(host)) rows.set(host, rows.size + 1)
    const values = new Float64Array((rows.size + 1) * COLUMNS)
    values.set(SERVER_COUNTERS.map((name) => server[name]))
    for (const [host, counts] of hosts) {
      values.set(
        HOST_COUNTERS.map((name) => counts[name]),
        rows.get(host)! * COLUMNS,
      )
    }
    return values
  }

  return (collection: Collection, connects: number): RecentEvents | undefined => {
    // A restart of Prosody resets the counters, and ends the stream.
    if (stream !== connects) {
      rows = new Map()
      samples = []
    }
    stream = connects
    const counters = readCounters(collection)
    if (!counters) return undefined
    const [atMs, values] = [now(), encode(counters)]
    samples = samples.filter((sample) => atMs - sample.atMs <= LONG_MS)
    const last = samples.at(-1)
    if (!last || atMs - last.atMs >= SPACING_MS) samples.push({ atMs, values })
    const since = (maxMs: number): Increases => {
      const base = samples.find((sample) => atMs - sample.atMs <= maxMs) ?? { atMs, values }
      // A counter that did not exist then was 0. A counter that is lower than then was reset.
      const increases = values.map((value, i) => Math.max(value - (base.values[i] ?? 0), 0))
      return { overMs: atMs - base.atMs, increases, rows }
    }
    return describeEvents(since(SHORT_MS), since(LONG_MS))
  }
}

type Increases = {
  readonly overMs: number
  readonly increases: Float64Array
  readonly rows: ReadonlyMap<string, number>
}

function describeEvents(short: Increases, long: Increases): RecentEvents {
  const [slow = 0, measured = 0, c2s = 0, s2sin = 0] = short.increases
  const hosts = listHosts(short, ([failed = 0, succeeded = 0]) => ({ failed, succeeded }))
  return {
    short: {
      overMs: short.overMs,
      hosts: selectWorst(hosts),
      logins: hosts.reduce((sum, { failed, succeeded }) => sum + failed + succeeded, 0),
      loop: { slow, measured },
      unauthenticated: { c2s, s2sin },
    },
    s2s: {
      overMs: long.overMs,
      hosts: selectWorst(
        listHosts(long, ([, , initiated = 0, authenticated = 0]) => ({
          initiated,
          failed: Math.max(initiated - authenticated, 0),
        })),
      ),
    },
  }
}

const listHosts = <T>({ rows, increases }: Increases, describe: (counts: Float64Array) => T) =>
  Array.from(rows, ([host, row]) => ({
    host,
    ...describe(increases.subarray(row * COLUMNS, (row + 1) * COLUMNS)),
  }))

const selectWorst = <T extends { readonly failed: number }>(hosts: readonly T[]): T[] =>
  hosts
    .filter(({ failed }) => failed > 0)
    .sort((a, b) => b.failed - a.failed)
    .slice(0, MAX_HOSTS)

/** Reads the counters of a collection. Without the statistics of Prosody, they are unknown. */
function readCounters({ isUp, families, results }: Collection): Counters | undefined {
  const registry = results.find(({ name }) => name === 'registry')?.output
  const updated = readRegistryUpdateTime(registry?.collected.exporterFamilies)
  if (!isUp || updated === undefined) return undefined
  const readRows = createRowReader(families)
  const hosts = new Map<string, HostCounts>()
  const add = (counter: keyof HostCounts, rows: readonly Row[] = []) => {
    for (const { labels, value } of rows) {
      const host = findLabel(labels, 'host') ?? ''
      // Many hosts have no such events, and need no memory.
      if (value === 0 || host === '') continue
      const counts = hosts.get(host) ?? { failed: 0, succeeded: 0, initiated: 0, authenticated: 0 }
      counts[counter] += value
      hosts.set(host, counts)
    }
  }
  add('failed', readRows('xmpp_login_failures'))
  add('succeeded', readRows('xmpp_logins'))
  add('initiated', readRows('prosody_mod_s2s__initiated'))
  const isOutgoing = ({ labels }: Row) => findLabel(labels, 'direction') === 'outgoing'
  add('authenticated', readRows('prosody_mod_s2s__authenticated')?.filter(isOutgoing))
  const closed = readRows('xmpp_connections_closed_unauthenticated')
  const countClosed = (type: string) =>
    closed?.find(({ labels }) => findLabel(labels, 'type') === type)?.value ?? 0
  const lag = families.find(({ name }) => name === 'xmpp_loop_lag_seconds')
  return {
    server: { ...readLoop(lag), c2s: countClosed('c2s'), s2sin: countClosed('s2sin') },
    hosts,
  }
}

/** Returns the number of measurements of the event loop, and how many of them were too long. */
function readLoop(lag: Family | undefined): Pick<ServerCounts, 'slow' | 'measured'> {
  const bucket = lag?.bounds.indexOf(SLOW_LOOP_SECONDS) ?? -1
  if (lag?.type !== 'histogram' || lag.length !== 1 || bucket < 0) return { slow: 0, measured: 0 }
  const measured = lag.values.at(-1)!
  return { slow: measured - lag.values[bucket]!, measured }
}

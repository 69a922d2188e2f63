import { reasonText, type Mask } from '../log/mask.js'
import { addCount } from '../metrics/counts.js'
import { type Family } from '../metrics/family.js'
import { readRegistryUpdateTime } from '../metrics/own-families.js'
import type { CollectorResult } from '../scrape/collector-result.js'
import type { Collection } from '../scrape/scraper.js'
import { addUp, createRowReader, findLabel, type Row, type RowReader } from './family-rows.js'
import type { RecentEvents } from './recent-events.js'
import type { StatisticsInterval } from './statistics-interval.js'

/** A summary of one collection for the status page. It has a few values, and no personal data. */
export type ServerSummary = {
  readonly atMs: number
  readonly isUp: boolean
  /** How often the exporter had connected to the server when the collection ended. */
  readonly connects: number
  /** Why the server did not answer; `undefined` if the server answered. */
  readonly problem: string | undefined
  /** Names and versions of the server software, for example `Prosody 13.0.1`. */
  readonly software: readonly string[]
  readonly startedAtMs: number | undefined
  /** The hosts with the most users and connections: at most 50. */
  readonly hosts: readonly HostSummary[]
  /** The number of hosts of the server that are not in the list `hosts`. */
  readonly omittedHosts: number
  readonly shares: readonly Share[]
  readonly values: SummaryValues
  readonly sources: readonly SourceState[]
  /** Whether mod_adhoc_statistics answered, but Prosody has not collected its statistics for the first time. */
  readonly isWaitingForProsody: boolean
  /** How old the values from Prosody can be; `undefined` if Prosody collects them for each scrape. */
  readonly interval: StatisticsInterval | undefined
  /** The certificates that expire first: at most 5. */
  readonly certificates: readonly Certificate[]
  /** Hosts whose certificate was renewed, but Prosody still uses the old one: at most 5. */
  readonly hostsToReload: readonly string[]
  /** The events of the last minutes; `undefined` if unknown. */
  readonly recent: RecentEvents | undefined
}

export type Certificate = {
  readonly host: string
  /** For example `https`; `undefined` if all services of the host use this certificate. */
  readonly service: string | undefined
  readonly expiresAtMs: number
}

/** The values of one host. A value is absent if the server does not report it. */
export type HostSummary = { readonly host: string } & Partial<
  Record<'users' | 'clients' | 'serversIn' | 'serversOut', number>
>

/** How a total splits into parts, for example the number of clients of each IP family. */
export type Share = { readonly title: string; readonly parts: readonly SharePart[] }
export type SharePart = { readonly name: string; readonly count: number }

/** Values of the whole server. A value is absent if the server does not report it. */
export type SummaryValues = Partial<Record<SummaryValueName, number>>
export type SummaryValueName =
  | ('users' | 'clients' | 'serversIn' | 'serversOut' | 'pingSeconds')
  | ('rooms' | 'occupants' | 'accounts' | 'unauthenticated')
  | ('memoryBytes' | 'openFds' | 'maxFds')
  // The values from `messages` to `cpuSeconds` are counters.
  | ('messages' | 'presences' | 'iqs' | 'logins' | 'loginFailures' | 'lagSum' | 'lagCount')
  | ('registrations' | 'cpuSeconds')

/** The state of one collector after a collection. */
export type SourceState = {
  readonly name: string
  /** `idle`: the collector succeeded and returned no series. */
  readonly state: 'works' | 'idle' | 'failed'
  /** Why the collector failed. */
  readonly reason: string | undefined
  readonly durationSeconds: number
}

// The lists of a summary are short, because each update of the status page sends them to every viewer.
const MAX_HOSTS = 50
const MAX_SOFTWARE = 20
const MAX_PARTS = 20
const MAX_CERTIFICATES = 5

/**
 * Creates the summary of a collection.
 *
 * @param options.connects How often the exporter has connected to the server. Default: 1.
 * @param options.recent What happened in the last minutes, from `createEventCounter`.
 * @param options.ownDomain The component domain of the exporter, whose stanzas are not counted.
 * @param options.maskSecret Masks the secret of the component in error texts. Default: the secret is not masked.
 */
export function summarize(
  { isUp, families, results }: Collection,
  atMs: number,
  options: {
    readonly connects?: number
    readonly interval?: StatisticsInterval | undefined
    readonly recent?: RecentEvents | undefined
    readonly ownDomain?: string
    readonly maskSecret?: Mask
  } = {},
): ServerSummary {
  const { connects = 1, interval, recent, ownDomain, maskSecret = (text: string) => text } = options
  const describe = (error: unknown) => reasonText(error, maskSecret)
  const firstError = results.find(({ error }) => error !== undefined)?.error
  const readRows = createRowReader(families)
  const connections = readConnections(readRows)
  const hosts = summarizeHosts(connections.byHost)
  return {
    atMs,
    isUp,
    connects,
    problem: isUp ? undefined : describe(firstError ?? 'the server did not answer'),
    software: readSoftware(readRows),
    // The earliest start time is that of the server. Hosts that a reload of Prosody adds have a later start time.
    startedAtMs: findExtreme(
      Math.min,
      readRows('xmpp_start_time_seconds')
        ?.filter(isTime)
        .map(({ value }) => value * 1000),
    ),
    hosts: hosts.slice(0, MAX_HOSTS),
    omittedHosts: Math.max(hosts.length - MAX_HOSTS, 0),
    shares: summarizeShares(readRows, connections),
    values: summarizeValues(readRows, connections, { families, ownDomain }),
    sources: results.map((result) => summarizeSource(result, describe)),
    isWaitingForProsody: isWaitingForProsody(results),
    interval,
    certificates: listCertificates(readRows, ownDomain),
    hostsToReload: listHostsToReload(readRows, ownDomain),
    recent,
  }
}

/** Whether a value in seconds is a time that `Date` supports. */
const isTime = ({ value }: Row) => Math.abs(value) <= 8.64e12

// Nobody connects to the component of the exporter with TLS, so its certificate is omitted.

function listCertificates(readRows: RowReader, ownDomain: string | undefined): Certificate[] {
  // The labels of few series are read, because a server can have thousands of certificates. A host has at most five.
  return (readRows('xmpp_certificate_expiry_timestamp_seconds') ?? [])
    .filter(isTime)
    .sort((a, b) => a.value - b.value)
    .slice(0, 2 * MAX_CERTIFICATES)
    .map(({ labels, value }) => ({
      host: findLabel(labels, 'host') ?? '',
      service: findLabel(labels, 'service') || undefined,
      expiresAtMs: value * 1000,
    }))
    .filter(({ host }) => host !== ownDomain)
    .slice(0, MAX_CERTIFICATES)
}

const listHostsToReload = (readRows: RowReader, ownDomain: string | undefined) =>
  (readRows('xmpp_certificate_reload_needed') ?? [])
    .filter(({ value }) => value === 1)
    .map(({ labels }) => findLabel(labels, 'host') ?? '')
    .filter((host) => host !== ownDomain)
    .slice(0, MAX_CERTIFICATES)

type Connections = ReturnType<typeof readConnections>

function readConnections(readRows: RowReader) {
  const c2s = readRows('prosody_mod_c2s__connections')
  const inbound = readRows('prosody_mod_s2s__connections_inbound')
  const outbound = readRows('prosody_mod_s2s__connections_outbound')
  const s2s = readRows('xmpp_s2s_connections')
  const byHost = {
    users: readRows('xmpp_online_users'),
    clients:
      readRows('xmpp_client_connections') ??
      c2s?.filter(({ labels }) => (findLabel(labels, 'type') ?? 'c2s') === 'c2s'),
    serversIn: inbound ?? s2s?.filter(({ labels }) => findLabel(labels, 'direction') === 'in'),
    serversOut: outbound ?? s2s?.filter(({ labels }) => findLabel(labels, 'direction') === 'out'),
  }
  return { c2s, inbound, outbound, s2s, byHost }
}

function readSoftware(readRows: RowReader): readonly string[] {
  const names = readRows('xmpp_info')?.map(({ labels }) =>
    `${findLabel(labels, 'name') ?? ''} ${findLabel(labels, 'version') ?? ''}`.trim(),
  )
  return [...new Set(names)].filter((name) => name !== '').slice(0, MAX_SOFTWARE)
}

function summarizeShares(
  readRows: RowReader,
  { c2s, inbound, outbound, s2s }: Connections,
): readonly Share[] {
  const encrypted = readRows('prosody_mod_c2s__encrypted')
  const serverStreams = inbound || outbound ? [...(inbound ?? []), ...(outbound ?? [])] : undefined
  return [
    summarizeShare('Clients by IP family', c2s, 'ip_family', IP_FAMILIES),
    summarizeShare('Clients by state', c2s, 'type', CLIENT_STATES),
    summarizeShare(
      'TLS versions of clients since Prosody started',
      encrypted,
      'protocol',
      new Map(),
    ),
    summarizeShare('Server connections by security', s2s, 'security', SECURITIES),
    summarizeShare('Server connections by IP family', serverStreams, 'ip_family', IP_FAMILIES),
  ].flatMap((share) => share ?? [])
}

function summarizeValues(
  readRows: RowReader,
  { byHost }: Connections,
  {
    families,
    ownDomain,
  }: { readonly families: readonly Family[]; readonly ownDomain: string | undefined },
): SummaryValues {
  // The exporter itself sends a few requests for each collection. They are no traffic of the server.
  const isOwn = (labels: string) =>
    findLabel(labels, 'host') === ownDomain && findLabel(labels, 'from') === 'component'
  const stanzas = readRows('xmpp_stanzas')?.filter(({ labels }) => !isOwn(labels))
  const ofKind = (kind: string) =>
    stanzas?.filter(({ labels }) => findLabel(labels, 'kind') === kind)
  const pings = readRows('xmpp_ping_seconds')?.map(({ value }) => value)
  const lag = families.find(({ name }) => name === 'xmpp_loop_lag_seconds')
  return keepFinite({
    users: addUp(byHost.users),
    clients: addUp(byHost.clients),
    serversIn: addUp(byHost.serversIn),
    serversOut: addUp(byHost.serversOut),
    messages: addUp(ofKind('message')),
    presences: addUp(ofKind('presence')),
    iqs: addUp(ofKind('iq')),
    logins: addUp(readRows('xmpp_logins')),
    loginFailures: addUp(readRows('xmpp_login_failures')),
    pingSeconds: findExtreme(Math.max, pings),
    rooms: addUp(readRows('xmpp_muc_live_rooms')),
    occupants: addUp(readRows('xmpp_muc_occupants')),
    accounts: addUp(readRows('xmpp_registered_users')),
    unauthenticated: addUp(readRows('xmpp_unauthenticated_connections')),
    registrations: addUp(readRows('xmpp_registrations')),
    memoryBytes: addUp(readRows('xmpp_process_resident_memory_bytes')),
    cpuSeconds: addUp(readRows('xmpp_process_cpu_seconds')),
    openFds: addUp(readRows('xmpp_process_open_fds')),
    maxFds: addUp(readRows('xmpp_process_max_fds')),
    ...(lag?.type === 'histogram' && getSumAndCount(lag)),
  })
}

function summarizeSource(
  { name, output, error, durationSeconds }: CollectorResult,
  describe: (error: unknown) => string,
): SourceState {
  if (error !== undefined) {
    return { name, state: 'failed', reason: describe(error), durationSeconds }
  }
  const hasSeries = output?.collected.families.some(({ order }) => order.length > 0)
  return { name, state: hasSeries ? 'works' : 'idle', reason: undefined, durationSeconds }
}

function isWaitingForProsody(results: readonly CollectorResult[]): boolean {
  const registry = results.find(({ name }) => name === 'registry')
  const output = registry?.output
  return (
    output !== undefined && readRegistryUpdateTime(output.collected.exporterFamilies) === undefined
  )
}

const IP_FAMILIES: ReadonlyMap<string, string> = new Map([
  ['ipv4', 'IPv4'],
  ['ipv6', 'IPv6'],
])
const CLIENT_STATES: ReadonlyMap<string, string> = new Map([
  ['c2s', 'logged in'],
  ['c2s_unbound', 'no resource yet'],
  ['c2s_unauthed', 'not logged in'],
])
const SECURITIES: ReadonlyMap<string, string> = new Map([
  ['verified', 'certificate verified'],
  ['encrypted', 'encrypted'],
  ['plain', 'not encrypted'],
])

// `Math.min(...values)` would overflow the stack, because a family can have more than 100,000 values.
const findExtreme = (choose: (a: number, b: number) => number, values: readonly number[] = []) =>
  values.length > 0 ? values.reduce((a, b) => choose(a, b)) : undefined

/** Returns the sum and the count of a histogram with one series. They are the last two values of its row. */
function getSumAndCount({ values, length }: Family) {
  return length === 1 ? { lagSum: values.at(-2), lagCount: values.at(-1) } : {}
}

function keepFinite(
  values: Readonly<Partial<Record<SummaryValueName, number | undefined>>>,
): SummaryValues {
  return Object.fromEntries(
    Object.entries(values).filter(([, value]) => value !== undefined && Number.isFinite(value)),
  )
}

/** Adds up the series of each host, and sorts the hosts by their number of users and connections, the largest first. */
function summarizeHosts(
  columns: Readonly<Record<string, readonly Row[] | undefined>>,
): HostSummary[] {
  const hosts = new Map<string, Record<string, number>>()
  for (const [column, rows] of Object.entries(columns)) {
    for (const { labels, value } of rows ?? []) {
      const host = findLabel(labels, 'host') ?? ''
      const values = hosts.get(host) ?? {}
      values[column] = (values[column] ?? 0) + value
      hosts.set(host, values)
    }
  }
  const size = (values: Record<string, number>) =>
    Object.values(values).reduce((sum, value) => sum + value, 0)
  // Prosody counts a connection with an empty host name until its host is known. An empty host without connections is
  // omitted.
  if (Object.values(hosts.get('') ?? {}).every((value) => value === 0)) hosts.delete('')
  return Array.from(hosts)
    .sort(([a, x], [b, y]) => size(y) - size(x) || (a < b ? -1 : 1))
    .map(([host, values]) => ({ host, ...values }))
}

/**
 * Adds up the series for each value of a label.
 *
 * @param names The texts to show instead of values of the label. A value that is not in this map is shown unchanged.
 */
function summarizeShare(
  title: string,
  rows: readonly Row[] | undefined,
  label: string,
  names: ReadonlyMap<string, string>,
): Share | undefined {
  if (!rows?.some(({ labels }) => findLabel(labels, label) !== undefined)) return undefined
  const counts = new Map<string, number>()
  for (const { labels, value } of rows) {
    const text = findLabel(labels, label) ?? ''
    const name = names.get(text) ?? text
    addCount(counts, name, value)
  }
  const order = [...names.values()]
  const parts = Array.from(counts, ([name, count]) => ({ name, count }))
  parts.sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name))
  const others = parts.splice(MAX_PARTS).reduce((sum, { count }) => sum + count, 0)
  return { title, parts: others > 0 ? [...parts, { name: 'others', count: others }] : parts }
}

import { reasonText, type Mask } from '../log/mask.js'
import { addCount } from '../metrics/counts.js'
import { labelsOf, type Family } from '../metrics/family.js'
import type { Collection } from '../scrape/scraper.js'

/** What one collection says for people: few numbers, and nothing of a person. */
export type ServerSummary = {
  readonly atMs: number
  readonly up: boolean
  /** Why the server did not answer. */
  readonly problem: string | undefined
  /** e.g. `Prosody 13.0.1` */
  readonly software: readonly string[]
  readonly startedAtMs: number | undefined
  /** Those with most connections, `MAX_HOSTS` at most. */
  readonly hosts: readonly HostSummary[]
  readonly hostsLeftOut: number
  readonly shares: readonly Share[]
  readonly figures: SummaryValues
  readonly sources: readonly SourceState[]
}

/** Undefined: not told. */
export type HostSummary = { readonly host: string } & Partial<
  Record<'users' | 'clients' | 'serversIn' | 'serversOut', number>
>

/** How something that is connected divides, e.g. clients by IP family. */
export type Share = { readonly title: string; readonly parts: readonly SharePart[] }
export type SharePart = { readonly name: string; readonly count: number }

/** Of the whole server, as it tells them: some are counters. Undefined: not told. */
export type SummaryValues = Partial<Record<SummaryValueName, number>>
export type SummaryValueName =
  | ('users' | 'clients' | 'serversIn' | 'serversOut')
  | ('messages' | 'presences' | 'iqs' | 'logins' | 'loginFailures')
  | ('pingSeconds' | 'lagSum' | 'lagCount')

export type SourceState = {
  readonly name: string
  /** `idle`: it asked nobody, or nobody offered what it asks for. */
  readonly state: 'works' | 'idle' | 'failed'
  /** Why it failed. */
  readonly reason: string | undefined
  readonly durationSeconds: number
}

const MAX_HOSTS = 50
// A page is for people, and each viewer is sent the whole of it.
const MAX_SOFTWARE = 20
const MAX_PARTS = 20

/**
 * @param options.problem Why there is no stream, if that is known.
 * @param options.maskSecret Applied to the reasons, which can quote the server. Default: masks nothing.
 */
export function summarize(
  { up, families, results }: Collection,
  atMs: number,
  options: { readonly problem?: string | undefined; readonly maskSecret?: Mask } = {},
): ServerSummary {
  const { problem, maskSecret = (text: string) => text } = options
  const words = (error: unknown) => reasonText(error, maskSecret)
  const byName = new Map(families.map((family) => [family.name, family]))
  // In the names of mod_http_openmetrics, or with one underscore (`exposition.names`).
  const rows = (name: string) => {
    const family = byName.get(name) ?? byName.get(name.replace('__', '_'))
    return family && rowsOf(family)
  }
  const c2s = rows('prosody_mod_c2s__connections')
  const inbound = rows('prosody_mod_s2s__connections_inbound')
  const outbound = rows('prosody_mod_s2s__connections_outbound')
  const s2s = rows('xmpp_s2s_connections')
  const stanzas = rows('xmpp_stanzas')
  const perHost = {
    users: rows('xmpp_online_users'),
    clients:
      rows('xmpp_client_connections') ??
      c2s?.filter(({ labels }) => (labelOf(labels, 'type') ?? 'c2s') === 'c2s'),
    serversIn: inbound ?? s2s?.filter(({ labels }) => labelOf(labels, 'direction') === 'in'),
    serversOut: outbound ?? s2s?.filter(({ labels }) => labelOf(labels, 'direction') === 'out'),
  }
  const ofKind = (kind: string) => stanzas?.filter(({ labels }) => labelOf(labels, 'kind') === kind)
  const pings = rows('xmpp_ping_seconds')
  const lag = byName.get('xmpp_loop_lag_seconds')
  const failed = results.find(({ error }) => error !== undefined)
  const hosts = hostFigures(perHost)
  return {
    atMs,
    up,
    problem: up ? undefined : words(problem ?? failed?.error ?? 'no answer'),
    software: unique(
      rows('xmpp_info')?.map(({ labels }) =>
        `${labelOf(labels, 'name') ?? ''} ${labelOf(labels, 'version') ?? ''}`.trim(),
      ),
    ).slice(0, MAX_SOFTWARE),
    // The first of them: hosts may come later, by a reload.
    startedAtMs: extreme(
      Math.min,
      rows('xmpp_start_time_seconds')?.map(({ value }) => value * 1000),
    ),
    hosts: hosts.slice(0, MAX_HOSTS),
    hostsLeftOut: Math.max(hosts.length - MAX_HOSTS, 0),
    shares: [
      shareOf('Clients by IP family', c2s, 'ip_family', IP_FAMILIES),
      shareOf('Clients by state', c2s, 'type', CLIENT_STATES),
      shareOf(
        'TLS of clients since start',
        rows('prosody_mod_c2s__encrypted'),
        'protocol',
        new Map(),
      ),
      shareOf('Servers by security', s2s, 'security', SECURITIES),
      shareOf(
        'Servers by IP family',
        inbound || outbound ? [...(inbound ?? []), ...(outbound ?? [])] : undefined,
        'ip_family',
        IP_FAMILIES,
      ),
    ].flatMap((share) => share ?? []),
    figures: told({
      users: total(perHost.users),
      clients: total(perHost.clients),
      serversIn: total(perHost.serversIn),
      serversOut: total(perHost.serversOut),
      messages: total(ofKind('message')),
      presences: total(ofKind('presence')),
      iqs: total(ofKind('iq')),
      logins: total(rows('xmpp_logins')),
      loginFailures: total(rows('xmpp_login_failures')),
      pingSeconds: extreme(
        Math.max,
        pings?.map(({ value }) => value),
      ),
      ...(lag?.type === 'histogram' && lastTwo(lag)),
    }),
    sources: results.map(({ name, told: collected, error, durationSeconds }) => ({
      name,
      state:
        error !== undefined
          ? 'failed'
          : collected?.collected.families.some(({ order }) => order.length > 0)
            ? 'works'
            : 'idle',
      reason: error === undefined ? undefined : words(error),
      durationSeconds,
    })),
  }
}

const IP_FAMILIES: ReadonlyMap<string, string> = new Map([
  ['ipv4', 'IPv4'],
  ['ipv6', 'IPv6'],
])
const CLIENT_STATES: ReadonlyMap<string, string> = new Map([
  ['c2s', 'logged in'],
  ['c2s_unbound', 'without a resource'],
  ['c2s_unauthed', 'not logged in'],
])
const SECURITIES: ReadonlyMap<string, string> = new Map([
  ['verified', 'certificate verified'],
  ['encrypted', 'encrypted'],
  ['plain', 'not encrypted'],
])

/** A series, with its label text: of thousands of hosts there is no time to take each apart. */
type Row = { readonly labels: string; readonly value: number }

function rowsOf(family: Family): Row[] {
  const width = family.values.length / Math.max(family.length, 1)
  return Array.from(family.order, (row) => ({
    labels: labelsOf(family.labels, row),
    value: family.values[row * width]!,
  }))
}

function labelOf(labels: string, name: string): string | undefined {
  const key = `${name}="`
  // Within a value each quote has a backslash before it, so this is none.
  const at = labels.startsWith(key) ? 0 : labels.indexOf(`,${key}`) + 1
  if (at === 0 && !labels.startsWith(key)) return undefined
  const start = at + key.length
  let end = labels.indexOf('"', start)
  const plain = labels.slice(start, end)
  if (!plain.includes('\\')) return plain
  for (end = start; labels[end] !== '"'; end++) if (labels[end] === '\\') end++
  return labels
    .slice(start, end)
    .replace(/\\(.)/g, (_, sign) => (sign === 'n' ? '\n' : String(sign)))
}

const total = (rows: readonly Row[] | undefined) => rows?.reduce((sum, { value }) => sum + value, 0)
// Of any number of series: as arguments of one call, 130,000 of them are too many for the stack.
const extreme = (of: (a: number, b: number) => number, all: readonly number[] = []) =>
  all.length > 0 ? all.reduce((a, b) => of(a, b)) : undefined
const unique = (all: readonly string[] = []) => [...new Set(all)].filter((text) => text !== '')

/** Sum and count are the last two values of a histogram's row. */
function lastTwo({ values, length }: Family) {
  return length === 1 ? { lagSum: values.at(-2), lagCount: values.at(-1) } : {}
}

function told(
  figures: Readonly<Partial<Record<SummaryValueName, number | undefined>>>,
): SummaryValues {
  return Object.fromEntries(
    Object.entries(figures).filter(([, value]) => value !== undefined && Number.isFinite(value)),
  )
}

function hostFigures(columns: Readonly<Record<string, readonly Row[] | undefined>>): HostSummary[] {
  const hosts = new Map<string, Record<string, number>>()
  for (const [column, rows] of Object.entries(columns)) {
    for (const { labels, value } of rows ?? []) {
      const host = labelOf(labels, 'host') ?? ''
      const figures = hosts.get(host) ?? {}
      figures[column] = (figures[column] ?? 0) + value
      hosts.set(host, figures)
    }
  }
  const size = (figures: Record<string, number>) =>
    Object.values(figures).reduce((sum, value) => sum + value, 0)
  // Of a connection that is being made.
  if (Object.values(hosts.get('') ?? {}).every((value) => value === 0)) hosts.delete('')
  return Array.from(hosts)
    .sort(([a, x], [b, y]) => size(y) - size(x) || (a < b ? -1 : 1))
    .map(([host, figures]) => ({ host, ...figures }))
}

/** @param names What to call the label's values; others are called as they are. */
function shareOf(
  title: string,
  rows: readonly Row[] | undefined,
  label: string,
  names: ReadonlyMap<string, string>,
): Share | undefined {
  if (!rows?.some(({ labels }) => labelOf(labels, label) !== undefined)) return undefined
  const counts = new Map<string, number>()
  for (const { labels, value } of rows) {
    const text = labelOf(labels, label) ?? ''
    const name = names.get(text) ?? text
    addCount(counts, name, value)
  }
  const order = [...names.values()]
  const parts = Array.from(counts, ([name, count]) => ({ name, count }))
  parts.sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name))
  const others = parts.splice(MAX_PARTS).reduce((sum, { count }) => sum + count, 0)
  return { title, parts: others > 0 ? [...parts, { name: 'others', count: others }] : parts }
}

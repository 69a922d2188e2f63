import { setTimeout } from 'node:timers/promises'
import type { Collected } from '../../collectors/collector.js'
import { COLLECTORS } from '../../collectors/index.js'
import { labelsOf } from '../../metrics/family.js'
import type { Connection } from '../../xmpp/connection.js'
import { xml } from '../../xmpp/xml.js'
import type { Say } from './findings.js'

const STEP_MS = 10_000
// Prosody collects for a reader every 100 ms at most, so a second reading after this is a new one.
const NEXT_COLLECTION_MS = 250
// Prometheus itself warns of targets whose clock is off by more.
const MAX_SKEW_S = 5
const NS_TIME = 'urn:xmpp:time'
const MAX_ROWS = 5000
/** The collectors that need admin rights on Prosody. */
const NEED_RIGHTS = COLLECTORS.filter(({ adminCommand }) => adminCommand !== undefined).map(
  ({ name }) => name,
)
/** What they would report is in the registry, which the module serves. */
const COUNTED_BY_MODULE: readonly string[] = ['users', 's2s']

/** What a collector returned, or why it returned nothing. */
export type Outcome = Collected | { readonly failure: unknown; readonly families: readonly [] }

/** A server that is examined, over a connection that is up. */
export type Subject = {
  readonly connection: Connection
  /** Lines for a server without the module, from the collections so far. */
  readonly advice: () => readonly string[]
  /** Has each collector that is on ask once, as a scrape does; `only`: that one is enough. */
  readonly collect: (only?: string) => Promise<ReadonlyMap<string, Outcome>>
}

/** Says what came of each collector, and what is missing. */
export async function examineCollectors(
  { connection, advice, collect }: Subject,
  version: string,
  say: Say,
): Promise<void> {
  const outcomes = await collect()
  const all = [...outcomes.values()].flatMap((outcome) => rowsOf(outcome))
  const prosody = sayVersions(all, version, say)
  const hosts = [...new Set(all.flatMap((row) => labelOf(row, 'host') ?? []))].sort()
  if (hosts.length > 0) say.ok('hosts', hosts.join(', '))
  else {
    say.note(
      'hosts',
      `none is known: the parent of ${connection.domain} does not list it. Name the VirtualHosts with --xmpp.host, ` +
        'or `hosts` in the configuration file',
    )
  }

  const registry = outcomes.get('registry')
  if (registry) {
    await setTimeout(NEXT_COLLECTION_MS)
    const again = registry.failure === undefined ? await collect('registry') : outcomes
    sayRegistry(registry, again.get('registry')!, prosody, say)
  } else {
    say.note(
      'statistics',
      'mod_adhoc_statistics is not asked (--no-collector.registry): all statistics come from standard commands',
    )
  }
  const hasModule = registry !== undefined && registry.failure === undefined
  for (const { name } of COLLECTORS) {
    if (name !== 'registry') sayCollector(name, outcomes.get(name), hasModule, say)
  }
  const idle = COLLECTORS.map(({ name }) => name).filter((name) => isIdle(name, outcomes.get(name)))
  if (idle.length > 0) say.note('others', `no host offers what they ask: ${idle.join(', ')}`)
  // A service may have said it long ago.
  const lacksRights = NEED_RIGHTS.some((name) => (outcomes.get(name)?.families ?? []).length === 0)
  if (!hasModule && lacksRights) for (const line of advice()) say.note('rights', line)
  await examineClock(connection, all, say)
}

function sayCollector(
  name: string,
  outcome: Outcome | undefined,
  hasModule: boolean,
  say: Say,
): void {
  if (!outcome) say.note(name, `off; --collector.${name} turns it on`)
  else if (outcome.failure !== undefined) say.failed(name, messageOf(outcome.failure))
  else if (outcome.families.length > 0) say.ok(name, `${seriesOf(outcome)} series`)
  else if (!isIdle(name, outcome)) {
    const isCounted = hasModule && COUNTED_BY_MODULE.includes(name)
    say.note(
      name,
      isCounted
        ? 'skipped: already counted by mod_adhoc_statistics'
        : 'skipped: requires admin rights on a host',
    )
  }
}

/** There was nobody to ask, mostly because it is made for the software of another server. */
function isIdle(name: string, outcome: Outcome | undefined): boolean {
  if (!outcome || outcome.failure !== undefined || outcome.families.length > 0) return false
  return name !== 'registry' && !NEED_RIGHTS.includes(name)
}

/** Prosody's version, if the server runs it. */
function sayVersions(all: readonly Row[], own: string, { ok, note }: Say): string | undefined {
  const found = all
    .filter(({ family }) => family === 'xmpp_info')
    .map((row) => `${labelOf(row, 'name') ?? ''} ${labelOf(row, 'version') ?? ''}`)
  const servers = [...new Set(found)]
  const ours = `prosody-exporter ${own}`
  if (servers.length > 0) ok('versions', `${servers.join(', ')}, ${ours}`)
  else note('versions', `${ours}; the server does not report its version`)
  return servers.map((text) => /^Prosody (\S+)/.exec(text)?.[1]).find((text) => text !== undefined)
}

function sayRegistry(
  first: Outcome,
  second: Outcome,
  version: string | undefined,
  { ok, note, failed }: Say,
): void {
  if (second.failure !== undefined) {
    failed('statistics', messageOf(second.failure))
    return
  }
  ok('statistics', `${second.families.length} families with ${seriesOf(second)} series`)
  const after = updatedAt(second)
  if (after === undefined) {
    note('collection', 'Prosody has not collected yet: gauges appear after its first interval')
  } else if (updatedAt(first) !== after) {
    ok('collection', 'at each reading (statistics_interval = "manual"): every value is fresh')
  } else {
    const isOld = version !== undefined && /^0\.1[01](\.|$)/.test(version)
    note(
      'collection',
      'Some values can be up to one statistics_interval (default 60 s) old. ' +
        (isOld
          ? `Prosody ${version} has no "manual": set statistics_interval to your scrape interval, in seconds, and restart Prosody.`
          : 'For fresh values set statistics_interval = "manual" in the global section of prosody.cfg.lua and restart Prosody.'),
    )
  }
}

/** Compares the server's clock with ours. @see XEP-0202 §3 */
async function examineClock(connection: Connection, all: readonly Row[], { ok, note }: Say) {
  const servers = all.filter(
    (row) => row.family === 'xmpp_host_info' && labelOf(row, 'category') === 'server',
  )
  for (const row of servers) {
    const to = labelOf(row, 'host')!
    const askedAt = Date.now() / 1000
    const reply = await connection
      .request('get', xml('time', { xmlns: NS_TIME }), { to, timeoutMs: STEP_MS })
      .catch(() => undefined)
    const utc = reply?.getChild('time', NS_TIME)?.getChildText('utc', NS_TIME)
    const seconds = Date.parse(utc ?? '') / 1000
    if (Number.isNaN(seconds)) continue
    const skew = Math.max(0, seconds - Date.now() / 1000, askedAt - seconds)
    if (skew <= MAX_SKEW_S) ok('clock', `${to} and this machine agree`)
    else {
      note('clock', `${to} and this machine differ by ${Math.round(skew)} s. Run NTP on both.`)
    }
    return
  }
  note('clock', 'no host reports its time (XEP-0202, "time" in modules_enabled)')
}

type Row = { readonly family: string; readonly labels: string }

/** Of a registry of millions the first rows only: a service looks at them between its scrapes. */
function rowsOf({ families }: Outcome): Row[] {
  const rows: Row[] = []
  for (const { name, labels, order } of families) {
    for (const row of order.subarray(0, MAX_ROWS - rows.length)) {
      rows.push({ family: name, labels: labelsOf(labels, row) })
    }
  }
  return rows
}

function labelOf({ labels }: Row, name: string): string | undefined {
  return new RegExp(`(?:^|,)${name}="((?:[^"\\\\]|\\\\.)*)"`).exec(labels)?.[1]
}

const seriesOf = ({ families }: Outcome) =>
  families.reduce((sum, { order }) => sum + order.length, 0)

function updatedAt(outcome: Outcome): number | undefined {
  const about = 'about' in outcome ? outcome.about : undefined
  return about?.find(({ name }) => name.endsWith('_updated_timestamp_seconds'))?.values[0]
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error))

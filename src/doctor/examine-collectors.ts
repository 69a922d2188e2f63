import { setTimeout } from 'node:timers/promises'
import type { Collected, Collector } from '../collectors/collector.js'
import { COLLECTORS, createCollectors } from '../collectors/index.js'
import { KEEP_ALL } from '../collectors/registry-filter.js'
import { NEED_RIGHTS } from '../collectors/rights.js'
import type { ServerConfig } from '../config.js'
import { labelsOf } from '../metrics/family.js'
import type { Connection } from '../xmpp/connection.js'
import { xml } from '../xmpp/stream.js'
import type { Say } from './examine.js'

const STEP_MS = 10_000
// Prosody collects for a reader every 100 ms at most, so a second reading after this is a new one.
const NEXT_COLLECTION_MS = 250
// Prometheus itself warns of targets whose clock is off by more.
const MAX_SKEW_S = 5
const NS_TIME = 'urn:xmpp:time'

/** What it told, or why it told nothing. */
type Outcome = Collected | { readonly failure: unknown; readonly families: readonly [] }

/** Has each collector ask once, as a scrape does, and tells what came of it and what is missing. */
export async function examineCollectors(
  connection: Connection,
  { hosts: named, collectors: enabled }: ServerConfig,
  version: string,
  say: Say,
): Promise<void> {
  const advice: string[] = []
  const collectors = createCollectors(connection, {
    filter: KEEP_ALL,
    names: ['openmetrics'],
    hosts: named,
    enabled,
    advise: (line) => advice.push(line),
  })
  const outcomes = new Map<string, Outcome>()
  for (const collector of collectors) outcomes.set(collector.name, await collect(collector))

  const all = [...outcomes.values()].flatMap((outcome) => rowsOf(outcome))
  const prosody = tellVersions(all, version, say)
  const hosts = [...new Set(all.flatMap((row) => labelOf(row, 'host') ?? []))].sort()
  if (hosts.length > 0) say.ok('hosts', hosts.join(', '))
  else {
    say.note(
      'hosts',
      `none is known: the parent of ${connection.domain} does not list it. Name the VirtualHosts with --xmpp.host, ` +
        'or `hosts` in the configuration file',
    )
  }

  const registry = collectors.find(({ name }) => name === 'registry')
  if (registry) await examineRegistry(registry, outcomes.get('registry')!, prosody, say)
  else {
    say.note(
      'statistics',
      'mod_adhoc_statistics is not asked (--no-collector.registry): all there is comes from standard commands',
    )
  }
  for (const { name } of COLLECTORS) {
    if (name !== 'registry') tellCollector(name, outcomes.get(name), say)
  }
  const idle = COLLECTORS.map(({ name }) => name).filter((name) => isIdle(name, outcomes.get(name)))
  if (idle.length > 0) say.note('others', `no host offers what they ask: ${idle.join(', ')}`)
  for (const line of advice) say.note('rights', line)
  await examineClock(connection, all, say)
}

async function collect(collector: Collector): Promise<Outcome> {
  try {
    return await collector.collect({ timeoutMs: STEP_MS })
  } catch (failure) {
    return { failure, families: [] }
  }
}

function tellCollector(name: string, outcome: Outcome | undefined, say: Say): void {
  if (!outcome) say.note(name, `off; --collector.${name} turns it on`)
  else if (outcome.failure !== undefined) say.failed(name, messageOf(outcome.failure))
  else if (outcome.families.length > 0) say.ok(name, `${seriesOf(outcome)} series`)
  else if (!isIdle(name, outcome)) say.note(name, 'no host lets us ask: only an admin may')
}

/** There was nobody to ask, mostly because it is made for the software of another server. */
function isIdle(name: string, outcome: Outcome | undefined): boolean {
  if (!outcome || outcome.failure !== undefined || outcome.families.length > 0) return false
  return name !== 'registry' && !NEED_RIGHTS.includes(name)
}

/** Prosody's version, as far as the server has one. */
function tellVersions(all: readonly Row[], own: string, { ok, note }: Say): string | undefined {
  const found = all
    .filter(({ family }) => family === 'xmpp_info')
    .map((row) => `${labelOf(row, 'name') ?? ''} ${labelOf(row, 'version') ?? ''}`)
  const told = [...new Set(found)]
  const ours = `prosody-exporter ${own}; version 1 of the exchange with mod_adhoc_statistics`
  if (told.length > 0) ok('versions', `${told.join(', ')}; ${ours}`)
  else note('versions', `the server does not tell its own; ${ours}`)
  return told.map((text) => /^Prosody (\S+)/.exec(text)?.[1]).find((text) => text !== undefined)
}

async function examineRegistry(
  collector: Collector,
  first: Outcome,
  version: string | undefined,
  { ok, note, failed }: Say,
): Promise<void> {
  await setTimeout(NEXT_COLLECTION_MS)
  const second = first.failure === undefined ? await collect(collector) : first
  if (second.failure !== undefined) {
    failed('statistics', messageOf(second.failure))
    return
  }
  ok('statistics', `${second.families.length} families with ${seriesOf(second)} series`)
  const after = updatedAt(second)
  if (after === undefined) {
    note('collection', 'Prosody has not collected yet: gauges come with its first interval')
  } else if (updatedAt(first) !== after) {
    ok('collection', 'at each reading (statistics_interval = "manual"): every value is fresh')
  } else {
    const isOld = version !== undefined && /^0\.1[01](\.|$)/.test(version)
    note(
      'collection',
      'Prosody collects by itself: what modules set at collection time is up to a statistics_interval old. ' +
        (isOld
          ? `Prosody ${version} can't do otherwise: let statistics_interval be your scrape interval, in seconds`
          : 'For fresh values set statistics_interval = "manual" in the global section of prosody.cfg.lua and restart Prosody'),
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
    if (skew <= MAX_SKEW_S) ok('clock', `that of ${to} is ours`)
    else {
      note('clock', `that of ${to} differs from ours by ${Math.round(skew)} s: run NTP on both`)
    }
    return
  }
  note('clock', 'no host tells its time (XEP-0202, "time" in modules_enabled)')
}

type Row = { readonly family: string; readonly labels: string }

const rowsOf = ({ families }: Outcome): Row[] =>
  families.flatMap(({ name, labels, order }) =>
    Array.from(order, (row) => ({ family: name, labels: labelsOf(labels, row) })),
  )

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

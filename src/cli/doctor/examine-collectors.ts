import { setTimeout } from 'node:timers/promises'
import type { Collected } from '../../collectors/collector.js'
import { COLLECTORS } from '../../collectors/index.js'
import { getErrorMessage } from '../../errors.js'
import { getLabels } from '../../metrics/labels.js'
import type { Connection } from '../../xmpp/connection.js'
import { xml } from '../../xmpp/xml.js'
import type { Reporter } from './findings.js'

const STEP_MS = 10_000
// The time between two requests for statistics. With statistics_interval = "manual", Prosody collects at most every
// 100 ms, so the second request gets values from a new collection.
const NEXT_COLLECTION_MS = 250
// Above this difference between the clocks of the server and of this machine, doctor prints a note.
const MAX_SKEW_S = 5
const NS_TIME = 'urn:xmpp:time'
const MAX_ROWS = 5000
/** The names of the collectors that need admin rights on Prosody. */
const NEED_RIGHTS = COLLECTORS.filter(({ adminCommand }) => adminCommand !== undefined).map(
  ({ name }) => name,
)
/** The names of collectors whose metrics mod_adhoc_statistics exports too. */
const COUNTED_BY_MODULE: readonly string[] = ['users', 's2s']

/** The result of a collector, or the error with which the collector failed. */
export type Outcome = Collected | { readonly failure: unknown; readonly families: readonly [] }

/** A server to examine, with an established connection. */
export type Subject = {
  readonly connection: Connection
  /** Returns the advice that the collectors gave so far for a server without mod_adhoc_statistics. */
  readonly advice: () => readonly string[]
  /** Runs each enabled collector once, like a scrape. With `only`, it may run just the collector with that name. */
  readonly collect: (only?: string) => Promise<ReadonlyMap<string, Outcome>>
}

/** Runs the collectors and reports versions, hosts, the result of each collector, and the clock. */
export async function examineCollectors(
  { connection, advice, collect }: Subject,
  version: string,
  report: Reporter,
): Promise<void> {
  const outcomes = await collect()
  const all = [...outcomes.values()].flatMap((outcome) => readRows(outcome))
  const prosody = reportVersions(all, version, report)
  const hosts = [...new Set(all.flatMap((row) => readLabel(row, 'host') ?? []))].sort()
  if (hosts.length > 0) report.ok('hosts', hosts.join(', '))
  else {
    report.note(
      'hosts',
      `No host found: the parent domain of ${connection.domain} does not list the component. ` +
        'List the VirtualHosts in `hosts` of the configuration file, or with --xmpp.host.',
    )
  }

  const registry = outcomes.get('registry')
  if (registry) {
    await setTimeout(NEXT_COLLECTION_MS)
    const again = registry.failure === undefined ? await collect('registry') : outcomes
    reportRegistry(registry, again.get('registry')!, prosody, report)
  } else {
    report.note(
      'statistics',
      'The registry collector is off (--no-collector.registry), so mod_adhoc_statistics is not used. ' +
        'All metrics come from standard XMPP commands.',
    )
  }
  const hasModule = registry !== undefined && registry.failure === undefined
  for (const { name } of COLLECTORS) {
    if (name !== 'registry') reportCollector(name, outcomes.get(name), hasModule, report)
  }
  const idle = COLLECTORS.map(({ name }) => name).filter((name) => isIdle(name, outcomes.get(name)))
  if (idle.length > 0)
    report.note('others', `not used on this server: no host offers what ${idle.join(', ')} need`)
  // Doctor repeats the advice of the collectors, because a running exporter logs it only once, perhaps long ago.
  const lacksRights = NEED_RIGHTS.some((name) => (outcomes.get(name)?.families ?? []).length === 0)
  if (!hasModule && lacksRights) for (const line of advice()) report.note('rights', line)
  await examineClock(connection, all, report)
}

function reportCollector(
  name: string,
  outcome: Outcome | undefined,
  hasModule: boolean,
  report: Reporter,
): void {
  if (!outcome) report.note(name, `off; turn it on with --collector.${name}`)
  else if (outcome.failure !== undefined) report.failed(name, getErrorMessage(outcome.failure))
  else if (outcome.families.length > 0) report.ok(name, `returned ${countSeries(outcome)} series`)
  else if (!isIdle(name, outcome)) {
    const isCounted = hasModule && COUNTED_BY_MODULE.includes(name)
    report.note(
      name,
      isCounted
        ? 'not used: mod_adhoc_statistics already counts these values'
        : 'not used: requires admin rights on a host',
    )
  }
}

/** Returns whether a collector found no host to query, usually because it is for another server software. */
function isIdle(name: string, outcome: Outcome | undefined): boolean {
  if (!outcome || outcome.failure !== undefined || outcome.families.length > 0) return false
  return name !== 'registry' && !NEED_RIGHTS.includes(name)
}

/** Reports the versions of the server and the exporter. Returns the version of Prosody if the server is Prosody. */
function reportVersions(
  all: readonly Row[],
  own: string,
  { ok, note }: Reporter,
): string | undefined {
  const found = all
    .filter(({ family }) => family === 'xmpp_info')
    .map((row) => `${readLabel(row, 'name') ?? ''} ${readLabel(row, 'version') ?? ''}`)
  const servers = [...new Set(found)]
  const exporter = `prosody-exporter ${own}`
  if (servers.length > 0) ok('versions', `${servers.join(', ')}, ${exporter}`)
  else note('versions', `${exporter}; the server does not report its version`)
  return servers.map((text) => /^Prosody (\S+)/.exec(text)?.[1]).find((text) => text !== undefined)
}

function reportRegistry(
  first: Outcome,
  second: Outcome,
  version: string | undefined,
  { ok, note, failed }: Reporter,
): void {
  if (second.failure !== undefined) {
    failed('statistics', getErrorMessage(second.failure))
    return
  }
  ok('statistics', `${second.families.length} families with ${countSeries(second)} series`)
  const after = readUpdateTime(second)
  if (after === undefined) {
    note(
      'collection',
      'Prosody has not updated its statistics yet. Gauges appear after the first statistics_interval.',
    )
  } else if (readUpdateTime(first) !== after) {
    ok('collection', 'Prosody updates all values for each scrape (statistics_interval = "manual")')
  } else {
    const isOld = version !== undefined && /^0\.1[01](\.|$)/.test(version)
    note(
      'collection',
      'Some values are up to one statistics_interval old (default: 60 s). ' +
        (isOld
          ? `Prosody ${version} has no "manual": set statistics_interval to your scrape interval, in seconds, and restart Prosody.`
          : 'For fresh values set statistics_interval = "manual" in the global section of prosody.cfg.lua and restart Prosody.'),
    )
  }
}

/** Compares the clock of the server with that of this machine. @see XEP-0202 §3 */
async function examineClock(connection: Connection, all: readonly Row[], { ok, note }: Reporter) {
  const servers = all.filter(
    (row) => row.family === 'xmpp_host_info' && readLabel(row, 'category') === 'server',
  )
  for (const row of servers) {
    const to = readLabel(row, 'host')!
    const askedAt = Date.now() / 1000
    const reply = await connection
      .request('get', xml('time', { xmlns: NS_TIME }), { to, timeoutMs: STEP_MS })
      .catch(() => undefined)
    const utc = reply?.getChild('time', NS_TIME)?.getChildText('utc', NS_TIME)
    const seconds = Date.parse(utc ?? '') / 1000
    if (Number.isNaN(seconds)) continue
    const skew = Math.max(0, seconds - Date.now() / 1000, askedAt - seconds)
    if (skew <= MAX_SKEW_S) ok('clock', `${to} and this machine have the same time`)
    else {
      note(
        'clock',
        `The clocks of ${to} and this machine differ by ${Math.round(skew)} s. Run NTP on both.`,
      )
    }
    return
  }
  note(
    'clock',
    'not compared: no host reports its time. Add "time" to modules_enabled in prosody.cfg.lua.',
  )
}

type Row = { readonly family: string; readonly labels: string }

/** Returns at most MAX_ROWS rows. A registry can have millions, and reading all would delay scrapes of a running exporter. */
function readRows({ families }: Outcome): Row[] {
  const rows: Row[] = []
  for (const { name, labels, order } of families) {
    for (const row of order.subarray(0, MAX_ROWS - rows.length)) {
      rows.push({ family: name, labels: getLabels(labels, row) })
    }
  }
  return rows
}

function readLabel({ labels }: Row, name: string): string | undefined {
  return new RegExp(`(?:^|,)${name}="((?:[^"\\\\]|\\\\.)*)"`).exec(labels)?.[1]
}

const countSeries = ({ families }: Outcome) =>
  families.reduce((sum, { order }) => sum + order.length, 0)

function readUpdateTime(outcome: Outcome): number | undefined {
  const families = 'exporterFamilies' in outcome ? outcome.exporterFamilies : undefined
  return families?.find(({ name }) => name.endsWith('_updated_timestamp_seconds'))?.values[0]
}

import { setTimeout } from 'node:timers/promises'
import { noteOldVersion } from '../../catalogue/prosody-versions.js'
import type { Collected } from '../../collectors/collector.js'
import { COLLECTORS } from '../../collectors/index.js'
import { reasonOf } from '../../collectors/failure.js'
import { getErrorMessage, LinkError } from '../../errors.js'
import { getLabels } from '../../metrics/labels.js'
import { readRegistryUpdateTime } from '../../metrics/own-families.js'
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

/**
 * Runs the collectors and reports versions, hosts, statistics, collectors and the clock. If the statistics fail, it does
 * not check what depends on them, and reports only failures that have another cause.
 *
 * @returns The number of series, if the statistics work.
 */
export async function examineCollectors(
  { connection, advice, collect }: Subject,
  version: string,
  report: Reporter,
): Promise<number | undefined> {
  let outcomes = await collect()
  const lost = [...outcomes.values()].find(({ failure }) => failure instanceof LinkError)
  if (lost) {
    report.failed('connection', connection.problem() ?? getErrorMessage(lost.failure))
    return undefined
  }
  const all = [...outcomes.values()].flatMap((outcome) => readRows(outcome))
  const registry = outcomes.get('registry')
  const prosody = reportVersions(all, version, report)
  reportHosts(all, { domain: connection.domain, isNoted: registry?.failure === undefined }, report)
  if (registry && registry.failure === undefined) {
    await setTimeout(NEXT_COLLECTION_MS)
    outcomes = new Map([...outcomes, ...(await collect('registry'))])
  }
  const statistics = outcomes.get('registry')
  if (statistics?.failure !== undefined) {
    report.failed('statistics', getErrorMessage(statistics.failure))
    reportOtherFailures(outcomes, statistics.failure, report)
    return undefined
  }
  if (statistics) reportRegistry(registry!, statistics, prosody, report)
  else {
    report.minor(
      'statistics',
      'The registry collector is off (--no-collector.registry), so mod_adhoc_statistics is not used. ' +
        'All metrics come from standard XMPP commands.',
    )
    reportRights(outcomes, advice, report)
  }
  reportCollectors(outcomes, report)
  reportOtherFailures(outcomes, undefined, report)
  await examineClock(connection, all, report)
  return [...outcomes.values()].reduce((sum, outcome) => sum + countSeries(outcome), 0)
}

/** @param options.isNoted Whether to report that there is no host. It is false if another failure explains that. */
function reportHosts(
  all: readonly Row[],
  { domain, isNoted }: { domain: string; isNoted: boolean },
  { ok, note }: Reporter,
): void {
  const hosts = [...new Set(all.flatMap((row) => readLabel(row, 'host') ?? []))].sort()
  if (hosts.length > 0) ok('hosts', hosts.join(', '))
  else if (isNoted) {
    note(
      'hosts',
      `No host found. The parent domain of ${domain} does not list the component. ` +
        'List the VirtualHosts in `hosts` of the configuration file, or with --xmpp.host.',
    )
  }
}

/** Doctor repeats the advice of the collectors, because a running exporter logs it only once, perhaps long ago. */
function reportRights(
  outcomes: ReadonlyMap<string, Outcome>,
  advice: Subject['advice'],
  { note }: Reporter,
): void {
  const lacksRights = NEED_RIGHTS.some((name) => (outcomes.get(name)?.families ?? []).length === 0)
  if (lacksRights) for (const line of advice()) note('rights', line)
}

/**
 * Reports the collectors that failed for another reason than the statistics, each reason once.
 *
 * @param cause Why the statistics failed, if they failed.
 */
function reportOtherFailures(
  outcomes: ReadonlyMap<string, Outcome>,
  cause: unknown,
  { failed }: Reporter,
): void {
  const isSilent = reasonOf(cause) === 'timeout'
  const reported = new Set<string>()
  for (const [name, { failure }] of outcomes) {
    if (failure === undefined || name === 'registry') continue
    const text = getErrorMessage(failure)
    if (reported.has(text) || (isSilent && reasonOf(failure) === 'timeout')) continue
    reported.add(text)
    failed(name, text)
  }
}

/** Reports how many collectors work, and with --verbose the state of each. */
function reportCollectors(outcomes: ReadonlyMap<string, Outcome>, { ok, detail }: Reporter): void {
  const hasModule = outcomes.has('registry')
  let working = 0
  for (const { name } of COLLECTORS) {
    const outcome = outcomes.get(name)
    if (name === 'registry' || outcome?.failure !== undefined) continue
    if (!outcome) detail('note', name, `off; turn it on with --collector.${name}`)
    else if (outcome.families.length > 0) {
      working++
      detail('ok', name, `returned ${countSeries(outcome)} series`)
    } else detail('note', name, `not used: ${describeUnused(name, hasModule)}`)
  }
  const count = COLLECTORS.filter(({ name }) => name !== 'registry').length
  ok('collectors', `${working} of the ${count} other collectors are used (--verbose lists all)`)
}

/** Says why a collector that is on returned nothing. */
function describeUnused(name: string, hasModule: boolean): string {
  if (!NEED_RIGHTS.includes(name)) return 'no host of this server offers what it needs'
  if (!hasModule) return 'requires admin rights on a host'
  return COUNTED_BY_MODULE.includes(name)
    ? 'mod_adhoc_statistics already counts these values'
    : 'Prosody answers its requests for admins only'
}

/** Reports the versions of the server and the exporter. Returns the version of Prosody if the server is Prosody. */
function reportVersions(
  all: readonly Row[],
  own: string,
  { ok, minor }: Reporter,
): string | undefined {
  const found = all
    .filter(({ family }) => family === 'xmpp_info')
    .map((row) => `${readLabel(row, 'name') ?? ''} ${readLabel(row, 'version') ?? ''}`)
  // Other exporters on the server answer too.
  const servers = [...new Set(found)].filter((text) => !text.startsWith('prosody-exporter '))
  ok('versions', [...servers, `prosody-exporter ${own}`].join(', '))
  const prosody = servers
    .map((text) => /^Prosody (\S+)/.exec(text)?.[1])
    .find((text) => text !== undefined)
  const old = prosody === undefined ? undefined : noteOldVersion(prosody)
  if (old !== undefined) minor('security', old)
  return prosody
}

function reportRegistry(
  first: Outcome,
  second: Outcome,
  version: string | undefined,
  { ok, note, minor }: Reporter,
): void {
  ok('statistics', `${second.families.length} families with ${countSeries(second)} series`)
  const after = readUpdateTime(second)
  if (after !== undefined && readUpdateTime(first) !== after) {
    ok('collection', 'Prosody updates all values for each scrape (statistics_interval = "manual")')
    return
  }
  const state =
    after === undefined
      ? 'Prosody has not updated its statistics yet: statistics_interval has not passed.'
      : 'Some values are up to one statistics_interval old (default: 60 s).'
  // Only a number is possible there, so this is no reason to change anything.
  if (version !== undefined && /^0\.1[01](\.|$)/.test(version)) {
    minor(
      'collection',
      `${state} Prosody ${version} has no "manual": set statistics_interval to your scrape interval, in seconds.`,
    )
  } else {
    note(
      'collection',
      `${state} Set statistics_interval = "manual" in the global section of prosody.cfg.lua, and restart Prosody.`,
    )
  }
}

/** Compares the clock of the server with that of this machine. @see XEP-0202 §3 */
async function examineClock(
  connection: Connection,
  all: readonly Row[],
  { ok, note, detail }: Reporter,
) {
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
  detail(
    'note',
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
  return readRegistryUpdateTime(
    'exporterFamilies' in outcome ? outcome.exporterFamilies : undefined,
  )
}

import { createRowReader, findLabel } from '../history/family-rows.js'
import type { HostSummary, ServerSummary } from '../history/server-summary.js'
import { addCount } from '../metrics/counts.js'
import { isUrgent } from '../page/attention.js'
import {
  formatCount,
  formatDays,
  formatDuration,
  formatNumber,
  formatUtc,
} from '../page/format-values.js'
import { determineStatus, type ServerStatus } from '../page/server-status.js'
import type { MonitoredServer } from '../servers/monitored-server.js'
import type { FiringAlert } from './alertmanager-client.js'
import { toOneLine } from './plain-text.js'

const MINUTE_MS = 60_000
/** An older summary is replaced by a new collection. */
const MAX_AGE_MS = 15_000
const COLLECT_MS = 10_000
const MAX_HOSTS = 5
const MAX_ALERTS = 20
const MAX_LINE_LENGTH = 300

/** What the answers need to know about a server. */
export type ReportedServer = {
  readonly history: Pick<MonitoredServer['history'], 'getLatest' | 'getMemoryGrowth'>
  readonly scraper: Pick<MonitoredServer['scraper'], 'scrape'>
  readonly reportLink: MonitoredServer['reportLink']
}

/** Determines the status of a server from the last summary. The status page says the same. */
export function getStatus({ history, reportLink }: ReportedServer): ServerStatus {
  return determineStatus(history.getLatest(), reportLink(), history.getMemoryGrowth())
}

/** Determines the status of a server now. Collects, unless a scrape or the status page has just done so. */
async function readStatus(server: ReportedServer, nowMs: number): Promise<ServerStatus> {
  const latest = server.history.getLatest()
  const isOld = !latest || nowMs - latest.atMs > MAX_AGE_MS
  if (isOld && server.reportLink().isConnected) await server.scraper.scrape(COLLECT_MS)
  return getStatus(server)
}

/** Describes a server in six lines. Each problem after the first one has one more line. */
export async function reportStatus(server: ReportedServer, nowMs: number): Promise<string> {
  const status = await readStatus(server, nowMs)
  const { summary } = status
  if (!summary) return describeProblem(status)
  return [
    describeUptime(summary),
    `Users online: ${formatValue(summary.values.users)}, connected clients: ${formatValue(summary.values.clients)}`,
    `Connections from servers: ${formatValue(summary.values.serversIn)}, to servers: ${formatValue(summary.values.serversOut)}`,
    `Failed logins: ${describeFailedLogins(summary)}`,
    `Certificates: ${describeFirstCertificate(summary)}`,
    describeAttention(status),
  ].join('\n')
}

const formatValue = (value: number | undefined) =>
  value === undefined ? 'unknown' : formatNumber(value)

function describeProblem({ title, reason }: ServerStatus): string {
  return reason ? `${title}. ${reason.cause} ${reason.remedy}`.trim() : `${title}.`
}

function describeUptime({ software, startedAtMs, atMs }: ServerSummary): string {
  const name = software[0] ?? 'The server'
  return startedAtMs === undefined
    ? `${name} is up.`
    : `${name} has been up since ${formatUtc(startedAtMs)} (${formatDuration(atMs - startedAtMs)}).`
}

function describeFailedLogins({ recent }: ServerSummary): string {
  if (!recent) return 'unknown'
  const { hosts, overMs } = recent.short
  const failed = hosts.reduce((sum, host) => sum + host.failed, 0)
  // The summary has at most five hosts with failed logins.
  const prefix = hosts.length < MAX_HOSTS ? '' : 'at least '
  const time = overMs < 2 * MINUTE_MS ? 'minute' : formatDuration(overMs)
  return `${prefix}${formatNumber(failed)} in the last ${time}`
}

function describeFirstCertificate({ certificates, atMs }: ServerSummary): string {
  const [first] = certificates
  if (!first) return 'unknown'
  const leftMs = first.expiresAtMs - atMs
  return leftMs < 0
    ? `${first.host} expired ${formatDays(-leftMs)} ago`
    : `${first.host} expires first, in ${formatDays(leftMs)}`
}

/** The texts are those of the status page. */
function describeAttention({ reason, attention }: ServerStatus): string {
  const problems = [
    ...(reason ? [`Needs attention: ${reason.cause} ${reason.remedy}`.trim()] : []),
    ...attention.map(
      (entry) => `${isUrgent(entry) ? 'Urgent' : 'Warning'}: ${entry.cause} ${entry.remedy}`,
    ),
  ]
  return problems.join('\n') || 'Nothing needs attention.'
}

/** Describes the states of several servers in one line. */
export function reportOtherServers(servers: readonly ReportedServer[]): string {
  const states = servers.map((server) => getStatus(server).state)
  const count = (...wanted: readonly string[]) =>
    states.filter((state) => wanted.includes(state)).length
  const parts = [
    `${formatNumber(count('up', 'impaired'))} up`,
    `${formatNumber(count('down'))} down`,
    ...(count('pending') > 0 ? [`${formatNumber(count('pending'))} connecting`] : []),
  ]
  return `Other servers: ${parts.join(', ')}`
}

/** Lists the certificates that expire first. */
export async function reportCertificates(server: ReportedServer, nowMs: number): Promise<string> {
  const status = await readStatus(server, nowMs)
  const { summary } = status
  if (!summary) return describeProblem(status)
  if (summary.certificates.length === 0) {
    return 'Prosody reports no certificate. Check the setting certificates in prosody.cfg.lua, and run "prosodyctl check certs".'
  }
  return [
    ...summary.certificates.map(({ host, service, expiresAtMs }) => {
      const name = service === undefined ? host : `${host} (${service})`
      const leftMs = expiresAtMs - summary.atMs
      const expiry =
        leftMs < 0 ? `expired ${formatDays(-leftMs)} ago` : `expires in ${formatDays(leftMs)}`
      return `${name}: ${expiry} (${formatUtc(expiresAtMs)})`
    }),
    ...summary.hostsToReload.map(
      (host) =>
        `${host}: The file was renewed, but Prosody still uses the old certificate. Run "prosodyctl reload".`,
    ),
  ].join('\n')
}

/** Lists the hosts with the highest counts. The answer names no people and no rooms. */
export async function reportTop(
  server: ReportedServer,
  { nowMs, ownDomain }: { readonly nowMs: number; readonly ownDomain: string | undefined },
): Promise<string> {
  const { families } = await server.scraper.scrape(COLLECT_MS)
  const status = await readStatus(server, nowMs)
  const { summary } = status
  if (!summary) return describeProblem(status)
  const hosts = summary.hosts.filter(({ host }) => host !== ownDomain)
  const column = (...names: readonly Exclude<keyof HostSummary, 'host'>[]) =>
    hosts.map((host) => [host.host, addKnown(names.map((name) => host[name]))] as const)
  const messages = createRowReader(families)('xmpp_stanzas')?.filter(
    ({ labels }) =>
      findLabel(labels, 'kind') === 'message' && findLabel(labels, 'host') !== ownDomain,
  )
  const byHost = new Map<string, number>()
  for (const { labels, value } of messages ?? []) {
    addCount(byHost, findLabel(labels, 'host') ?? '', value)
  }
  return [
    `Users online: ${listHighest(column('users'))}`,
    `Connected clients: ${listHighest(column('clients'))}`,
    `Server connections: ${listHighest(column('serversIn', 'serversOut'))}`,
    `Messages since the start of Prosody: ${messages ? listHighest([...byHost]) : 'unknown'}`,
  ].join('\n')
}

function addKnown(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined)
  return known.length === 0 ? undefined : known.reduce((sum, value) => sum + value, 0)
}

function listHighest(values: readonly (readonly [string, number | undefined])[]): string {
  const known = values.flatMap(([host, value]) =>
    value === undefined ? [] : [[host, value] as const],
  )
  if (known.length === 0) return 'unknown'
  const highest = known
    .filter(([, value]) => value > 0)
    .sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))
    .slice(0, MAX_HOSTS)
  return highest.map(([host, value]) => `${host} ${formatNumber(value)}`).join(', ') || 'none'
}

/** Lists the alerts that are firing, the most severe first. */
export function reportAlerts(alerts: readonly FiringAlert[], nowMs: number): string {
  const firing = alerts
    .filter(({ isSilenced }) => !isSilenced)
    .sort((a, b) => rankSeverity(a) - rankSeverity(b) || a.startsAtMs - b.startsAtMs)
  const silenced = [...new Set(alerts.filter((alert) => alert.isSilenced).map(({ name }) => name))]
  const hidden = firing.length - MAX_ALERTS
  return [
    firing.length === 0 ? 'No alert is firing.' : `${formatCount(firing.length, 'alert')} firing:`,
    ...firing.slice(0, MAX_ALERTS).map((alert) => describeAlert(alert, nowMs)),
    ...(hidden > 0
      ? [`${formatCount(hidden, 'more alert')} ${hidden === 1 ? 'is' : 'are'} not shown.`]
      : []),
    ...(silenced.length > 0
      ? [toOneLine(`Silenced: ${silenced.join(', ')}`, MAX_LINE_LENGTH)]
      : []),
  ].join('\n')
}

const SEVERITIES = ['critical', 'error', 'warning', 'info']

function rankSeverity({ labels }: FiringAlert): number {
  const rank = SEVERITIES.indexOf(labels['severity'] ?? '')
  return rank < 0 ? SEVERITIES.length : rank
}

function describeAlert(
  { name, labels, annotations, startsAtMs }: FiringAlert,
  nowMs: number,
): string {
  const severity = labels['severity'] === undefined ? '' : `${labels['severity']}: `
  const where = labels['host'] ?? labels['instance']
  const host = where === undefined ? '' : ` (${where})`
  const since = Number.isNaN(startsAtMs) ? '' : ` for ${formatDuration(nowMs - startsAtMs)}`
  const text = annotations['summary'] ?? annotations['description'] ?? ''
  const line = `${severity}${name}${host}${since}${text === '' ? '' : `: ${text}`}`
  return toOneLine(line, MAX_LINE_LENGTH)
}

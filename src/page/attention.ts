import { noteEndOfLife } from '../catalogue/prosody-versions.js'
import { splitMessage } from '../errors.js'
import type { MemoryGrowth } from '../history/memory-growth.js'
import type { Certificate, ServerSummary } from '../history/server-summary.js'
import { SLOW_LOOP_SECONDS } from '../history/recent-events.js'
import { formatBytes, formatDays, formatDuration, formatNumber } from './format-values.js'

/** `red`: users are affected, or will be within days. `amber`: the rest. */
export type Severity = 'red' | 'amber'

/** A problem of a server that is up, or of a domain that is checked from outside. */
export type AttentionEntry = {
  /** The name of the check that found the problem. */
  readonly check: string
  readonly severity: Severity
  /** One sentence. */
  readonly cause: string
  readonly remedy: string
}

/** What the checks look at: the last summary of a server, and the growth of its memory if known. */
export type AttentionInput = {
  readonly summary: ServerSummary
  readonly growth: MemoryGrowth | undefined
}

/** The first sentence of `text` is the cause, and the rest is the remedy. */
type Finding = { readonly severity: Severity; readonly text: string }

type Check = {
  readonly name: string
  readonly find: (input: AttentionInput) => readonly Finding[]
}

const MINUTE_MS = 60_000
const DAY_MS = 86_400_000
const MIB = 1024 * 1024

/** Finds what needs attention, red entries first. */
export function findAttention(input: AttentionInput): AttentionEntry[] {
  const entries = CHECKS.flatMap(({ name, find }) =>
    find(input).map(({ severity, text }) => ({ check: name, severity, ...splitMessage(text) })),
  )
  return sortByUrgency(entries)
}

/** Returns the entries with the urgent ones first. */
export function sortByUrgency(entries: readonly AttentionEntry[]): AttentionEntry[] {
  return [...entries.filter(isUrgent), ...entries.filter((entry) => !isUrgent(entry))]
}

export const isUrgent = ({ severity }: AttentionEntry) => severity === 'red'

/** A new check is one more object. The limits are those of the alerts in deploy/prometheus/rules.yml, where one exists. */
const CHECKS: readonly Check[] = [
  { name: 'certificate', find: findExpiringCertificates },
  { name: 'reload', find: findCertificatesToReload },
  { name: 'logins', find: findFailedLogins },
  { name: 'flood', find: findFlood },
  { name: 'descriptors', find: findFullDescriptors },
  { name: 'memory', find: findMemoryGrowth },
  { name: 'loop', find: findSlowLoop },
  { name: 's2s', find: findFailedConnections },
  { name: 'collector', find: findFailedCollectors },
  { name: 'version', find: findOldVersion },
]

const EXPIRES_DAYS = 14
const EXPIRES_SOON_DAYS = 3

function findExpiringCertificates({ summary }: AttentionInput): Finding[] {
  const { certificates, hostsToReload, atMs } = summary
  const expiring = certificates.filter(
    ({ expiresAtMs }) => expiresAtMs - atMs < EXPIRES_DAYS * DAY_MS,
  )
  const [first, ...others] = expiring
  if (!first) return []
  const leftMs = first.expiresAtMs - atMs
  const when =
    leftMs < 0 ? `expired ${formatDays(-leftMs)} ago` : `expires in ${formatDays(leftMs)}`
  const remedy = hostsToReload.includes(first.host)
    ? 'Its file was renewed, but Prosody must load it.'
    : 'Renew it, then run "prosodyctl reload". If this message stays, restart Prosody.'
  const more =
    others.length > 0 ? ` Less than ${EXPIRES_DAYS} days are left for: ${nameAll(others)}.` : ''
  return [
    {
      severity: leftMs < EXPIRES_SOON_DAYS * DAY_MS ? 'red' : 'amber',
      text: `The certificate of ${nameCertificate(first)} ${when}. ${remedy}${more}`,
    },
  ]
}

const nameCertificate = ({ host, service }: Certificate) =>
  service === undefined ? host : `${host} (${service})`
const nameAll = (certificates: readonly Certificate[]) =>
  certificates.map(nameCertificate).join(', ')

function findCertificatesToReload({ summary: { hostsToReload } }: AttentionInput): Finding[] {
  const [first, ...others] = hostsToReload
  if (first === undefined) return []
  const more = others.length > 0 ? ` The same is true for: ${others.join(', ')}.` : ''
  return [
    amber(
      `Prosody still uses the old certificate of ${first}, although its file was renewed. ` +
        'Run "prosodyctl reload". If this message stays, restart Prosody. Let each renewal reload Prosody, for example ' +
        `with certbot renew --deploy-hook "prosodyctl reload".${more}`,
    ),
  ]
}

const MAX_FAILED_LOGINS_PER_MINUTE = 12
/** A rate over a few seconds can be high after a few mistyped passwords. */
const MIN_FAILED_LOGINS = 12

function findFailedLogins({ summary: { recent } }: AttentionInput): Finding[] {
  if (!recent) return []
  const { hosts, overMs } = recent.short
  const perMinute = (count: number) => (count / overMs) * MINUTE_MS
  return hosts
    .filter(({ failed, succeeded }) => failed >= MIN_FAILED_LOGINS && failed > succeeded)
    .filter(({ failed }) => perMinute(failed) > MAX_FAILED_LOGINS_PER_MINUTE)
    .map(({ host, failed, succeeded }) =>
      amber(
        `${formatNumber(Math.round(perMinute(failed)))} logins per minute fail on ${host}, and ${formatNumber(Math.round(perMinute(succeeded)))} succeed. ` +
          "Someone guesses passwords, or the account storage fails. Find the client addresses in Prosody's log, and block them, for example with fail2ban. If they are known users, check the authentication settings and the account storage.",
      ),
    )
}

const MAX_UNAUTHENTICATED_PER_MINUTE = 120

function findFlood({ summary: { recent } }: AttentionInput): Finding[] {
  if (!recent) return []
  const { unauthenticated, logins, overMs } = recent.short
  const find = (count: number, from: string, tolerated: number) => {
    const perMinute = (count / overMs) * MINUTE_MS
    // After a restart, many clients return together. Half a minute of connections is more than they need.
    const isFlood =
      count > MAX_UNAUTHENTICATED_PER_MINUTE / 2 &&
      perMinute > MAX_UNAUTHENTICATED_PER_MINUTE &&
      count > tolerated
    return isFlood
      ? [
          amber(
            `${formatNumber(Math.round(perMinute))} connections per minute from ${from} end without a login. ` +
              'Someone floods or scans the server, or connections fail before the login. Find the addresses in Prosody\'s log. If they are unknown, limit the connections from each address in the firewall. If they belong to your users, run "prosodyctl check certs".',
          ),
        ]
      : []
  }
  return [
    // On a large server, some clients always lose the network before they log in. Failed logins have their own entry.
    ...find(unauthenticated.c2s, 'clients', logins),
    ...find(unauthenticated.s2sin, 'other servers', 0),
  ]
}

const MAX_DESCRIPTOR_SHARE = 0.8
const FULL_DESCRIPTOR_SHARE = 0.95

function findFullDescriptors({ summary: { values } }: AttentionInput): Finding[] {
  const { openFds, maxFds } = values
  if (openFds === undefined || maxFds === undefined || openFds <= maxFds * MAX_DESCRIPTOR_SHARE)
    return []
  return [
    {
      severity: openFds > maxFds * FULL_DESCRIPTOR_SHARE ? 'red' : 'amber',
      text:
        `Prosody uses ${formatNumber(openFds)} of ${formatNumber(maxFds)} file descriptors. ` +
        'When none is left, new connections fail. Run "systemctl edit prosody", add LimitNOFILE=65536 in the section [Service], and restart Prosody. In a container, set its option --ulimit nofile=65536 instead.',
    },
  ]
}

/**
 * By how much memory must grow. After a day, the values are of the same time of day. Before, memory also grows because
 * clients return after a restart, or in the morning.
 */
const MEMORY_LIMITS = [
  { fromMs: 23 * 3_600_000, factor: 1.5, bytes: 100 * MIB },
  { fromMs: 0, factor: 3, bytes: 300 * MIB },
]

function findMemoryGrowth({ growth }: AttentionInput): Finding[] {
  if (!growth) return []
  const { fromBytes, toBytes, overMs } = growth
  const { factor, bytes } = MEMORY_LIMITS.find(({ fromMs }) => overMs >= fromMs)!
  if (toBytes <= fromBytes * factor || toBytes - fromBytes <= bytes) return []
  return [
    amber(
      `The memory of Prosody grew from ${formatBytes(fromBytes)} to ${formatBytes(toBytes)} in ${formatDuration(overMs)}. ` +
        'If the number of users has not grown as much, a module may have a memory leak. Check which module was added or updated. If the machine has little memory left, restart Prosody at a quiet time.',
    ),
  ]
}

/** One pause is normal, for example at a garbage collection or a reload. Four of 300 measurements are the alert's 1 %. */
const MIN_SLOW = 4
const MAX_SLOW_SHARE = 0.01

function findSlowLoop({ summary: { recent } }: AttentionInput): Finding[] {
  if (!recent) return []
  const { loop, overMs } = recent.short
  if (loop.slow < MIN_SLOW || loop.slow <= loop.measured * MAX_SLOW_SHARE) return []
  return [
    amber(
      `Prosody was blocked for more than ${SLOW_LOOP_SECONDS} s at least ${formatNumber(loop.slow)} times in ${formatDuration(overMs)}. ` +
        'Users notice such pauses. Check what changed: a new module, slow storage, an account or room with a very long history, or the gc setting. Load mod_log_slow_events to find the slow event.',
    ),
  ]
}

const MIN_INITIATED = 10
const MAX_FAILED_SHARE = 0.5

function findFailedConnections({ summary: { recent } }: AttentionInput): Finding[] {
  return (recent?.s2s.hosts ?? [])
    .filter(({ initiated }) => initiated > MIN_INITIATED)
    .filter(({ failed, initiated }) => failed > initiated * MAX_FAILED_SHARE)
    .map(({ host, failed, initiated }) =>
      amber(
        `${formatNumber(failed)} of ${formatNumber(initiated)} connections from ${host} to other servers failed in the last 15 minutes. ` +
          'If they are servers that no longer exist, in the contact lists of your users, nothing is wrong. Otherwise, check DNS with "prosodyctl check dns", outgoing connections to port 5269 in the firewall, and the certificate with "prosodyctl check connectivity".',
      ),
    )
}

/** A failed `registry` is part of the state of the server, because it concerns most values of the page. */
function findFailedCollectors({ summary: { sources } }: AttentionInput): Finding[] {
  return sources
    .filter(({ name, state }) => name !== 'registry' && state === 'failed')
    .map(({ name, reason = 'The reason is unknown.' }) => {
      const { cause, remedy } = splitMessage(reason)
      const advice =
        remedy || `Run "prosody-exporter doctor", or turn it off with --no-collector.${name}.`
      return amber(`The collector ${name} fails: ${cause.replace(/\.?$/, '.')} ${advice}`)
    })
}

function findOldVersion({ summary: { software } }: AttentionInput): Finding[] {
  const version = software.map((name) => /^Prosody (\S+)$/.exec(name)?.[1]).find(Boolean)
  const note = version === undefined ? undefined : noteEndOfLife(version)
  return note === undefined ? [] : [amber(note)]
}

function amber(text: string): Finding {
  return { severity: 'amber', text }
}

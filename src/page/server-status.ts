import { splitMessage } from '../errors.js'
import type { MemoryGrowth } from '../history/memory-growth.js'
import type { LinkReport } from '../history/link-report.js'
import type { ServerSummary } from '../history/server-summary.js'
import { findAttention, sortByUrgency, type AttentionEntry } from './attention.js'
import { formatCount } from './format-values.js'

/**
 * What the status page says about a server.
 *
 * - `up`: the server answers, and its statistics are available.
 * - `impaired`: the server answers, and something needs attention.
 * - `down`: the exporter is not connected, or the server does not answer.
 * - `pending`: the exporter connects, or collects for the first time on this stream.
 */
export type ServerState = 'up' | 'impaired' | 'down' | 'pending'

export type ServerStatus = {
  readonly state: ServerState
  /** The title of the page of the server, for example `Prosody is up`. */
  readonly title: string
  /** The state in a table of servers, for example `up`. */
  readonly shortTitle: string
  /** The message for the operator; `undefined` if nothing is wrong. */
  readonly reason: SplitReason | undefined
  /** The problems of a server that is up. */
  readonly attention: readonly AttentionEntry[]
  /** The last summary; `undefined` if it does not describe the server now. */
  readonly summary: ServerSummary | undefined
}

/** A message for the operator. `cause` is its first sentence, and `remedy` is the rest, which can be empty. */
export type SplitReason = { readonly cause: string; readonly remedy: string }

/**
 * Determines the status of a server from the last summary, the present state of the stream, and the growth of the
 * memory of Prosody, if known.
 *
 * @param others Problems that do not belong to the server, but to a domain. A server that is up shows them too.
 */
export function determineStatus(
  summary: ServerSummary | undefined,
  link: LinkReport,
  growth?: MemoryGrowth,
  others: readonly AttentionEntry[] = [],
): ServerStatus {
  if (!link.isConnected) {
    return link.problem === undefined
      ? { ...PENDING, title: 'Connecting to Prosody', shortTitle: 'connecting' }
      : createStatus('down', 'Not connected to Prosody', 'not connected', link.problem)
  }
  // The exporter collects immediately after each login. Until this collection ends, the last summary is about an
  // earlier stream.
  if (summary?.connects !== link.connects) {
    return { ...PENDING, title: 'Collecting the first values', shortTitle: 'collecting' }
  }
  if (!summary.isUp) {
    const problem = summary.problem ?? 'The reason is unknown.'
    return createStatus('down', 'The server does not answer', 'does not answer', problem)
  }
  const attention = sortByUrgency([...findAttention({ summary, growth }), ...others])
  return determineUpStatus(summary, link, attention)
}

function determineUpStatus(
  summary: ServerSummary,
  link: LinkReport,
  attention: readonly AttentionEntry[],
): ServerStatus {
  const title = `${findName(summary)} is up`
  const impaired = (what: string, problem: string): ServerStatus => ({
    ...createStatus('impaired', `${title}, but ${what}`, `up, but ${what}`, problem),
    attention,
    summary,
  })
  if (link.conflict !== undefined) {
    return impaired('a second exporter disconnects this one', link.conflict)
  }
  const registry = summary.sources.find(({ name }) => name === 'registry')
  if (registry?.reason !== undefined) {
    return impaired('statistics are not available', registry.reason)
  }
  const common = { reason: undefined, attention, summary }
  if (attention.length === 0) return { ...common, state: 'up', title, shortTitle: 'up' }
  const what = formatCount(attention.length, 'problem')
  return {
    ...common,
    state: 'impaired',
    title: `${title}, with ${what}`,
    shortTitle: `up, ${what}`,
  }
}

const PENDING: Pick<ServerStatus, 'state' | 'reason' | 'attention' | 'summary'> = {
  ...{ state: 'pending', reason: undefined, summary: undefined },
  attention: [],
}

function createStatus(
  state: ServerState,
  title: string,
  shortTitle: string,
  problem: string,
): ServerStatus {
  const reason = splitReason(problem)
  return { state, title, shortTitle, reason, attention: [], summary: undefined }
}

function findName({ software }: ServerSummary): string {
  return software[0]?.replace(/ \S*$/, '') ?? 'The server'
}

/** Splits a message into its cause, which begins with a capital letter, and its remedy. */
export function splitReason(text: string): SplitReason {
  const { cause, remedy } = splitMessage(text)
  // A name such as `mod_adhoc_statistics` or a URL keeps its first letter.
  return { cause: cause.replace(/^\p{Ll}(?=\p{L}* )/u, (letter) => letter.toUpperCase()), remedy }
}

import { html } from 'hono/html'
import { isUrgent, sortByUrgency } from './attention.js'
import { renderAttentionList } from './attention-list.js'
import type { PageParts } from './document.js'
import { formatCount, formatDuration, formatNumber, type Html } from './format-values.js'
import type { DomainCounts, OutsideSection } from './outside-section.js'
import type { ServerState, ServerStatus } from './server-status.js'

export type OverviewServer = { readonly name: string; readonly status: ServerStatus }

/** Renders the parts of the overview page of several servers that change while the page is open. */
export function renderOverviewParts(
  servers: readonly OverviewServer[],
  outside?: OutsideSection,
): PageParts {
  const entries = sortByUrgency(outside?.listEntries() ?? [])
  const isRed =
    entries.some(isUrgent) ||
    servers.some(({ status: { state, attention } }) => state === 'down' || attention.some(isUrgent))
  return {
    state: html`<h1 class="${selectState(servers, outside?.countDomains())}${isRed ? ' red' : ''}">
      ${describeOverview(servers, outside?.countDomains())}
    </h1>`,
    servers: servers.length > 0 ? renderServers(servers) : html``,
    ...(outside && { attention: renderAttentionList(entries), outside: outside.render() }),
  }
}

function renderServers(servers: readonly OverviewServer[]): Html {
  // The style sheet changes the display of the table on small screens. The roles keep it a table for screen readers.
  return html`<table role="table">
    <thead role="rowgroup">
      <tr role="row">
        <th scope="col" role="columnheader">Server</th>
        <th scope="col" role="columnheader">Clients</th>
        <th scope="col" role="columnheader">State</th>
      </tr>
    </thead>
    <tbody role="rowgroup">
      ${servers.map(renderRow)}
    </tbody>
  </table>`
}

/**
 * Returns the title of the overview page, for example `2 of 3 servers are up`.
 *
 * @param domains The domains that are checked from outside, if this is on.
 */
export function describeOverview(
  servers: readonly OverviewServer[],
  domains?: DomainCounts,
): string {
  if (servers.length === 0 && domains) return describeDomains(domains)
  const title = describeServers(servers)
  const impaired = domains?.impaired ?? 0
  return impaired > 0
    ? `${title}; ${formatCount(impaired, 'domain')} with a problem from outside`
    : title
}

/** The title of an exporter that only checks domains. */
function describeDomains({ checked, impaired }: DomainCounts): string {
  if (checked === 0) return 'Checking the domains'
  return impaired === 0
    ? `No problems with ${formatCount(checked, 'domain')}`
    : `Problems with ${formatNumber(impaired)} of ${formatCount(checked, 'domain')}`
}

function describeServers(servers: readonly OverviewServer[]): string {
  const count = countStates(servers)
  const [total, up] = [servers.length, count('up') + count('impaired')]
  if (total > 0 && count('pending') === total)
    return `Connecting to ${formatCount(total, 'server')}`
  const impaired = count('impaired')
  const title =
    up === total
      ? `All ${formatCount(up, 'server')} are up`
      : `${formatNumber(up)} of ${formatCount(total, 'server')} are up`
  return impaired > 0 ? `${title}, ${formatNumber(impaired)} with a problem` : title
}

function selectState(servers: readonly OverviewServer[], domains?: DomainCounts): ServerState {
  const count = countStates(servers)
  if (servers.length === 0 && domains?.checked === 0) return 'pending'
  if (count('up') === servers.length) return (domains?.impaired ?? 0) > 0 ? 'impaired' : 'up'
  if (count('pending') === servers.length) return 'pending'
  return count('down') === servers.length ? 'down' : 'impaired'
}

function countStates(servers: readonly OverviewServer[]) {
  return (state: ServerState) => servers.filter(({ status }) => status.state === state).length
}

function renderRow({ name, status }: OverviewServer): Html {
  const { clients, users } = status.summary?.values ?? {}
  return html`<tr role="row">
    <th scope="row" role="rowheader">
      <a href="?server=${encodeURIComponent(name)}">${name}</a>
    </th>
    <td role="cell">${formatNumber(clients ?? users)}</td>
    <td role="cell" class="${status.state}">
      <span class="state">${status.shortTitle}</span>${describeDetails(status)}
    </td>
  </tr>`
}

/**
 * Returns the uptime of a server that is up, or the cause of its problem, or of the first of its problems. The page of
 * the server has the remedies.
 */
function describeDetails({ reason, attention, summary }: ServerStatus): string {
  const cause = reason?.cause ?? attention[0]?.cause
  if (cause !== undefined) return `: ${cause}`
  if (!summary) return ''
  const { atMs, startedAtMs } = summary
  return startedAtMs === undefined ? '' : ` for ${formatDuration(atMs - startedAtMs)}`
}

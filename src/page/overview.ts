import { html } from 'hono/html'
import type { ServerSummary } from '../history/server-summary.js'
import type { PageParts } from './document.js'
import { getStateClass } from './server-page.js'
import { formatCount, formatDuration, formatNumber, type Html } from './format-values.js'

export type OverviewServer = {
  readonly name: string
  /** `undefined` before the first collection has ended. */
  readonly summary: ServerSummary | undefined
}

/** Renders the parts of the overview page of several servers that change while the page is open. */
export function renderOverviewParts(servers: readonly OverviewServer[]): PageParts {
  const up = countUp(servers)
  const state = up === servers.length ? 'up' : up === 0 ? 'down' : 'unknown'
  return {
    state: html`<h1 class="${state}">${describeOverview(servers)}</h1>`,
    servers: html`<table>
      <thead>
        <tr>
          <th scope="col">Server</th>
          <th scope="col">Clients</th>
          <th scope="col">State</th>
        </tr>
      </thead>
      <tbody>
        ${servers.map(renderRow)}
      </tbody>
    </table>`,
  }
}

/** Returns the title of the overview page, for example `2 of 3 servers are up`. */
export function describeOverview(servers: readonly OverviewServer[]): string {
  const up = countUp(servers)
  return up === servers.length
    ? `All ${formatCount(up, 'server')} are up`
    : `${formatNumber(up)} of ${formatCount(servers.length, 'server')} are up`
}

const countUp = (servers: readonly OverviewServer[]) =>
  servers.filter(({ summary }) => summary?.isUp).length

function renderRow({ name, summary }: OverviewServer): Html {
  const clients = summary?.isUp ? (summary.values.clients ?? summary.values.users) : undefined
  return html`<tr>
    <th scope="row"><a href="?server=${encodeURIComponent(name)}">${name}</a></th>
    <td>${formatNumber(clients)}</td>
    <td class="${getStateClass(summary)}">${describeServer(summary)}</td>
  </tr>`
}

function describeServer(summary: ServerSummary | undefined): string {
  if (!summary) return 'no data yet'
  if (!summary.isUp) return `does not answer: ${summary.problem ?? 'unknown reason'}`
  const { atMs, startedAtMs, sources } = summary
  const uptime = startedAtMs === undefined ? '' : ` for ${formatDuration(atMs - startedAtMs)}`
  const failed = sources.filter(({ state }) => state === 'failed').map(({ name }) => name)
  return `up${uptime}${failed.length > 0 ? `; failed collectors: ${failed.join(', ')}` : ''}`
}

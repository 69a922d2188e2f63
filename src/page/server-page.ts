import { html } from 'hono/html'
import type { History, Point } from '../history/history.js'
import type { HostSummary, ServerSummary, Share, SourceState } from '../history/server-summary.js'
import { CHARTS, type Chart } from './charts.js'
import type { PageParts } from './document.js'
import {
  formatCount,
  formatDateTime,
  formatDuration,
  formatElapsed,
  formatNumber,
  formatTime,
  type Html,
} from './format-values.js'

export type CollectorHelp = { readonly name: string; readonly help: string }

/**
 * Renders the parts of the page of one server that change while the page is open. The first page and each
 * update use this function.
 *
 * @param collectors All collectors of the exporter, including disabled ones.
 */
export function renderServerParts(
  history: Pick<History, 'getLatest' | 'getPoints'>,
  collectors: readonly CollectorHelp[],
): PageParts {
  const summary = history.getLatest()
  const points = history.getPoints()
  const missing = explainMissing(summary, points)
  return {
    state: html`<h1 class="${getStateClass(summary)}">${describeState(summary)}</h1>`,
    about: renderAbout(summary),
    values: renderValues(summary, points.at(-1)),
    ...Object.fromEntries(
      CHARTS.map((chart) => [`legend-${chart.id}`, renderLegend(chart, points, missing)]),
    ),
    connected: renderConnections(summary),
    sources: renderSources(summary, collectors),
  }
}

/** Returns the title of the page of one server, for example `Prosody is up`. */
export function describeState(summary: ServerSummary | undefined): string {
  if (!summary) return 'No data yet'
  const name = summary.software[0]?.replace(/ \S*$/, '') ?? 'The server'
  return summary.isUp ? `${name} is up` : 'The server does not answer'
}

/** Returns the CSS class that selects the colour for the state of a server. */
export const getStateClass = (summary: ServerSummary | undefined) =>
  summary === undefined ? 'unknown' : summary.isUp ? 'up' : 'down'

function renderAbout(summary: ServerSummary | undefined): Html {
  if (!summary) return html`<p>Waiting for the first collection.</p>`
  const { atMs, isUp, problem, software, startedAtMs } = summary
  if (!isUp) {
    return html`<p class="reason">${problem ?? 'The reason is unknown.'}</p>
      <p class="quiet">Last tried at ${formatTime(atMs)}. The exporter retries automatically.</p>`
  }
  const uptime =
    startedAtMs === undefined
      ? ''
      : html`<span
          >up since ${formatDateTime(startedAtMs)} (${formatDuration(atMs - startedAtMs)})</span
        >`
  return html`<p class="facts">
    ${software.map((name) => html`<span>${name}</span>`)} ${uptime}
    <span class="quiet">updated at ${formatTime(atMs)}</span>
  </p>`
}

function renderValues(summary: ServerSummary | undefined, lastPoint: Point | undefined): Html {
  if (!summary?.isUp) return html``
  const { users, clients, serversIn, serversOut } = summary.values
  const hasServers = serversIn !== undefined || serversOut !== undefined
  const values = [
    ['Users online', users],
    ['Connected clients', clients],
    ['Server connections', hasServers ? (serversIn ?? 0) + (serversOut ?? 0) : undefined],
    ['Messages per second', lastPoint?.messages],
    ['Failed logins per minute', lastPoint?.loginFailures],
  ] as const
  const known = values.filter(([, value]) => value !== undefined)
  if (known.length === 0) return html``
  return html`<dl>
    ${known.map(
      ([name, value]) =>
        html`<div>
          <dt>${name}</dt>
          <dd>${formatNumber(value)}</dd>
        </div>`,
    )}
  </dl>`
}

/** Explains why a chart has no values. This text is shown instead of the chart. */
function explainMissing(summary: ServerSummary | undefined, points: readonly Point[]): string {
  const registry = summary?.sources.find(({ name }) => name === 'registry')
  // The exporter computes a rate from two points. With fewer points, a chart of rates has no values yet.
  if (!summary?.isUp || registry?.state === 'works' || points.length < 2) return 'No data yet.'
  return 'Not available: the exporter has no data from mod_adhoc_statistics.'
}

function renderLegend({ title, lines }: Chart, points: readonly Point[], missing: string): Html {
  const rows = lines.flatMap(({ track, name }, i) => {
    const values = points.flatMap((point) => point[track] ?? [])
    if (values.length === 0) return []
    const current = points.at(-1)?.[track]
    return html`<tr>
      <th scope="row"><i class="line-${i + 1}"></i>${name}</th>
      <td>${formatNumber(current)}</td>
      <td>${formatNumber(Math.min(...values))}</td>
      <td>${formatNumber(Math.max(...values))}</td>
    </tr>`
  })
  if (rows.length === 0) return html`<p class="quiet">${missing}</p>`
  return html`<table>
    <caption class="visually-hidden">
      ${title}: current, lowest and highest value in the chart
    </caption>
    <thead>
      <tr>
        <td></td>
        <th scope="col">now</th>
        <th scope="col">lowest</th>
        <th scope="col">highest</th>
      </tr>
    </thead>
    <tbody>
      ${rows}
    </tbody>
  </table>`
}

const COLUMNS: readonly (readonly [Exclude<keyof HostSummary, 'host'>, string])[] = [
  ['users', 'Users'],
  ['clients', 'Clients'],
  ['serversIn', 'From servers'],
  ['serversOut', 'To servers'],
]

function renderConnections(summary: ServerSummary | undefined): Html {
  if (!summary) return html`<p class="quiet">No data yet.</p>`
  if (!summary.isUp) return html`<p class="quiet">Unknown while the server does not answer.</p>`
  const { hosts, omittedHosts, shares } = summary
  const columns = COLUMNS.filter(([key]) => hosts.some((host) => host[key] !== undefined))
  if (columns.length === 0 && shares.length === 0) {
    return html`<p class="quiet">
      The server does not report users and connections yet. With Prosody, load mod_adhoc_statistics
      to see them here.
    </p>`
  }
  return html`<table class="hosts">
      <thead>
        <tr>
          <th scope="col">Host</th>
          ${columns.map(([, title]) => html`<th scope="col">${title}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${hosts.map(
          (host) =>
            html`<tr>
              <th scope="row">${host.host || '(host not known yet)'}</th>
              ${columns.map(([key]) => html`<td>${formatNumber(host[key])}</td>`)}
            </tr>`,
        )}
      </tbody>
    </table>
    ${
      omittedHosts > 0
        ? html`<p class="quiet">Not shown: ${formatCount(omittedHosts, 'smaller host')}.</p>`
        : ''
    }
    <div class="shares">${shares.map(renderShare)}</div>`
}

function renderShare({ title, parts }: Share): Html {
  const total = parts.reduce((sum, { count }) => sum + count, 0)
  let from = 0
  const bars = parts.map(({ count }, i) => {
    const width = total > 0 ? (count / total) * 100 : 0
    const bar = html`<rect class="line-${(i % 3) + 1}" x="${from}" width="${width}" height="6" />`
    from += width
    return bar
  })
  return html`<section>
    <h3>${title}</h3>
    <svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">${bars}</svg>
    <ul>
      ${parts.map(
        ({ name, count }, i) =>
          html`<li><i class="line-${(i % 3) + 1}"></i>${name} <b>${formatNumber(count)}</b></li>`,
      )}
    </ul>
  </section>`
}

function renderSources(
  summary: ServerSummary | undefined,
  collectors: readonly CollectorHelp[],
): Html {
  if (!summary) return html``
  const { sources, isUp } = summary
  const help = new Map(collectors.map(({ name, help }) => [name, help]))
  const enabled = new Set(sources.map(({ name }) => name))
  const idle = sources.filter(({ state }) => state === 'idle').map(({ name }) => name)
  const disabled = collectors.map(({ name }) => name).filter((name) => !enabled.has(name))
  // While the server does not answer, all collectors fail for the same reason, which is shown at the top of the
  // page.
  const reasonOf = ({ reason }: SourceState) => (isUp ? reason : undefined)
  return html`<ul class="sources">
      ${sources
        .filter(({ state }) => state !== 'idle')
        .map(
          (source) =>
            html`<li class="${source.state}">
              <b>${source.name}</b>
              <span class="state">${source.state}</span>
              <p>${help.get(source.name) ?? ''}</p>
              <span class="duration">${formatElapsed(source.durationSeconds)}</span>
              ${
                reasonOf(source) === undefined
                  ? ''
                  : html`<p class="reason">${reasonOf(source)}</p>`
              }
            </li>`,
        )}
    </ul>
    ${renderNames('Not used on this server', idle, explainIdle(sources))}
    ${renderNames('Disabled', disabled)}`
}

function explainIdle(sources: readonly SourceState[]): string {
  const registry = sources.find(({ name }) => name === 'registry')
  return registry?.state === 'works'
    ? 'mod_adhoc_statistics reports users and connections instead.'
    : 'The server does not offer what they query, or they require more rights.'
}

function renderNames(title: string, names: readonly string[], explanation = ''): Html {
  if (names.length === 0) return html``
  return html`<p class="quiet">${title}: ${names.join(', ')}. ${explanation}</p>`
}

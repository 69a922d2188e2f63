import { html } from 'hono/html'
import type { Point } from '../history/tracks.js'
import type { HostSummary, ServerSummary, Share, SourceState } from '../history/server-summary.js'
import type { StatisticsInterval } from '../history/statistics-interval.js'
import { isUrgent } from './attention.js'
import { renderAttentionList } from './attention-list.js'
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
import { renderPresentValues } from './range-view.js'
import { listTiles, type Tile } from './tiles.js'
import { splitReason, type SplitReason, type ServerStatus } from './server-status.js'

export type CollectorHelp = { readonly name: string; readonly help: string }

/** The status of one server now. */
export type ServerView = {
  readonly status: ServerStatus
  /** The last point of the history; `undefined` if there is none. */
  readonly lastPoint: Point | undefined
  /** Whether the page shows problems of the exporter itself. */
  readonly hasNotices: boolean
}

/**
 * Renders the parts of the page of one server that change while the page is open. The first page and each
 * update use this function. A part without data is empty, and the page does not show its card.
 *
 * @param collectors All collectors of the exporter, including disabled ones.
 */
export function renderServerParts(
  view: ServerView,
  collectors: readonly CollectorHelp[],
): PageParts {
  const { status, lastPoint } = view
  const { state, title, attention, summary } = status
  const isRed = attention.some(isUrgent)
  return {
    state: html`<h1 class="${state}${isRed ? ' red' : ''}">${title}</h1>`,
    about: renderAbout(status),
    attention: renderAttention(view),
    values: summary ? renderTiles(listTiles(summary, lastPoint)) : html``,
    ...renderPresentValues(view),
    connected: summary ? renderConnections(summary) : html``,
    sources: summary ? renderSources(summary, collectors) : html``,
  }
}

function renderAbout({ state, reason, summary }: ServerStatus): Html {
  if (state === 'pending') return html`<p>The first values appear in a few seconds.</p>`
  return html`${reason ? renderReason(reason) : ''}
  ${state === 'down' && !saysRetrying(reason) ? html`<p class="quiet">The exporter retries every few seconds.</p>` : ''}
  ${summary ? renderFacts(summary) : ''}`
}

const saysRetrying = (reason: SplitReason | undefined) =>
  /; re(trying|connecting)/.test(reason?.cause ?? '')

/** Renders a message for the operator, with its first sentence in bold. */
function renderReason({ cause, remedy }: SplitReason): Html {
  return html`<p class="reason"><b>${cause}</b> ${remedy}</p>`
}

function renderFacts(summary: ServerSummary): Html {
  const { atMs, software, startedAtMs } = summary
  const uptime =
    startedAtMs === undefined
      ? ''
      : html`<span
          >up since ${formatDateTime(startedAtMs)} (${formatDuration(atMs - startedAtMs)})</span
        >`
  return html`<p class="facts">
      ${software.map((name) => html`<span>${name}</span>`)} ${uptime}
      <span class="quiet">updated at ${formatTime(atMs)}</span>
    </p>
    ${listRemarks(summary).map((remark) => html`<p class="quiet">${remark}</p>`)}`
}

/** Lists what the reader should know about the values of a server that is up. */
function listRemarks({ software, isWaitingForProsody, interval }: ServerSummary) {
  return [
    ...(isWaitingForProsody ? [WAITING_FOR_PROSODY] : []),
    ...(interval ? [explainInterval(interval, software)] : []),
  ]
}

const WAITING_FOR_PROSODY =
  'Collecting: Prosody has not collected its statistics yet. They appear after the first statistics_interval (default: 60 s).'

function explainInterval({ seconds }: StatisticsInterval, software: readonly string[]): string {
  const age = seconds === undefined ? 'one interval' : `${formatNumber(seconds)} s`
  // Prosody before 0.12 has no other kind of interval.
  if (software.some((name) => /^Prosody 0\.1[01](\.|$)/.test(name)))
    return `Values are up to ${age} old.`
  return `Values are up to ${age} old, because statistics_interval is a number. For new values in each scrape, set statistics_interval = "manual" in the global section of prosody.cfg.lua and restart Prosody.`
}

/** Renders the answer to the question whether everything is all right. */
function renderAttention({ status: { state, attention }, hasNotices }: ServerView): Html {
  if (attention.length > 0) return renderAttentionList(attention)
  return state === 'up' && !hasNotices ? html`<p class="calm">Nothing needs attention.</p>` : html``
}

function renderTiles(tiles: readonly Tile[]): Html {
  if (tiles.length === 0) return html``
  return html`<dl>
    ${tiles.map(
      ({ name, value }) =>
        html`<div>
          <dt>${name}</dt>
          <dd>${value}</dd>
        </div>`,
    )}
  </dl>`
}

const COLUMNS: readonly (readonly [Exclude<keyof HostSummary, 'host'>, string])[] = [
  ['users', 'Users'],
  ['clients', 'Clients'],
  ['serversIn', 'From servers'],
  ['serversOut', 'To servers'],
]

function renderConnections({ hosts, omittedHosts, shares }: ServerSummary): Html {
  const columns = COLUMNS.filter(([key]) => hosts.some((host) => host[key] !== undefined))
  if (columns.length === 0 && shares.length === 0) return html``
  return renderCard(
    'connected-title',
    'Users and connections',
    html`<table class="hosts">
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
      <div class="shares">${shares.map(renderShare)}</div>`,
  )
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

function renderSources({ sources }: ServerSummary, collectors: readonly CollectorHelp[]): Html {
  const help = new Map(collectors.map(({ name, help }) => [name, help]))
  const enabled = new Set(sources.map(({ name }) => name))
  const idle = sources.filter(({ state }) => state === 'idle').map(({ name }) => name)
  const disabled = collectors.map(({ name }) => name).filter((name) => !enabled.has(name))
  return renderCard(
    'sources-title',
    'Collectors',
    html`<ul class="sources">
        ${sources
          .filter(({ state }) => state !== 'idle')
          .map((source) => renderSource(source, help.get(source.name) ?? ''))}
      </ul>
      ${renderNames('Not used on this server', idle, explainIdle(sources))}
      ${renderNames('Disabled', disabled)}`,
  )
}

function renderSource({ name, state, reason, durationSeconds }: SourceState, help: string): Html {
  return html`<li class="${state}">
    <b>${name}</b>
    <span class="state">${state}</span>
    <p>${help}</p>
    <span class="duration">${formatElapsed(durationSeconds)}</span>
    ${reason === undefined ? '' : renderShortReason(splitReason(reason))}
  </li>`
}

/** Renders the first sentence of a message. A click shows the rest. */
function renderShortReason({ cause, remedy }: SplitReason): Html {
  if (remedy === '') return html`<p class="reason">${cause}</p>`
  return html`<details class="reason">
    <summary>${cause}</summary>
    ${remedy}
  </details>`
}

/** Renders a section of the page whose content is in a card. */
export function renderCard(id: string, title: string, content: Html): Html {
  return html`<section aria-labelledby="${id}">
    <h2 id="${id}">${title}</h2>
    <div class="card">${content}</div>
  </section>`
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

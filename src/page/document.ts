import { html } from 'hono/html'
import type { Asset } from './assets.js'
import { CHARTS, type Chart } from './charts.js'
import type { Html } from './format-values.js'
import { splitReason } from './server-status.js'

/** The parts of the status page that change while it is open. The key is the id of the HTML element. */
export type PageParts = Readonly<Record<string, Html>>

/** The values in the rest of the status page. */
export type PageFrame = {
  readonly version: string
  readonly title: string
  /**
   * The name of the server that the page shows; `undefined` on the overview, or if only one server is
   * configured.
   */
  readonly server: string | undefined
  readonly eventsUrl: string
  readonly assets: Readonly<Record<'script' | 'charts' | 'style' | 'icon', Asset>>
  /**
   * The links of the page. Their URLs are relative, because a reverse proxy can serve the exporter under
   * another path.
   */
  readonly links: readonly Link[]
  /** The lines that the reader must add to prometheus.yml to scrape the exporter. */
  readonly job: string
}

export type Link = { readonly href: string; readonly text: string; readonly description: string }

/** Renders problems of the exporter itself, which concern all servers. */
export function renderNotices(notices: readonly string[]): Html {
  return html`${notices.map((notice) => {
    const { cause, remedy } = splitReason(notice)
    return html`<p class="notice"><b>${cause}</b> ${remedy}</p>`
  })}`
}

/** Renders an element whose content the script client/page.js updates. */
const renderPart = (parts: PageParts, id: string) => html`<div id="${id}">${parts[id]}</div>`

/** Renders the part about the checks from outside. Without these checks, the page does not have it. */
const renderOutside = (parts: PageParts) =>
  parts['outside'] === undefined ? '' : renderPart(parts, 'outside')

/** The part of the page of a server that selects the time of the charts. */
export type RangeChoice = {
  /** The links that select a range. */
  readonly links: Html
  /** The URL of the values of a range. The script adds the parameter `range`. */
  readonly historyUrl: string
}

export function renderServerDocument(
  frame: PageFrame,
  parts: PageParts,
  { links, historyUrl }: RangeChoice,
): Html {
  return renderDocument(
    frame,
    parts,
    html`<section class="hero">
        <div id="state" role="status">${parts['state']}</div>
        ${renderPart(parts, 'about')}
      </section>
      ${renderPart(parts, 'attention')} ${renderPart(parts, 'values')}
      <section
        aria-labelledby="charts-title"
        id="history"
        class="history"
        data-history="${historyUrl}"
      >
        <h2 id="charts-title">History</h2>
        ${links}
        <p id="history-problem" role="status"></p>
        ${renderPart(parts, 'outages')}
        <div class="charts">${CHARTS.map((chart) => renderChart(chart, parts))}</div>
        <noscript><p class="quiet">The charts need JavaScript. The values do not.</p></noscript>
      </section>
      ${renderOutside(parts)} ${renderPart(parts, 'connected')} ${renderPart(parts, 'sources')}`,
  )
}

export function renderOverviewDocument(frame: PageFrame, parts: PageParts): Html {
  return renderDocument(
    frame,
    parts,
    html`<section class="hero">
        <div id="state" role="status">${parts['state']}</div>
      </section>
      ${parts['outside'] === undefined ? '' : renderPart(parts, 'attention')}
      <section aria-labelledby="servers-title" class="servers">
        <h2 id="servers-title">Servers</h2>
        <div class="card">${renderPart(parts, 'servers')}</div>
      </section>
      ${renderOutside(parts)}`,
  )
}

function renderChart(chart: Chart, parts: PageParts): Html {
  const { id, title, unit, format, lines } = chart
  const tracks = lines.map(({ track }) => track).join(' ')
  const names = lines.map(({ name }) => name).join('|')
  return html`<figure>
    <figcaption>
      <h3>${title}</h3>
      ${unit === '' ? '' : html`<span class="quiet">${unit}</span>`}
      <span class="readout" aria-hidden="true"></span>
    </figcaption>
    <div
      class="plot"
      data-tracks="${tracks}"
      data-names="${names}"
      data-format="${format}"
      data-title="${title}"
    ></div>
    <div id="legend-${id}" class="legend">${parts[`legend-${id}`]}</div>
  </figure>`
}

function renderDocument(frame: PageFrame, parts: PageParts, main: Html): Html {
  const { version, title, server, eventsUrl, assets, links, job } = frame
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>${title}</title>
        <link rel="icon" type="image/svg+xml" href="${assets.icon.url}" />
        <link rel="stylesheet" href="${assets.style.url}" />
        <script src="${assets.charts.url}" defer></script>
        <script type="module" src="${assets.script.url}"></script>
      </head>
      <body data-events="${eventsUrl}">
        <header>
          <a href="./"
            ><img src="${assets.icon.url}" width="22" height="22" alt="" />Prosody Exporter</a
          >
          ${server === undefined ? '' : html`<span class="server">${server}</span>`}
          <p id="link" role="status"></p>
        </header>
        <main>
          <div id="notices" role="status">${parts['notices']}</div>
          ${main}
          <section aria-labelledby="prometheus-title">
            <h2 id="prometheus-title">Metrics, dashboard and alerts</h2>
            <ul class="links">
              ${links.map(
                ({ href, text, description }) =>
                  html`<li>
                    <a href="${href}">${text}</a> <span class="quiet">${description}</span>
                  </li>`,
              )}
            </ul>
            <p class="quiet">To scrape the exporter, add this to prometheus.yml:</p>
            <div class="job card">
              <button type="button" id="copy" hidden>Copy</button>
              <pre id="job" tabindex="0" aria-label="Configuration for prometheus.yml">${job}</pre>
            </div>
          </section>
        </main>
        <footer>prosody-exporter ${version}</footer>
      </body>
    </html>`
}

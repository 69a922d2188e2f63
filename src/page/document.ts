import { html } from 'hono/html'
import type { Asset } from './assets.js'
import { CHARTS } from './charts.js'
import type { Html } from './words.js'

export type Parts = Readonly<Record<string, Html>>

export type Frame = {
  readonly version: string
  readonly title: string
  /** Of the server, with several. */
  readonly server: string | undefined
  readonly eventsUrl: string
  readonly assets: Readonly<Record<'script' | 'charts' | 'style' | 'icon', Asset>>
  /** Relative, for a proxy may serve us elsewhere than at its root. */
  readonly links: readonly Link[]
  readonly job: string
}

export type Link = { readonly href: string; readonly text: string; readonly about: string }

/** An element that is kept up to date: see client/page.js. */
const live = (parts: Parts, id: string) => html`<div id="${id}" data-live>${parts[id]}</div>`

export function serverDocument(frame: Frame, parts: Parts): Html {
  return document(
    frame,
    html`<section class="hero">
        <div id="state" data-live role="status">${parts['state']}</div>
        ${live(parts, 'about')}
      </section>
      ${live(parts, 'figures')}
      <section aria-labelledby="charts-title">
        <h2 id="charts-title">The last hours</h2>
        <div class="charts">${CHARTS.map((chart) => figure(chart, parts))}</div>
        <noscript><p class="quiet">The curves need JavaScript; the numbers do not.</p></noscript>
      </section>
      <section aria-labelledby="connected-title">
        <h2 id="connected-title">Who is connected</h2>
        ${live(parts, 'connected')}
      </section>
      <section aria-labelledby="sources-title">
        <h2 id="sources-title">Where the numbers come from</h2>
        ${live(parts, 'sources')}
      </section>`,
  )
}

export function overviewDocument(frame: Frame, parts: Parts): Html {
  return document(
    frame,
    html`<section class="hero">
        <div id="state" data-live role="status">${parts['state']}</div>
      </section>
      <section aria-labelledby="servers-title">
        <h2 id="servers-title">Servers</h2>
        ${live(parts, 'servers')}
      </section>`,
  )
}

function figure({ id, title, unit, lines }: (typeof CHARTS)[number], parts: Parts): Html {
  const tracks = lines.map(({ track }) => track).join(' ')
  const names = lines.map(({ name }) => name).join('|')
  return html`<figure>
    <figcaption>
      <h3>${title}</h3>
      ${unit === '' ? '' : html`<span class="quiet">${unit}</span>`}
      <span class="readout" aria-hidden="true"></span>
    </figcaption>
    <div class="plot" data-tracks="${tracks}" data-names="${names}" data-title="${title}"></div>
    ${live(parts, `legend-${id}`)}
  </figure>`
}

function document(frame: Frame, main: Html): Html {
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
          ${main}
          <section aria-labelledby="prometheus-title">
            <h2 id="prometheus-title">For Prometheus</h2>
            <ul class="links">
              ${links.map(
                ({ href, text, about }) =>
                  html`<li><a href="${href}">${text}</a> <span class="quiet">${about}</span></li>`,
              )}
            </ul>
            <div class="job">
              <button type="button" id="copy" hidden>Copy</button>
              <pre id="job" tabindex="0" aria-label="Lines for prometheus.yml">${job}</pre>
            </div>
          </section>
        </main>
        <footer>prosody-exporter ${version}</footer>
      </body>
    </html>`
}

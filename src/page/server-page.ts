import { html } from 'hono/html'
import type { History, Point } from '../history/history.js'
import type { HostSummary, ServerSummary, Share, SourceState } from '../history/server-summary.js'
import { CHARTS, type Chart } from './charts.js'
import { clock, counted, duration, moment, number, took, type Html } from './words.js'

export type CollectorHelp = { readonly name: string; readonly help: string }

/**
 * What changes on the page of one server, by the id of the element that it stands in: the same when
 * the page is first made and when it is brought up to date.
 *
 * @param sources What each source of statistics asks for.
 */
export function serverParts(
  history: Pick<History, 'latest' | 'points'>,
  sources: readonly CollectorHelp[],
): Readonly<Record<string, Html>> {
  const reading = history.latest()
  const points = history.points()
  return {
    state: state(reading),
    about: about(reading),
    figures: figures(reading, points.at(-1)),
    ...Object.fromEntries(CHARTS.map((chart) => [`legend-${chart.id}`, legend(chart, points)])),
    connected: connected(reading),
    sources: sourceStates(reading, sources),
  }
}

export function stateText(reading: ServerSummary | undefined): string {
  if (!reading) return 'Not asked yet'
  const name = reading.software[0]?.replace(/ \S*$/, '') ?? 'The server'
  return reading.up ? `${name} is up` : 'The server does not answer'
}

export const stateOf = (reading: ServerSummary | undefined) =>
  reading === undefined ? 'unknown' : reading.up ? 'up' : 'down'

function state(reading: ServerSummary | undefined): Html {
  return html`<h1 class="${stateOf(reading)}">${stateText(reading)}</h1>`
}

function about(reading: ServerSummary | undefined): Html {
  if (!reading) return html`<p>The first answer of the server is a moment away.</p>`
  const { atMs, up, problem, software, startedAtMs } = reading
  if (!up) {
    return html`<p class="reason">${problem ?? 'No reason is known.'}</p>
      <p class="quiet">Asked at ${clock(atMs)}, and again all the time.</p>`
  }
  const since =
    startedAtMs !== undefined &&
    html`<span>since ${moment(startedAtMs)}, for ${duration(atMs - startedAtMs)}</span>`
  return html`<p class="facts">
    ${software.map((name) => html`<span>${name}</span>`)} ${since || ''}
    <span class="quiet">as of ${clock(atMs)}</span>
  </p>`
}

function figures(reading: ServerSummary | undefined, last: Point | undefined): Html {
  const { users, clients, serversIn, serversOut } = (reading?.up && reading.figures) || {}
  const servers =
    serversIn === undefined && serversOut === undefined
      ? undefined
      : (serversIn ?? 0) + (serversOut ?? 0)
  const told = reading?.up ? last : undefined
  const tiles = [
    ['Users online', users],
    ['Clients', clients],
    ['Connections with servers', servers],
    ['Messages a second', told?.messages],
    ['Failed logins a minute', told?.loginFailures],
  ] as const
  const shown = tiles.filter(([, value]) => value !== undefined)
  if (shown.length === 0) return html``
  return html`<dl>
    ${shown.map(
      ([name, value]) =>
        html`<div>
          <dt>${name}</dt>
          <dd>${number(value)}</dd>
        </div>`,
    )}
  </dl>`
}

function legend({ title, lines }: Chart, points: readonly Point[]): Html {
  const rows = lines.flatMap(({ track, name }, i) => {
    const values = points.flatMap((point) => point[track] ?? [])
    if (values.length === 0) return []
    const now = points.at(-1)?.[track]
    return html`<tr>
      <th scope="row"><i class="line-${i + 1}"></i>${name}</th>
      <td>${number(now)}</td>
      <td>${number(Math.min(...values))}</td>
      <td>${number(Math.max(...values))}</td>
    </tr>`
  })
  if (rows.length === 0) return html`<p class="quiet">Nothing is told of this.</p>`
  return html`<table>
    <caption class="unseen">
      ${title}: now, and lowest and highest of the hours shown
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

const COLUMNS: readonly (readonly [keyof HostSummary, string])[] = [
  ['users', 'Users'],
  ['clients', 'Clients'],
  ['serversIn', 'Servers in'],
  ['serversOut', 'Servers out'],
]

function connected(reading: ServerSummary | undefined): Html {
  if (!reading?.up) return html`<p class="quiet">Not known while the server does not answer.</p>`
  const { hosts, hostsLeftOut, shares } = reading
  const columns = COLUMNS.filter(([key]) => hosts.some((host) => host[key] !== undefined))
  if (columns.length === 0 && shares.length === 0) {
    return html`<p class="quiet">
      The server tells nothing of its connections: mod_adhoc_statistics does, or the rights of an
      admin.
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
              <th scope="row">${host.host || 'not known yet'}</th>
              ${columns.map(([key]) => html`<td>${number(host[key] as number | undefined)}</td>`)}
            </tr>`,
        )}
      </tbody>
    </table>
    ${hostsLeftOut > 0 ? html`<p class="quiet">and ${counted(hostsLeftOut, 'smaller host')}</p>` : ''}
    <div class="shares">${shares.map(share)}</div>`
}

function share({ title, parts }: Share): Html {
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
          html`<li><i class="line-${(i % 3) + 1}"></i>${name} <b>${number(count)}</b></li>`,
      )}
    </ul>
  </section>`
}

const STATES = { works: 'works', idle: 'tells nothing', failed: 'failed' } as const

function sourceStates(reading: ServerSummary | undefined, sources: readonly CollectorHelp[]): Html {
  if (!reading) return html``
  const help = new Map(sources.map(({ name, help }) => [name, help]))
  const known = new Set(reading.sources.map(({ name }) => name))
  const shown = reading.sources.filter(({ state }) => state !== 'idle')
  const idle = reading.sources.filter(({ state }) => state === 'idle').map(({ name }) => name)
  const off = sources.map(({ name }) => name).filter((name) => !known.has(name))
  // Where nobody answers one reason is that of them all, and stands above.
  const reasonOf = ({ reason }: SourceState) => (reading.up ? reason : undefined)
  return html`<ul class="sources">
      ${shown.map(
        (source) =>
          html`<li class="${source.state}">
            <b>${source.name}</b>
            <span class="state">${STATES[source.state]}</span>
            <p>${help.get(source.name) ?? ''}</p>
            <span class="took">${took(source.durationSeconds)}</span>
            ${reasonOf(source) === undefined ? '' : html`<p class="reason">${reasonOf(source)}</p>`}
          </li>`,
      )}
    </ul>
    ${list('No host offers, or lets us ask, what these want', idle)} ${list('Turned off', off)}`
}

function list(title: string, names: readonly string[]): Html {
  return names.length === 0 ? html`` : html`<p class="quiet">${title}: ${names.join(', ')}.</p>`
}

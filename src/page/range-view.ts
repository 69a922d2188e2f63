import { html } from 'hono/html'
import type { Outage, RangeData } from '../history/range.js'
import type { Point } from '../history/tracks.js'
import { findStart } from './chart-columns.js'
import { CHARTS, type Chart } from './charts.js'
import type { PageParts } from './document.js'
import { formatTrack } from './format-track.js'
import { formatCount, formatDateTime, formatDuration, type Html } from './format-values.js'
import type { ServerStatus } from './server-status.js'

export type RangeView = {
  readonly status: ServerStatus
  /** The last point; `undefined` if there is none. */
  readonly lastPoint: Point | undefined
  readonly data: RangeData
}

/** Renders the parts of the page of a server that depend on the selected range. */
export function renderRangeParts(view: RangeView): PageParts {
  return {
    outages: renderOutages(view.data),
    ...Object.fromEntries(CHARTS.map((chart) => [`legend-${chart.id}`, renderLegend(chart, view)])),
  }
}

/** Renders the present values in the tables below the charts. They change more often than the rest of the tables. */
export function renderPresentValues({ status, lastPoint }: Omit<RangeView, 'data'>): PageParts {
  const last = status.summary && lastPoint
  return Object.fromEntries(
    CHARTS.flatMap(({ format, lines }) =>
      lines.map(({ track }) => [`now-${track}`, html`${formatTrack(format, last?.[track])}`]),
    ),
  )
}

const NEEDS_TWO_VALUES = 'Collecting; a chart needs two values.'

/**
 * Explains why a chart has no values yet. The result is `undefined` if it will not have any until the operator changes
 * something.
 */
function explainMissing({ status: { summary }, data }: RangeView): string | undefined {
  const registry = summary?.sources.find(({ name }) => name === 'registry')
  if (!summary || !registry || registry.state === 'failed') return undefined
  if (summary.isWaitingForProsody)
    return 'Collecting; Prosody has not collected its statistics yet.'
  return data.times.length < 2 ? NEEDS_TWO_VALUES : 'Prosody has counted nothing here yet.'
}

function renderLegend({ title, format, lines, isExpected }: Chart, view: RangeView): Html {
  const { data, status } = view
  const present = renderPresentValues(view)
  const rows = lines.flatMap(({ track, name }, i) => {
    const columns = data.values[track]
    if (!columns) return []
    return html`<tr>
      <th scope="row"><i class="line-${i + 1}"></i>${name}</th>
      <td id="now-${track}">${present[`now-${track}`]}</td>
      <td>${formatTrack(format, findExtreme(columns.minimum, Math.min))}</td>
      <td>${formatTrack(format, findExtreme(columns.maximum, Math.max))}</td>
    </tr>`
  })
  if (rows.length === 0) {
    const missing = isExpected && explainMissing(view)
    return missing === undefined ? html`` : html`<p class="quiet">${missing}</p>`
  }
  return html`<table>
      <caption class="visually-hidden">
        ${title}: current value, lowest and highest value in the selected time
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
    </table>
    ${status.summary && data.times.length < 2 ? html`<p class="quiet">${NEEDS_TWO_VALUES}</p>` : ''}`
}

function findExtreme(
  column: readonly (number | null)[],
  choose: (...values: readonly number[]) => number,
): number {
  return choose(...column.filter((value) => value !== null))
}

/** The newest outages are listed. A flapping server could have thousands. */
const MAX_LISTED = 50

const STATES: Readonly<Record<Outage['state'], string>> = {
  down: 'Prosody did not answer',
  unknown: 'The exporter was not running',
}

/** Renders a strip that shows when the server was up, and the same as text. */
function renderOutages(data: RangeData): Html {
  const { toMs, times, outages } = data
  const startMs = findStart(data)
  // A single value is no period.
  if (times.length + outages.length === 0 || startMs >= toMs) return html``
  return html`<p class="visually-hidden">
      From ${formatDateTime(startMs)} to ${formatDateTime(toMs)}:
    </p>
    ${renderStrip(outages, startMs, toMs)}
    <p class="ends" aria-hidden="true">${formatDateTime(startMs)} ${formatDateTime(toMs)}</p>
    ${renderTotals(outages, toMs - startMs)} ${renderOutageList(outages)}`
}

/**
 * Renders the strip as an image without a text. The states have different shapes too: a thin line, a block, and
 * hatching. The content security policy forbids styles in the page, so the positions are attributes.
 */
function renderStrip(outages: readonly Outage[], startMs: number, toMs: number): Html {
  const toShare = (ms: number) => Number(((100 * ms) / Math.max(toMs - startMs, 1)).toFixed(3))
  const renderPart = (state: Outage['state'] | 'answered', partMs: number, endMs: number) => {
    const [x, width] = [toShare(partMs - startMs), toShare(endMs - partMs)]
    if (state === 'answered')
      return html`<rect class="answered" x="${x}%" width="${width}%" y="7" height="4" />`
    const fill = state === 'unknown' ? html`fill="url(#hatching)"` : ''
    return html`<rect class="${state}" x="${x}%" width="${width}%" height="100%" ${fill} />`
  }
  const ends = [...outages.map(({ fromMs }) => fromMs), toMs]
  const answered = [startMs, ...outages.map((outage) => outage.toMs)]
    .map((partMs, i) => [partMs, ends[i]!] as const)
    .filter(([partMs, endMs]) => endMs > partMs)
  return html`<svg class="strip" aria-hidden="true">
    <defs>
      <pattern id="hatching" width="6" height="6" patternUnits="userSpaceOnUse">
        <path d="M-1 7 7 -1M-1 1 1 -1M5 7 7 5" />
      </pattern>
    </defs>
    ${answered.map(([partMs, endMs]) => renderPart('answered', partMs, endMs))}
    ${outages.map(({ state, ...outage }) =>
      renderPart(state, Math.max(outage.fromMs, startMs), outage.toMs),
    )}
  </svg>`
}

/** Renders for how long the server was in each state. This is also the legend of the strip. */
function renderTotals(outages: readonly Outage[], totalMs: number): Html {
  const [down, unknown] = (['down', 'unknown'] as const).map((state) => {
    const all = outages.filter((outage) => outage.state === state)
    return { count: all.length, ms: all.reduce((sum, { fromMs, toMs }) => sum + toMs - fromMs, 0) }
  })
  const upMs = totalMs - down!.ms - unknown!.ms
  return html`<ul class="totals">
    ${upMs > 0 ? html`<li><i class="answered"></i>Prosody answered: ${formatDuration(upMs)}</li>` : ''}
    <li>
      <i class="down"></i>${STATES.down}:
      ${
        down!.count === 0
          ? 'never'
          : `${formatDuration(down!.ms)} in ${formatCount(down!.count, 'outage')}`
      }
    </li>
    ${
      unknown!.count > 0
        ? html`<li><i class="unknown"></i>${STATES.unknown}: ${formatDuration(unknown!.ms)}</li>`
        : ''
    }
  </ul>`
}

function renderOutageList(outages: readonly Outage[]): Html {
  if (outages.length === 0) return html``
  const listed = outages.slice(-MAX_LISTED).reverse()
  return html`<details>
    <summary>Times of the outages</summary>
    <ul>
      ${listed.map(
        ({ state, fromMs, toMs }) =>
          html`<li>
            <b>${STATES[state]}:</b> ${formatDateTime(fromMs)} to ${formatDateTime(toMs)}
            (${formatDuration(toMs - fromMs)})
          </li>`,
      )}
    </ul>
    ${
      outages.length > listed.length
        ? html`<p class="quiet">
            Not listed: ${formatCount(outages.length - listed.length, 'earlier outage')}.
          </p>`
        : ''
    }
  </details>`
}

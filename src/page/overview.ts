import { html } from 'hono/html'
import type { ServerSummary } from '../history/server-summary.js'
import { stateOf } from './server-page.js'
import { counted, duration, number, type Html } from './words.js'

export type Overviewed = { readonly name: string; readonly reading: ServerSummary | undefined }

/** What changes on the page of several servers, by the id of its element. */
export function overviewParts(servers: readonly Overviewed[]): Readonly<Record<string, Html>> {
  const up = upOf(servers)
  const state = up === servers.length ? 'up' : up === 0 ? 'down' : 'unknown'
  return {
    state: html`<h1 class="${state}">${overviewText(servers)}</h1>`,
    servers: html`<table>
      <thead>
        <tr>
          <th scope="col">Server</th>
          <th scope="col">Clients</th>
          <th scope="col">State</th>
        </tr>
      </thead>
      <tbody>
        ${servers.map(row)}
      </tbody>
    </table>`,
  }
}

export function overviewText(servers: readonly Overviewed[]): string {
  const up = upOf(servers)
  return up === servers.length
    ? `All ${counted(up, 'server')} are up`
    : `${number(up)} of ${counted(servers.length, 'server')} are up`
}

const upOf = (servers: readonly Overviewed[]) => servers.filter(({ reading }) => reading?.up).length

function row({ name, reading }: Overviewed): Html {
  return html`<tr>
    <th scope="row"><a href="?server=${encodeURIComponent(name)}">${name}</a></th>
    <td>${number(reading?.up ? (reading.figures.clients ?? reading.figures.users) : undefined)}</td>
    <td class="${stateOf(reading)}">${describe(reading)}</td>
  </tr>`
}

function describe(reading: ServerSummary | undefined): string {
  if (!reading) return 'not asked yet'
  if (!reading.up) return `does not answer: ${reading.problem ?? 'no reason is known'}`
  const failed = reading.sources.filter(({ state }) => state === 'failed').map(({ name }) => name)
  const since =
    reading.startedAtMs === undefined ? '' : ` for ${duration(reading.atMs - reading.startedAtMs)}`
  return `up${since}${failed.length > 0 ? `; failed: ${failed.join(', ')}` : ''}`
}

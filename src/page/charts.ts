import type { Track } from '../history/history.js'

export type Chart = {
  readonly id: string
  readonly title: string
  /** Of all its numbers; empty where they just count. */
  readonly unit: string
  readonly lines: readonly { readonly track: Track; readonly name: string }[]
}

export const CHARTS: readonly Chart[] = [
  {
    id: 'connections',
    title: 'Connected',
    unit: '',
    lines: [
      { track: 'clients', name: 'Clients' },
      { track: 'serversIn', name: 'Servers, incoming' },
      { track: 'serversOut', name: 'Servers, outgoing' },
    ],
  },
  {
    id: 'stanzas',
    title: 'Stanzas',
    unit: 'a second',
    lines: [
      { track: 'messages', name: 'Messages' },
      { track: 'presences', name: 'Presence' },
      { track: 'iqs', name: 'Requests (iq)' },
    ],
  },
  {
    id: 'logins',
    title: 'Logins',
    unit: 'a minute',
    lines: [
      { track: 'logins', name: 'Succeeded' },
      { track: 'loginFailures', name: 'Failed' },
    ],
  },
  {
    id: 'answers',
    title: 'Time to answer',
    unit: 'milliseconds',
    lines: [
      { track: 'pingMs', name: 'Ping of the slowest host' },
      { track: 'lagMs', name: 'Lag of the event loop' },
    ],
  },
]

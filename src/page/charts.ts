import type { Track } from '../history/tracks.js'

export type Chart = {
  readonly id: string
  readonly title: string
  /** The unit of all values in the chart. It is empty if the values are counts. */
  readonly unit: string
  readonly lines: readonly { readonly track: Track; readonly name: string }[]
}

export const CHARTS: readonly Chart[] = [
  {
    id: 'connections',
    title: 'Connections',
    unit: '',
    lines: [
      { track: 'clients', name: 'Clients' },
      { track: 'serversIn', name: 'From other servers' },
      { track: 'serversOut', name: 'To other servers' },
    ],
  },
  {
    id: 'stanzas',
    title: 'Stanzas',
    unit: 'per second',
    lines: [
      { track: 'messages', name: 'Messages' },
      { track: 'presences', name: 'Presence' },
      { track: 'iqs', name: 'Requests (IQ)' },
    ],
  },
  {
    id: 'logins',
    title: 'Logins',
    unit: 'per minute',
    lines: [
      { track: 'logins', name: 'Succeeded' },
      { track: 'loginFailures', name: 'Failed' },
    ],
  },
  {
    id: 'latency',
    title: 'Response time',
    unit: 'milliseconds',
    lines: [
      { track: 'pingMs', name: 'Ping of the slowest host' },
      { track: 'lagMs', name: 'Event loop lag' },
    ],
  },
]

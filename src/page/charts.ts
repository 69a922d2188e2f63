import type { Track } from '../history/tracks.js'

/** How the values of a chart are written: as they are, in bytes with a prefix such as MB, or in percent of 1. */
export type ValueFormat = 'number' | 'bytes' | 'percent'

export type Chart = {
  readonly id: string
  readonly title: string
  /** The unit of all values in the chart. It is empty if the values are counts. */
  readonly unit: string
  readonly format: ValueFormat
  readonly lines: readonly { readonly track: Track; readonly name: string }[]
  /** Whether a chart without values explains why. Every server has the values of such a chart sooner or later. */
  readonly isExpected?: true
}

export const CHARTS: readonly Chart[] = [
  {
    id: 'connections',
    title: 'Connections',
    unit: '',
    format: 'number',
    isExpected: true,
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
    format: 'number',
    isExpected: true,
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
    format: 'number',
    isExpected: true,
    lines: [
      { track: 'logins', name: 'Succeeded' },
      { track: 'loginFailures', name: 'Failed' },
    ],
  },
  {
    id: 'latency',
    title: 'Response time',
    unit: 'milliseconds',
    format: 'number',
    isExpected: true,
    lines: [
      { track: 'pingMs', name: 'Ping of the slowest host' },
      { track: 'lagMs', name: 'Event loop lag' },
    ],
  },
  {
    id: 'memory',
    title: 'Memory',
    unit: 'of the Prosody process',
    format: 'bytes',
    lines: [{ track: 'memoryBytes', name: 'Resident memory' }],
  },
  {
    id: 'cpu',
    title: 'CPU',
    unit: 'of one core',
    format: 'percent',
    lines: [{ track: 'cpuShare', name: 'Prosody' }],
  },
  {
    id: 'rooms',
    title: 'Rooms',
    unit: '',
    format: 'number',
    lines: [
      { track: 'rooms', name: 'Rooms' },
      { track: 'occupants', name: 'Occupants' },
    ],
  },
  {
    id: 'accounts',
    title: 'Accounts',
    unit: '',
    format: 'number',
    lines: [{ track: 'accounts', name: 'Accounts' }],
  },
  {
    id: 'registrations',
    title: 'Registrations',
    unit: 'per hour',
    format: 'number',
    lines: [{ track: 'registrations', name: 'New accounts' }],
  },
  {
    id: 'unauthenticated',
    title: 'Unauthenticated connections',
    unit: '',
    format: 'number',
    lines: [{ track: 'unauthenticated', name: 'Before login' }],
  },
  {
    id: 'descriptors',
    title: 'File descriptors',
    unit: '',
    format: 'number',
    lines: [{ track: 'openFds', name: 'Open' }],
  },
]

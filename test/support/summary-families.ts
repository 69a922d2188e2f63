/** Metric families and collections of a small XMPP server, for tests of the summary, the history and the page. */

import { family, type Family } from '../../src/metrics/family.js'
import type { Collection } from '../../src/scrape/scraper.js'

/** The time at which the collections of the tests end. */
export const START_MS = Date.UTC(2026, 0, 1)

export const HOST = 'a.example'

export type Labels = Readonly<Record<string, string>>

export const gauge = (name: string, ...rows: readonly (readonly [Labels, number])[]) =>
  family(
    'gauge',
    name,
    '',
    rows.map(([labels, value]) => ({ labels, value })),
  )

export const counter = (name: string, ...rows: readonly (readonly [Labels, number])[]): Family => ({
  ...gauge(name, ...rows),
  type: 'counter',
})

/** Returns the labels that a connection has in Prosody's metrics. */
export const connectionLabels = (type: string, ip_family: string) => ({
  host: HOST,
  type,
  ip_family,
})

export const FAMILIES = [
  gauge('xmpp_info', [{ host: HOST, name: 'Prosody', version: '13.0.1' }, 1]),
  gauge('xmpp_start_time_seconds', [{ host: HOST }, START_MS / 1000 - 93_600]),
  gauge('xmpp_online_users', [{ host: HOST }, 3], [{ host: 'b.example' }, 1]),
  gauge('xmpp_client_connections', [{ host: HOST }, 4], [{ host: 'b.example' }, 2]),
  gauge(
    'prosody_mod_c2s__connections',
    [connectionLabels('c2s', 'ipv4'), 4],
    [connectionLabels('c2s', 'ipv6'), 2],
    [connectionLabels('c2s_unauthed', 'ipv4'), 1],
  ),
  gauge('prosody_mod_s2s__connections_inbound', [connectionLabels('s2sin', 'ipv6'), 5]),
  gauge('xmpp_s2s_connections', [{ host: HOST, direction: 'in', security: 'verified' }, 5]),
  counter('prosody_mod_c2s__encrypted', [{ protocol: 'TLSv1.3', cipher: 'x' }, 9]),
]

export const createCollection = (changes: Partial<Collection> = {}): Collection => ({
  isUp: true,
  families: FAMILIES,
  results: [],
  ...changes,
})

/** Creates a collection of an XMPP server that does not answer. */
export const createFailedCollection = (error: unknown): Collection => ({
  isUp: false,
  families: [],
  results: [{ name: 'registry', error, durationSeconds: 0.1 }],
})

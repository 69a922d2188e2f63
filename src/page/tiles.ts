import type { ServerSummary } from '../history/server-summary.js'
import type { Point } from '../history/tracks.js'
import { formatBytes, formatCount, formatDays, formatNumber } from './format-values.js'

/** A value at the top of the page, with its unit. */
export type Tile = { readonly name: string; readonly value: string }

/** Lists the tiles of a server. A tile whose value is unknown is absent. */
export function listTiles(summary: ServerSummary, lastPoint: Point | undefined): Tile[] {
  const { values, certificates, atMs } = summary
  const { serversIn, serversOut, occupants } = values
  const servers =
    serversIn === undefined && serversOut === undefined
      ? undefined
      : (serversIn ?? 0) + (serversOut ?? 0)
  const messages = lastPoint?.messages
  const leftMs = certificates[0] && certificates[0].expiresAtMs - atMs
  const rooms =
    occupants === undefined ? 'Rooms' : `Rooms, with ${formatCount(occupants, 'occupant')}`
  const tile = (
    name: string,
    value: number | undefined,
    format: (value: number) => string = formatNumber,
  ): Tile[] => (value === undefined ? [] : [{ name, value: format(value) }])
  return [
    ...tile('Users online', values.users),
    ...tile('Connected clients', values.clients),
    ...tile('Server connections', servers),
    ...tile(rooms, values.rooms),
    ...tile('Accounts', values.accounts),
    ...tile('Messages per minute', messages === undefined ? undefined : messages * 60),
    ...tile('First certificate expires in', leftMs, (ms) => (ms < 0 ? 'expired' : formatDays(ms))),
    ...tile('Memory of Prosody', values.memoryBytes, formatBytes),
  ]
}

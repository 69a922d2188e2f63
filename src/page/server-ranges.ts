import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { History } from '../history/history.js'
import type { Range, RangeData } from '../history/range.js'
import { findStart, toChartColumns } from './chart-columns.js'
import type { Point } from '../history/tracks.js'
import type { PageParts } from './document.js'
import { renderRangeParts } from './range-view.js'
import type { ServerStatus } from './server-status.js'
import { createSharedReads } from './shared-reads.js'

/** A range of the history of a server, ready to be sent. */
export type RenderedRange = {
  readonly parts: PageParts
  /** The columns of the charts and the parts as JSON, compressed with gzip. */
  readonly gzipped: Uint8Array<ArrayBuffer>
  /** For how long the history knows the server. */
  readonly knownMs: number
}

export type ServerRanges = {
  read(history: History, status: ServerStatus, range: Range): Promise<RenderedRange>
  /**
   * Chooses the range that the page shows: the requested one, if this history has it. Otherwise, this is the second
   * shortest one, and the shortest one while the history is not longer.
   */
  choose(history: History, status: ServerStatus, id: string | undefined): Promise<Range>
}

const compress = promisify(gzip)

export function createServerRanges(): ServerRanges {
  const reads = createSharedReads<RenderedRange>()

  const read: ServerRanges['read'] = (history, status, range) =>
    reads.get(history, range.id, `${history.countPoints()} ${status.state}`, async () => {
      const lastPoint = getLastPoint(history)
      const data = await history.readRange(range)
      return renderRange(data, renderRangeParts({ status, lastPoint, data }))
    })

  return {
    read,
    async choose(history, status, id) {
      const ranges = history.listRanges()
      const requested = ranges.find((range) => range.id === id)
      const [shortest, usual] = ranges
      if (requested || !usual) return requested ?? shortest!
      const isLonger = await read(history, status, usual).then(
        ({ knownMs }) => knownMs > shortest!.durationMs,
        () => false,
      )
      return isLonger ? usual : shortest!
    },
  }
}

export function getLastPoint(history: History): Point | undefined {
  return history.getPoints(Math.max(history.countPoints() - 1, 0)).at(-1)
}

async function renderRange(data: RangeData, parts: PageParts): Promise<RenderedRange> {
  const texts = await renderTexts(parts)
  const json = JSON.stringify({ ...toChartColumns(data), parts: texts })
  const gzipped = new Uint8Array(await compress(json))
  return { parts, gzipped, knownMs: data.toMs - findStart(data) }
}

/** Converts the parts of a page to texts, for JSON. */
export async function renderTexts(parts: PageParts): Promise<Record<string, string>> {
  const texts: Record<string, string> = {}
  for (const [id, part] of Object.entries(parts)) texts[id] = String(await part)
  return texts
}

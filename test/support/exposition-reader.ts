import { readExposition, type ReadResult } from '../../src/cli/compare/read-exposition.js'

export type ReadSeries = ReadResult & {
  /** The values of the series, in the order of the exposition. The keys have the form `name{label="value"}`. */
  readonly series: readonly (readonly [key: string, value: number])[]
}

/**
 * Reads an exposition with the reader of `prosody-exporter compare`, which gets it in pieces of `pieceBytes` bytes.
 */
export async function readSeries(
  exposition: string | Uint8Array,
  { isOpenMetrics = false, pieceBytes = Infinity } = {},
): Promise<ReadSeries> {
  const bytes = Buffer.from(exposition)
  async function* pieces() {
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      yield await Promise.resolve(bytes.subarray(at, at + pieceBytes))
    }
  }
  const series: (readonly [string, number])[] = []
  const read = await readExposition(pieces(), isOpenMetrics, {
    type: () => undefined,
    sample({ name, labels, value }) {
      const isBare = /^[a-zA-Z_:][\w:]*$/.test(name)
      const inner = isBare ? labels : [`"${name}"`, ...(labels === '' ? [] : [labels])].join(',')
      const key = isBare ? `${name}{${inner}}` : `{${inner}}`
      series.push([Buffer.from(key, 'latin1').toString(), value])
    },
  })
  return { ...read, series }
}

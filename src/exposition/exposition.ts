import { promisify } from 'node:util'
import { gzip, gzipSync } from 'node:zlib'
import type { Family } from '../metrics/family.js'
import { createWriter, finishBytes, MAX_UTF8_BYTES, writeText } from './bytes.js'
import { isSelected } from './metric-names.js'
import type { ExpositionFormat } from './negotiate.js'
import { createProtobufEncoder, estimateProtobufSize } from './protobuf.js'
import { runInSlices, runToEnd, type Steps } from './slices.js'
import { createTextEncoder, computeTextCapacity } from './text.js'
import { listExposedFamilies, getRowsIfAllExposed, findExposedRows } from './validity.js'

export type ExpositionOptions = {
  /**
   * Adds a `_created` sample to each row of a counter, histogram or summary whose creation time is known. Only
   * OpenMetrics has such samples.
   */
  readonly created: boolean
  /**
   * Names of the families to expose, like `name[]` of client_golang's promhttp. Without this set, or with an
   * empty one, all families are exposed. A family matches by its name in the text format, where a counter has
   * the suffix `_total`, or by its name in OpenMetrics. The name of a single sample, like `x_bucket`, matches
   * no family.
   */
  readonly names?: ReadonlySet<string>
}

export type Exposition = {
  /**
   * Renders the exposition in slices of a few milliseconds. Each format is rendered once: later calls return
   * the same bytes, which callers must not change.
   */
  bytes(format: ExpositionFormat): Promise<Uint8Array<ArrayBuffer>>
  /** Compresses the result of `bytes`. Each format is compressed once. */
  gzip(format: ExpositionFormat): Promise<Uint8Array<ArrayBuffer>>
}

const compressLong = promisify(gzip)
// Compressing 64 KB takes well below a millisecond. In a thread, it would take longer than that to begin.
const LONG_BYTES = 64 * 1024
// Level 1 is the fastest. Higher levels cost more time than a client gains by the smaller response.
const COMPRESSION = { level: 1 }
// Rendering 64 KB takes well below a millisecond in every format.
const STEP_BYTES = 64 * 1024
const OPENMETRICS_END = '# EOF\n'

/** Creates the exposition of one snapshot, for any number of clients. */
export function createExposition(
  families: readonly Family[],
  options: ExpositionOptions,
): Exposition {
  const rendered = new Map<ExpositionFormat, Promise<Uint8Array<ArrayBuffer>>>()
  const compressed = new Map<ExpositionFormat, Promise<Uint8Array<ArrayBuffer>>>()

  function bytes(format: ExpositionFormat): Promise<Uint8Array<ArrayBuffer>> {
    const result = rendered.get(format) ?? runInSlices(renderInSteps(families, format, options))
    rendered.set(format, result)
    return result
  }

  return {
    bytes,
    gzip(format) {
      const result = compressed.get(format) ?? bytes(format).then(compress)
      compressed.set(format, result)
      return result
    },
  }
}

function compress(plain: Uint8Array): Promise<Uint8Array<ArrayBuffer>> | Uint8Array<ArrayBuffer> {
  return plain.length > LONG_BYTES ? compressLong(plain, COMPRESSION) : gzipSync(plain, COMPRESSION)
}

/** Renders the families in one go, without letting other work run in between; see `renderInSteps`. */
export function render(
  families: readonly Family[],
  format: ExpositionFormat,
  options: ExpositionOptions,
): Uint8Array<ArrayBuffer> {
  return runToEnd(renderInSteps(families, format, options))
}

/**
 * Renders the families, sorted by their exposed name. The rows and families that the format forbids are
 * omitted, see validity.ts. A family without exposed rows has no metadata lines either, as in client_golang
 * (`NormalizeMetricFamilies`).
 */
export function* renderInSteps(
  families: readonly Family[],
  format: ExpositionFormat,
  { created, names }: ExpositionOptions,
): Steps<Uint8Array<ArrayBuffer>> {
  // Protobuf has the same names and the same exposed rows as the text format, except rows that it cannot encode.
  const textFormat = format === 'protobuf' ? 'text' : format
  // Families with colliding names are omitted before the selection by name. So a selection never contains a
  // family that the whole exposition omits.
  const exposed = listExposedFamilies(families, textFormat).filter((each) =>
    isSelected(each, names),
  )
  const end = format === 'openmetrics' ? OPENMETRICS_END : ''
  let capacity = MAX_UTF8_BYTES * end.length
  for (const family of exposed) {
    capacity += format === 'protobuf' ? estimateProtobufSize(family) : computeTextCapacity(family)
  }

  const out = createWriter(capacity)
  let byteLimit = STEP_BYTES
  for (const family of exposed) {
    const rows =
      getRowsIfAllExposed(family, textFormat) ?? (yield* findExposedRows(family, textFormat))
    if (rows.length === 0) continue
    const encoder =
      format === 'protobuf'
        ? createProtobufEncoder(family)
        : createTextEncoder(family, format, created)
    encoder.writeStart(out)
    for (let next = 0; next < rows.length;) {
      next = encoder.writeRows(out, rows, next, byteLimit)
      if (out.length < byteLimit) continue
      yield
      byteLimit = out.length + STEP_BYTES
    }
    encoder.writeEnd(out)
  }
  writeText(out, end)
  return finishBytes(out)
}

import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { Family } from '../metrics/family.js'
import { createWriter, finishBytes, MAX_UTF8_BYTES, writeText } from './bytes.js'
import { isSelected } from './metric-names.js'
import type { ExpositionFormat } from './negotiate.js'
import { createProtobufEncoder, estimateSize } from './protobuf.js'
import { runInSlices, runToEnd, type Steps } from './slices.js'
import { createTextEncoder, textCapacity } from './text.js'
import { exposedFamilies, exposedRows, exposedRowsSteps } from './validity.js'

export type ExpositionOptions = {
  /** Adds `_created` samples where the source reports the time; OpenMetrics only. */
  readonly created: boolean
  /**
   * Only the families of these names, like `name[]` of client_golang's promhttp; an empty set
   * selects all. A family matches by its name in the text format (a counter's with `_total`) or in
   * OpenMetrics. The name of a single sample, like `x_bucket`, matches nothing. Default: all.
   */
  readonly names?: ReadonlySet<string>
}

export type Exposition = {
  /**
   * Renders the whole exposition, once for each format and in slices of a few milliseconds. All
   * callers share the result and must not change it.
   */
  bytes(format: ExpositionFormat): Promise<Uint8Array<ArrayBuffer>>
  /** Compresses the result of `bytes`, also once for each format. */
  gzip(format: ExpositionFormat): Promise<Uint8Array<ArrayBuffer>>
}

const compress = promisify(gzip)
// Well below a millisecond of work, in every format.
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
    const result = rendered.get(format) ?? runInSlices(renderSteps(families, format, options))
    rendered.set(format, result)
    return result
  }

  return {
    bytes,
    gzip(format) {
      // Level 1: a client reads the result once, and higher levels cost more time than they save.
      const result =
        compressed.get(format) ?? bytes(format).then((plain) => compress(plain, { level: 1 }))
      compressed.set(format, result)
      return result
    },
  }
}

/** Renders the families without a pause; see `renderSteps`. */
export function render(
  families: readonly Family[],
  format: ExpositionFormat,
  options: ExpositionOptions,
): Uint8Array<ArrayBuffer> {
  return runToEnd(renderSteps(families, format, options))
}

/**
 * Renders the families, sorted by their exposed name. What the format cannot carry is omitted, see
 * validity.ts. A family without a row in the format has no metadata either, as in client_golang
 * (`NormalizeMetricFamilies`).
 */
export function* renderSteps(
  families: readonly Family[],
  format: ExpositionFormat,
  { created, names }: ExpositionOptions,
): Steps<Uint8Array<ArrayBuffer>> {
  // The names and the validity of protobuf are those of the text format.
  const textFormat = format === 'protobuf' ? 'text' : format
  // Select after the collisions are resolved: a selection never shows what the whole does not.
  const exposed = exposedFamilies(families, textFormat).filter((each) => isSelected(each, names))
  const end = format === 'openmetrics' ? OPENMETRICS_END : ''
  let capacity = MAX_UTF8_BYTES * end.length
  for (const family of exposed) {
    capacity += format === 'protobuf' ? estimateSize(family) : textCapacity(family)
  }

  const out = createWriter(capacity)
  let byteLimit = STEP_BYTES
  for (const family of exposed) {
    const rows = exposedRows(family, textFormat) ?? (yield* exposedRowsSteps(family, textFormat))
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

import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { createBytes, finishBytes, writeBytes, writeText } from './bytes.js'
import type { Family } from '../metrics/family.js'
import { isAskedFor, type Format } from './metric-names.js'
import type { AnyFormat } from './negotiate.js'
import { keepPlain, partOf, writeWithTimestamps, writingPlain, type Part } from './part.js'
import { planned } from './plan.js'
import { protobufSteps } from './protobuf.js'
import { atOnce, inSlices, PARTS_PER_STEP, type Steps } from './slices.js'
import { exposableSteps, rowsOfSmall } from './validity.js'

export type { Format } from './metric-names.js'

export type ExpositionOptions = {
  /** Adds `_created` lines where the source tells the time; OpenMetrics only. */
  readonly created: boolean
  /** Only these families, see `filterFamilies`. Default: all. */
  readonly names?: ReadonlySet<string>
}

export type Exposition = {
  /**
   * The whole exposition, rendered once in slices of a few milliseconds: callers at the same time
   * share the work. Not to be changed.
   */
  bytes(format: AnyFormat): Promise<Uint8Array<ArrayBuffer>>
  /** The same compressed, once too. */
  gzip(format: AnyFormat): Promise<Uint8Array<ArrayBuffer>>
}

const compress = promisify(gzip)
// Well below a millisecond's work.
const BYTES_PER_STEP = 100_000
const EOF = '# EOF\n'

/** An exposition of one snapshot, for as many readers as come. */
export function createExposition(
  families: readonly Family[],
  options: ExpositionOptions,
): Exposition {
  const rendered = new Map<AnyFormat, Promise<Uint8Array<ArrayBuffer>>>()
  const compressed = new Map<AnyFormat, Promise<Uint8Array<ArrayBuffer>>>()

  function steps(format: AnyFormat): Steps<Uint8Array<ArrayBuffer>> {
    return format === 'protobuf'
      ? protobufSteps(families, options)
      : textSteps(families, format, options)
  }

  function bytes(format: AnyFormat): Promise<Uint8Array<ArrayBuffer>> {
    const result = rendered.get(format) ?? inSlices(steps(format))
    rendered.set(format, result)
    return result
  }

  return {
    bytes,
    gzip(format) {
      // Level 1: a scrape is read once, and the higher levels cost more time than they save.
      const result =
        compressed.get(format) ?? bytes(format).then((plain) => compress(plain, { level: 1 }))
      compressed.set(format, result)
      return result
    },
  }
}

/**
 * The families in the text format 0.0.4 or OpenMetrics 1.0.0, sorted by exposed name, all at once.
 * What a format can't carry is left out, see validity.ts; a family of which no row is left has no
 * metadata either, as in client_golang (`NormalizeMetricFamilies`): missing is missing.
 *
 * Of a family that was rendered before only the values that changed are rendered again.
 *
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/
 * @see OpenMetrics 1.0.0, Text format
 */
export function render(
  families: readonly Family[],
  format: Format,
  options: ExpositionOptions,
): Uint8Array<ArrayBuffer> {
  return atOnce(textSteps(families, format, options))
}

/**
 * The families asked for by name, as `name[]` has it in client_golang's promhttp; all where no name
 * is given. A family's name is the one in the text format (a counter's with `_total`), as there; we
 * take the one in OpenMetrics too. Names of single samples, as `x_bucket`, are nobody's.
 */
export function filterFamilies(families: readonly Family[], names: ReadonlySet<string>): Family[] {
  return families.filter((family) => isAskedFor(family, names))
}

/** `render` in steps. */
export function* textSteps(
  families: readonly Family[],
  format: Format,
  { created, names }: ExpositionOptions,
): Steps<Uint8Array<ArrayBuffer>> {
  // Of all families, so that a choice of some shows nothing that the whole does not.
  const shown = planned(families, format)
  const parts: Part[] = []
  let room = EOF.length
  for (const family of names ? filterFamilies(shown, names) : shown) {
    const rows = rowsOfSmall(family) ?? (yield* exposableSteps(family, format))
    if (rows.length === 0) continue
    const part = partOf(family, rows, format, created)
    parts.push(part)
    room += part.room
    if (parts.length % PARTS_PER_STEP === 0) yield
  }
  const out = createBytes(room)
  let written = 0
  for (const part of parts) {
    writeBytes(out, part.metadata, 0, part.metadata.length)
    if (part.family.timestampMs === undefined) {
      const start = out.length
      const write = writingPlain(out, part, format)
      while (!write()) yield
      keepPlain(part, out, start, names !== undefined)
    } else {
      yield* writeWithTimestamps(out, part, format)
    }
    if (out.length - written > BYTES_PER_STEP) {
      written = out.length
      yield
    }
  }
  if (format === 'openmetrics') writeText(out, EOF)
  return finishBytes(out)
}

import { writeBytes, type Bytes } from './bytes.js'
import { VALUES_PER_STEP } from './lines.js'
import type { Format } from './metric-names.js'
import { formatValue } from './number.js'
import type { Steps } from './slices.js'

/** The longest that a timestamp can be, with the space before it. */
export const STAMP_BYTES = 26

const LINE_FEED = 0x0a

/**
 * What ends a sample's line.
 *
 * @see Prometheus text format 0.0.4: milliseconds; OpenMetrics 1.0.0, Timestamps: seconds
 */
export function stampFor(timestampMs: number, format: Format): Uint8Array {
  return Buffer.from(` ${formatValue(format === 'text' ? timestampMs : timestampMs / 1000)}`)
}

/** Writes a family's rows again, each line with a timestamp. */
export function* writeStamped(
  out: Bytes,
  { bytes, start, end }: { bytes: Uint8Array; start: number; end: number },
  stamp: Uint8Array,
): Steps<void> {
  let pause = VALUES_PER_STEP
  for (let at = start; at < end;) {
    // The only line ending there is: a label's value may hold a carriage return.
    const lineFeed = bytes.indexOf(LINE_FEED, at)
    writeBytes(out, bytes, at, lineFeed)
    writeBytes(out, stamp, 0, stamp.length)
    out.buffer[out.length++] = LINE_FEED
    at = lineFeed + 1
    if (--pause === 0) {
      pause = VALUES_PER_STEP
      yield
    }
  }
}

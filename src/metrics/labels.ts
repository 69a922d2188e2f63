// A label text is what the text formats write between the braces of a sample, for example `host="a",type="b"`.

/**
 * Escapes backslashes, quotation marks and line feeds, as the Prometheus text format and OpenMetrics require.
 */
export function escapeLabelValue(value: string): string {
  return value.replace(/[\\"\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`))
}

/** Returns `host="a",type="b"` for `{host: 'a', type: 'b'}`. Label names are not escaped. */
export function formatLabels(labels: Readonly<Record<string, string>>): string {
  return joinLabels(Object.keys(labels), Object.values(labels))
}

/** Returns the label text for label names and their values, which are in two lists of equal length. */
export function joinLabels(names: readonly string[], values: readonly string[]): string {
  return values.map((value, i) => `${names[i]!}="${escapeLabelValue(value)}"`).join(',')
}

/**
 * The label texts of all rows of a family in one UTF-8 buffer. Row `i` has `bytes[ends[i - 1] ?? 0 …
 * ends[i]]`.
 */
export type LabelText = {
  readonly bytes: Uint8Array
  readonly ends: Uint32Array
}

/** Returns the position in `LabelText.bytes` at which the label text of a row begins. */
export function getLabelStart(ends: Uint32Array, row: number): number {
  return row === 0 ? 0 : ends[row - 1]!
}

/** Returns the label texts of all rows as a Buffer, without copying the bytes. */
export function getLabelBytes({ bytes }: LabelText): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Returns the label text of one row. */
export function getLabels(labels: LabelText, row: number): string {
  return getLabelBytes(labels).toString('utf8', getLabelStart(labels.ends, row), labels.ends[row])
}

/** Label text: the labels of a series as between the braces, for example `host="a",type="b"`. */

/** Escapes a label value as both text formats do. */
export function escapeLabelValue(value: string): string {
  return value.replace(/[\\"\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`))
}

/** Returns `host="a",type="b"` for `{host: 'a', type: 'b'}`. Label names are not escaped. */
export function labelText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${escapeLabelValue(value)}"`)
    .join(',')
}

/** The label text of all rows in one buffer of UTF-8: row `i` is `bytes[ends[i - 1] ?? 0 … ends[i]]`. */
export type LabelText = {
  readonly bytes: Uint8Array
  readonly ends: Uint32Array
}

/** Returns where the label text of a row begins in the buffer. */
export function labelStart(ends: Uint32Array, row: number): number {
  return row === 0 ? 0 : ends[row - 1]!
}

/** Returns the whole buffer without copying it. */
export function slabOf({ bytes }: LabelText): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Returns the label text of one row. */
export function labelsOf(labels: LabelText, row: number): string {
  return slabOf(labels).toString('utf8', labelStart(labels.ends, row), labels.ends[row])
}

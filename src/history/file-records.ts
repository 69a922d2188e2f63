import type { FileHandle } from 'node:fs/promises'
import {
  decodeRecord,
  encodeRecord,
  readRecordTime,
  type FileRecord,
  type Tier,
} from './file-layout.js'

/** The maximum number of records that are read and decoded in one step, so that scrapes do not wait. */
const CHUNK = 1000

/** Writes records to their slots. Records in adjacent slots are one write. */
export async function writeRecords(
  file: FileHandle,
  tier: Tier,
  records: readonly FileRecord[],
): Promise<void> {
  const runs: { readonly slot: number; readonly records: FileRecord[] }[] = []
  for (const record of records) {
    const slot = getSlotNumber(tier, record.atMs) % tier.slots
    const run = runs.at(-1)
    const index = run ? slot - run.slot : -1
    if (run && index >= 0 && index <= run.records.length) run.records[index] = record
    else runs.push({ slot, records: [record] })
  }
  for (const run of runs) {
    const bytes = Buffer.concat(run.records.map((record) => encodeRecord(tier, record)))
    await file.write(bytes, 0, bytes.length, tier.offset + run.slot * tier.recordBytes)
  }
}

/** Reads the records of a period, in the order of time. */
export async function readRecords(
  file: FileHandle,
  tier: Tier,
  fromMs: number,
  toMs: number,
): Promise<FileRecord[]> {
  const last = getSlotNumber(tier, toMs)
  const first = Math.max(getSlotNumber(tier, fromMs), last - tier.slots + 1, 0)
  const records: FileRecord[] = []
  for (let number = first; number <= last;) {
    const slot = number % tier.slots
    const count = Math.min(CHUNK, last - number + 1, tier.slots - slot)
    const from = number
    const isExpected = (i: number, found: number) => found === from + i
    records.push(...(await readSlots(file, tier, { slot, count, isExpected })))
    number += count
  }
  return records.filter(({ atMs }) => atMs + tier.stepMs > fromMs && atMs <= toMs)
}

/** Reads all records of a tier, in the order of time. */
export async function readAllRecords(file: FileHandle, tier: Tier): Promise<FileRecord[]> {
  const records: FileRecord[] = []
  for (let slot = 0; slot < tier.slots; slot += CHUNK) {
    const count = Math.min(CHUNK, tier.slots - slot)
    const isExpected = (i: number, found: number) => found % tier.slots === slot + i
    records.push(...(await readSlots(file, tier, { slot, count, isExpected })))
  }
  return records.sort((a, b) => a.atMs - b.atMs)
}

/**
 * Reads the records in adjacent slots. Slots after the end of the file have the value 0.
 *
 * @param slots.isExpected Returns whether the record in slot `slot + i` may have the slot number `found`.
 */
async function readSlots(
  file: FileHandle,
  tier: Tier,
  slots: {
    readonly slot: number
    readonly count: number
    readonly isExpected: (i: number, found: number) => boolean
  },
): Promise<FileRecord[]> {
  const { slot, count, isExpected } = slots
  const bytes = Buffer.alloc(count * tier.recordBytes)
  await file.read(bytes, 0, bytes.length, tier.offset + slot * tier.recordBytes)
  const records: FileRecord[] = []
  for (let i = 0; i < count; i++) {
    const offset = i * tier.recordBytes
    // The time is checked first, because that takes less time than the checksum.
    if (!isExpected(i, getSlotNumber(tier, readRecordTime(bytes, offset)))) continue
    const record = decodeRecord(tier, bytes, offset)
    if (record) records.push(record)
  }
  return records
}

const getSlotNumber = ({ stepMs }: Tier, atMs: number) => Math.floor(atMs / stepMs)

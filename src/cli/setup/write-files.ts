import { createHash } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  existsSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { getErrorMessage } from '../../errors.js'
import { isFile } from './is-file.js'
import { SetupFailure } from './setup-failure.js'
import {
  formatRecord,
  readRecord,
  RECORD_FILE,
  type CreatedPath,
  type SetupRecord,
} from './setup-record.js'

export type PlannedFile = {
  readonly path: string
  readonly content: string
  /** The mode of the file. Every user can enter directories that setup creates, except the one of the record. */
  readonly mode: number
  /** The group that owns the file, by its number. The owner is root. */
  readonly groupId: number
  /**
   * Whether the planned content is that of the operator, who has changed the file since setup wrote it, with lines at its
   * end. The file stays one that the operator has changed.
   */
  readonly isExtension?: true
}

/**
 * What happens to a planned file:
 * - `create`: it does not exist.
 * - `update`: setup wrote it, and the operator has not changed it; the planned content is different.
 * - `extend`: setup adds lines to what the operator has changed.
 * - `none`: it has the planned content.
 * - `keep`: setup wrote it, and the operator has changed it since. Setup does not touch it.
 * - `refuse`: setup did not write it.
 */
export type FileAction = 'create' | 'update' | 'extend' | 'none' | 'keep' | 'refuse'

/** @param record What an earlier setup wrote. */
export function chooseAction(
  { path, content, isExtension }: PlannedFile,
  record: SetupRecord | undefined,
): FileAction {
  if (!existsSync(path)) return 'create'
  const created = record?.created.find((each) => each.path === path)
  if (created === undefined || !isFile(path)) return 'refuse'
  if (hashFile(path) === hash(content)) return 'none'
  if (isExtension) return 'extend'
  return isUnchanged(created) ? 'update' : 'keep'
}

export type WrittenFiles = {
  readonly record: SetupRecord
  /** Whether this call of `writeFiles` created the file. */
  readonly isNew: (path: string) => boolean
  /** Restores everything that this call of `writeFiles` changed. */
  readonly rollBack: () => void
}

/**
 * Writes the planned files, after the record of them. If one cannot be written, restores all of them.
 *
 * @param previous The record of an earlier setup.
 * @throws SetupFailure
 */
export function writeFiles(
  files: readonly PlannedFile[],
  previous: SetupRecord | undefined,
  values: Omit<SetupRecord, 'created'>,
): WrittenFiles {
  const changes = files.filter((file) => /create|update|extend/.test(chooseAction(file, previous)))
  const record: SetupRecord = { ...values, created: listCreated(changes, previous) }
  const added = record.created.filter(
    ({ path }) => previous?.created.every((each) => each.path !== path) ?? true,
  )
  const old = changes
    .filter(({ path }) => existsSync(path))
    .map((file) => ({ ...file, content: readFileSync(file.path, 'utf8') }))
  const rollBack = () => {
    for (const file of old) if (hashFile(file.path) !== hash(file.content)) replaceFile(file)
    removeCreated(added)
    if (previous) saveRecord(previous)
  }
  let path = RECORD_FILE
  createRecord(record, previous)
  try {
    // A setup that was killed may have left temporary files next to complete ones.
    for (const file of files) rmSync(temporaryName(file.path), { force: true })
    for (const file of changes) {
      path = file.path
      createDirectories(path, 0o755)
      if (existsSync(path)) replaceFile(file)
      else createFile(file)
    }
  } catch (error) {
    rollBack()
    throw cannotWrite(path, error)
  }
  const isNew = (path: string) => added.some((each) => each.path === path)
  return { record, isNew, rollBack }
}

/** @throws SetupFailure if another setup has written a record since `previous` was read. */
function createRecord(record: SetupRecord, previous: SetupRecord | undefined): void {
  const missing = findMissingDirectories(RECORD_FILE)
  try {
    createDirectories(RECORD_FILE, 0o700)
    if (previous) saveRecord(record)
    else createFile(planRecord(record))
  } catch (error) {
    for (const directory of missing.toReversed()) removeEmptyDirectory(directory)
    if (!previous && existsSync(RECORD_FILE)) {
      throw new SetupFailure(
        'Another setup runs at the same time. Wait until it has ended, and run setup again.',
      )
    }
    throw cannotWrite(RECORD_FILE, error)
  }
}

const cannotWrite = (path: string, error: unknown) =>
  new SetupFailure(`Cannot write ${path}: ${getErrorMessage(error)}. Nothing was changed.`)

function saveRecord(record: SetupRecord): void {
  replaceFile(planRecord(record))
}

/** Changes values of the record on disk. */
export function updateRecord(changes: Partial<SetupRecord>): void {
  saveRecord({ ...readRecord()!, ...changes })
}

const planRecord = (record: SetupRecord): PlannedFile => ({
  path: RECORD_FILE,
  content: formatRecord(record),
  mode: 0o600,
  groupId: 0,
})

/** Whether an undo keeps a file, because the operator has changed it. */
export function willKeep(created: CreatedPath): boolean {
  const { path } = created
  return path !== RECORD_FILE && isFile(path) && !isUnchanged(created)
}

/**
 * Removes files and directories that setup created, the last first. A file that the operator has changed since stays, and
 * so does a directory that is not empty.
 *
 * @returns The paths of the files that stay.
 */
export function removeCreated(created: readonly CreatedPath[]): string[] {
  const kept: string[] = []
  for (const each of created.toReversed()) {
    const { path } = each
    if (each.sha256 === undefined) removeEmptyDirectory(path)
    else {
      if (!existsSync(dirname(path))) continue
      removeFile(temporaryName(path))
      if (!existsSync(path)) continue
      // The checksum of the record itself changes with each step of setup.
      if (path === RECORD_FILE || isUnchanged(each)) removeFile(path)
      else kept.push(path)
    }
  }
  return kept
}

/** Lists what exists after the planned changes, in the order of creation: the record first, then the files. */
function listCreated(
  changes: readonly PlannedFile[],
  previous: SetupRecord | undefined,
): CreatedPath[] {
  const created = new Map(previous?.created.map((each) => [each.path, each]))
  const add = (path: string, sha256: string) => {
    for (const directory of findMissingDirectories(path)) {
      if (!created.has(directory)) created.set(directory, { path: directory })
    }
    created.set(path, { path, sha256, ...(existsSync(path) && { replaced: hashFile(path) }) })
  }
  if (!created.has(RECORD_FILE)) add(RECORD_FILE, '')
  for (const { path, content, isExtension } of changes) if (!isExtension) add(path, hash(content))
  return [...created.values()]
}

/** Whether a file has a content that setup wrote. */
function isUnchanged({ path, sha256, replaced }: CreatedPath): boolean {
  if (!isFile(path)) return false
  const current = hashFile(path)
  return current === sha256 || current === replaced
}

/** Returns the directories above a path that do not exist, the highest first. */
function findMissingDirectories(path: string): string[] {
  const directory = dirname(path)
  return existsSync(directory) ? [] : [...findMissingDirectories(directory), directory]
}

/** @throws SetupFailure */
function removeFile(path: string): void {
  try {
    rmSync(path, { force: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR') return // There is no such file.
    throw new SetupFailure(`Cannot remove ${path}: ${getErrorMessage(error)}.`)
  }
}

function createDirectories(path: string, mode: number): void {
  for (const directory of findMissingDirectories(path)) {
    mkdirSync(directory)
    chmodSync(directory, mode) // whatever the umask is
  }
}

/** Creates a file, complete or not at all. Fails if the file exists. */
function createFile(file: PlannedFile): void {
  const temporary = writeTemporary(file)
  try {
    linkSync(temporary, file.path)
  } finally {
    rmSync(temporary)
  }
}

function replaceFile(file: PlannedFile): void {
  renameSync(writeTemporary(file), file.path)
}

function writeTemporary({ path, content, mode, groupId }: PlannedFile): string {
  const temporary = temporaryName(path)
  rmSync(temporary, { force: true })
  // No other user can read the file before it has its group and mode.
  const file = openSync(temporary, 'wx', 0o600)
  try {
    writeFileSync(file, content)
    fsyncSync(file)
    fchownSync(file, 0, groupId)
    fchmodSync(file, mode)
  } finally {
    closeSync(file)
  }
  return temporary
}

// Prosody does not include files whose name starts with a dot.
const temporaryName = (path: string) => join(dirname(path), `.${basename(path)}.setup`)

function removeEmptyDirectory(path: string): void {
  try {
    rmdirSync(path)
  } catch {
    // The directory does not exist, or has other files.
  }
}

const hash = (content: string | Buffer) => createHash('sha256').update(content).digest('hex')
const hashFile = (path: string) => hash(readFileSync(path))

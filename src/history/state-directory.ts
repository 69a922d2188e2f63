import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { access, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describeFileError } from './describe-file-error.js'
import { createTaskQueue, type TaskQueue } from '../task-queue.js'
import type { Log } from '../log/log.js'

/**
 * The directory of the history files, and the queue of all their uses. Node.js has four threads for files, compression and
 * name resolution, and a slow disk must not block more than one of them.
 */
export type StateDirectory = { readonly path: string; readonly queue: TaskQueue }

/** File systems allow names of 255 bytes. */
const MAX_NAME = 200

/**
 * Creates the state directory if it does not exist.
 *
 * @returns The directory, or `undefined` if the exporter cannot write files in it. Then one line in the log says so.
 */
export async function prepareStateDirectory(
  directory: string | undefined,
  log: Log,
): Promise<StateDirectory | undefined> {
  if (directory === undefined) return undefined
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    await access(directory, constants.W_OK | constants.X_OK)
    return { path: directory, queue: createTaskQueue() }
  } catch (error) {
    log.warn(
      `cannot write in the state directory ${directory}: ${describeFileError(error)}. The page remembers only the last ` +
        'hours, until a restart. Set --state.directory to a directory that the user of the exporter can write',
    )
    return undefined
  }
}

/** Returns the path of the history file of a server. The names of different servers give different paths. */
export function getHistoryPath(directory: string, server: string): string {
  const name = encodeURIComponent(server)
  const hash = createHash('sha256').update(server).digest('hex').slice(0, 16)
  return join(
    directory,
    `${name.length > MAX_NAME ? `${name.slice(0, MAX_NAME)}-${hash}` : name}.history`,
  )
}

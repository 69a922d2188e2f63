/** Lists files with everything that a program could change: type, mode, owner, content and link target. */

import { createHash } from 'node:crypto'
import { lstat, readdir, readFile, readlink } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * Lists all files below the directories, one line for each, in alphabetical order.
 *
 * @param root The root directory of a machine.
 * @param directories Paths on the machine. Missing ones are omitted.
 * @param isExcluded Selects paths to omit with everything below them.
 */
export async function listFiles(
  root: string,
  directories: readonly string[],
  isExcluded: (path: string) => boolean = () => false,
): Promise<string[]> {
  const lines: string[] = []
  const visit = async (path: string): Promise<void> => {
    if (isExcluded(path)) return
    const line = await describeFile(join(root, path), path).catch(ignoreMissing)
    if (line === undefined) return
    lines.push(line)
    if (!line.includes(' directory ')) return
    const names = await readdir(join(root, path)).catch(ignoreMissing)
    for (const name of names ?? []) await visit(join(path, name))
  }
  for (const directory of directories) await visit(directory)
  return lines.sort()
}

async function describeFile(file: string, path: string): Promise<string> {
  const stats = await lstat(file)
  const mode = (stats.mode & 0o7777).toString(8).padStart(4, '0')
  const about = (type: string, content: string) =>
    `${path} ${type} ${mode} ${stats.uid}:${stats.gid} ${content}`.trimEnd()
  if (stats.isSymbolicLink()) return about('link', await readlink(file))
  if (stats.isDirectory()) return about('directory', '')
  if (!stats.isFile()) return about('special', '')
  return about(
    'file',
    createHash('sha256')
      .update(await readFile(file))
      .digest('hex'),
  )
}

/** A running machine may remove a file while it is listed. */
function ignoreMissing(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
}

/** Compares two listings. The lines of the result start with `-` for the first listing and with `+` for the second. */
export function compareListings(before: readonly string[], after: readonly string[]): string[] {
  const [old, now] = [new Set(before), new Set(after)]
  return [
    ...before.filter((line) => !now.has(line)).map((line) => `- ${line}`),
    ...after.filter((line) => !old.has(line)).map((line) => `+ ${line}`),
  ]
}

import { statSync } from 'node:fs'

/** Whether a path is a file, or a symbolic link to one. */
export function isFile(path: string): boolean {
  try {
    return statSync(path).isFile()
  } catch {
    return false
  }
}

import { readFileSync } from 'node:fs'
import { valueError } from './values.js'
import type { Given } from './read-settings.js'

const GROUP_FILE = '/etc/group'
// chown(2): the highest number means "no change".
const MAX_GROUP_ID = 2 ** 32 - 2

/** The permissions of the Unix sockets. `source` names the setting in messages. */
export type SocketAccess = {
  readonly mode: { readonly value: number; readonly source: string } | undefined
  readonly group: { readonly id: number; readonly source: string } | undefined
}

/** Reads the mode and the group of the Unix sockets on which the exporter listens. */
export function readSocketAccess(mode: Given | undefined, group: Given | undefined): SocketAccess {
  return {
    mode: mode && { value: readMode(mode), source: mode.source },
    group: group && { id: readGroup(group), source: group.source },
  }
}

// Each way to write 0o660 in YAML without quotes but 660 and 0660 is the number 432, which no owner
// would want as a mode.
function readMode(given: Given): number {
  const mode = /^0?[0-7]{3}$/.test(given.text) ? parseInt(given.text, 8) : 0
  if ((mode & 0o600) !== 0o600) {
    throw valueError(given, 'an octal mode that lets the owner read and write, e.g. 0660')
  }
  return mode
}

function readGroup(given: Given): number {
  if (/^\d{1,10}$/.test(given.text)) {
    const id = Number(given.text)
    if (id <= MAX_GROUP_ID) return id
  }
  return groupId(given.text) ?? fail(given)
}

function fail(given: Given): never {
  throw valueError(given, `the name of a group in ${GROUP_FILE}, or the number of a group`)
}

/** Node.js has no getgrnam(3). A group of a directory service is given as its number. */
function groupId(name: string): number | undefined {
  for (const line of readGroups().split('\n')) {
    const [each, , id] = line.split(':')
    if (each === name && name !== '' && /^\d+$/.test(id ?? '')) return Number(id)
  }
  return undefined
}

function readGroups(): string {
  try {
    return readFileSync(GROUP_FILE, 'utf8')
  } catch {
    return ''
  }
}

/** Formats a mode as chmod(1) takes it, for example `0660`. */
export const octal = (mode: number) => mode.toString(8).padStart(4, '0')

import { readFileSync } from 'node:fs'
import { valueError, type Given } from './given.js'

const GROUP_FILE = '/etc/group'
// For chown(2), the group number 2^32 - 1 means "no change", so it cannot be the number of a group.
const MAX_GROUP_ID = 2 ** 32 - 2

type SocketMode = { readonly value: number; readonly source: string }
type SocketGroup = { readonly id: number; readonly source: string }

/** The permissions of the Unix sockets on which the exporter listens. `source` names the setting in messages. */
export type SocketAccess = {
  readonly mode: SocketMode | undefined
  readonly group: SocketGroup | undefined
}

/**
 * Parses an octal mode that lets the owner read and write. YAML reads `0o660` without quotes as the decimal number
 * 432. This function refuses `432`, because an owner with the octal mode 432 could not write.
 *
 * @throws ConfigError
 */
export function parseSocketMode(given: Given): SocketMode {
  const value = /^0?[0-7]{3}$/.test(given.text) ? parseInt(given.text, 8) : 0
  if ((value & 0o600) === 0o600) return { value, source: given.source }
  throw valueError(given, 'an octal mode that lets the owner read and write, e.g. 0660')
}

/** Parses the name of a group in `/etc/group`, or the number of a group. @throws ConfigError */
export function parseSocketGroup(given: Given): SocketGroup {
  const { source, text } = given
  const number = /^\d{1,10}$/.test(text) ? Number(text) : Infinity
  const id = number <= MAX_GROUP_ID ? number : findGroupId(text)
  if (id !== undefined) return { id, source }
  throw valueError(given, `the name of a group in ${GROUP_FILE}, or the number of a group`)
}

// Node.js has no getgrnam(3), so the name of a group is looked up in /etc/group only. Operators set the number of
// a group that only a directory service (LDAP) knows.
function findGroupId(name: string): number | undefined {
  for (const line of readGroupFile().split('\n')) {
    const [each, , id] = line.split(':')
    if (each === name && name !== '' && /^\d+$/.test(id ?? '')) return Number(id)
  }
  return undefined
}

function readGroupFile(): string {
  try {
    return readFileSync(GROUP_FILE, 'utf8')
  } catch {
    return ''
  }
}

/** Formats a mode for chmod(1), for example `0660`. */
export const formatMode = (mode: number) => mode.toString(8).padStart(4, '0')

import { readFileSync } from 'node:fs'
import { valueError, type Given } from './given.js'

const GROUP_FILE = '/etc/group'
// chown(2): the highest number means "no change".
const MAX_GROUP_ID = 2 ** 32 - 2

type SocketMode = { readonly value: number; readonly source: string }
type SocketGroup = { readonly id: number; readonly source: string }

/** The permissions of the Unix sockets on which the exporter listens. `source` names the setting in messages. */
export type SocketAccess = {
  readonly mode: SocketMode | undefined
  readonly group: SocketGroup | undefined
}

/**
 * Parses an octal mode. A mode without quotes in YAML, such as `0o660`, arrives here as the decimal number 432.
 * It is refused, because the owner could not write.
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

// Node.js has no getgrnam(3). For a group of a directory service, operators set the number.
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

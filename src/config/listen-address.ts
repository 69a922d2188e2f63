import { isIPv6 } from 'node:net'
import { valueError, type Given } from './given.js'

export type ListenAddress = InternetAddress | UnixAddress | OpenSocket

export type InternetAddress = {
  /** A host name or IP address, without brackets. `undefined` means all addresses of the machine. */
  readonly host: string | undefined
  /** The TCP port. 0 means any free port. */
  readonly port: number
  /** Whether the exporter skips this address if the machine does not have it. */
  readonly optional: boolean
}

export type UnixAddress = { readonly path: string }

/** A file descriptor of a socket that systemd opened. */
export type OpenSocket = { readonly fd: number }

// The number of the first descriptor that systemd passes to a process: sd_listen_fds(3).
const FIRST_FD = 3
// unix(7): sun_path holds 108 bytes, with the null byte at the end.
const MAX_PATH_BYTES = 107
const INTERNET = /^(?:\[([^\]]+)\]|([\w.-]*)):(\d{1,5})$/

/** Reads one `--web.listen-address`. An address that is a default is optional. @throws ConfigError */
export function readListenAddress(given: Given): ListenAddress {
  const address = parseListenAddress(given.text, given.from === 'default')
  if (address !== undefined) return address
  throw valueError(given, 'host:port, [IPv6]:port, :port or unix:/path')
}

/** Parses `host:port`, `[::1]:9347`, `:9347` or `unix:/run/x.sock`. @returns `undefined` for any other text. */
export function parseListenAddress(text: string, optional: boolean): ListenAddress | undefined {
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length)
    const isFile = path.startsWith('/') && !path.includes('\0') && !path.endsWith('/')
    return isFile && Buffer.byteLength(path) <= MAX_PATH_BYTES ? { path } : undefined
  }
  const [match, inBrackets, name, digits] = INTERNET.exec(text) ?? []
  if (match === undefined || (inBrackets !== undefined && !isIPv6(inBrackets))) return undefined
  const port = Number(digits)
  if (port > 65_535) return undefined
  const host = inBrackets ?? name
  return { host: host === '' ? undefined : host, port, optional }
}

/**
 * Finds the sockets that systemd opened for this process.
 *
 * @param env In the environment, `LISTEN_FDS` is the number of sockets. `LISTEN_PID` is the ID of the process for
 *   which systemd opened them.
 * @returns `undefined` if systemd opened no sockets for the process `pid`.
 * @see sd_listen_fds(3)
 */
export function findOpenSockets(
  env: Readonly<Record<string, string | undefined>>,
  pid: number,
): OpenSocket[] | undefined {
  const count = /^[1-9]\d{0,2}$/.test(env['LISTEN_FDS'] ?? '') ? Number(env['LISTEN_FDS']) : 0
  if (count === 0 || env['LISTEN_PID'] !== String(pid)) return undefined
  return Array.from({ length: count }, (_, i) => ({ fd: FIRST_FD + i }))
}

/** Formats an address as it is written in `--web.listen-address`. A socket of systemd gets a description. */
export function formatAddress(address: ListenAddress): string {
  if ('fd' in address) return `socket ${address.fd} of systemd`
  if ('path' in address) return `unix:${address.path}`
  const host = address.host ?? ''
  return `${host.includes(':') ? `[${host}]` : host}:${address.port}`
}

import { isIPv6 } from 'node:net'

export type ListenAddress = InternetAddress | UnixAddress | OpenSocket

export type InternetAddress = {
  /** Without brackets; `undefined` for every address of the machine. */
  readonly host: string | undefined
  /** 0 for any free port. */
  readonly port: number
  /** A machine that lacks this address goes without. */
  readonly optional: boolean
}

export type UnixAddress = { readonly path: string }

/** One that systemd listens on already, by its descriptor. */
export type OpenSocket = { readonly fd: number }

// sd_listen_fds(3): the first descriptor.
const FIRST_FD = 3
// sun_path holds 108 bytes with the closing NUL: unix(7).
const MAX_PATH_BYTES = 107
const INTERNET = /^(?:\[([^\]]+)\]|([\w.-]*)):(\d{1,5})$/

/** Reads `host:port`, `[::1]:9347`, `:9347` or `unix:/run/x.sock`; `undefined` for anything else. */
export function parseListenAddress(text: string, optional: boolean): ListenAddress | undefined {
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length)
    const usable = path.startsWith('/') && !path.includes('\0') && !path.endsWith('/')
    return usable && Buffer.byteLength(path) <= MAX_PATH_BYTES ? { path } : undefined
  }
  const [match, inBrackets, name, digits] = INTERNET.exec(text) ?? []
  if (match === undefined || (inBrackets !== undefined && !isIPv6(inBrackets))) return undefined
  const port = Number(digits)
  if (port > 65_535) return undefined
  const host = inBrackets ?? name
  return { host: host === '' ? undefined : host, port, optional }
}

/**
 * The sockets that systemd hands to this process.
 *
 * @param env Its `LISTEN_FDS` is the number of them, `LISTEN_PID` whose they are.
 * @returns `undefined` if there are none for us.
 * @see sd_listen_fds(3)
 */
export function openSockets(
  env: Readonly<Record<string, string | undefined>>,
  pid: number,
): OpenSocket[] | undefined {
  const count = /^[1-9]\d{0,2}$/.test(env['LISTEN_FDS'] ?? '') ? Number(env['LISTEN_FDS']) : 0
  if (count === 0 || env['LISTEN_PID'] !== String(pid)) return undefined
  return Array.from({ length: count }, (_, i) => ({ fd: FIRST_FD + i }))
}

/** The address as it is written on the command line. */
export function addressText(address: ListenAddress): string {
  if ('fd' in address) return `socket ${address.fd} of systemd`
  if ('path' in address) return `unix:${address.path}`
  const host = address.host ?? ''
  return `${host.includes(':') ? `[${host}]` : host}:${address.port}`
}

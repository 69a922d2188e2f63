import { isIPv6 } from 'node:net'

export type ListenAddress = InternetAddress | UnixAddress

export type InternetAddress = {
  /** Without brackets; `undefined` for every address of the machine. */
  readonly host: string | undefined
  /** 0 for any free port. */
  readonly port: number
  /** A machine that lacks this address goes without. */
  readonly optional: boolean
}

export type UnixAddress = { readonly path: string }

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

/** The address as it is written on the command line. */
export function addressText(address: ListenAddress): string {
  if ('path' in address) return `unix:${address.path}`
  const host = address.host ?? ''
  return `${host.includes(':') ? `[${host}]` : host}:${address.port}`
}

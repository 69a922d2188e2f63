import type { IncomingMessage } from 'node:http'

// @hono/node-server accepts such a Host header unchanged.
const ORDINARY_HOST = /^[a-z0-9._-]+(?::(?:[1-5]\d{4}|[1-9]\d{0,3}))?$/
// RFC 3986 §3.2.2 and §3.2.3: an IP literal or a registered name, and a port, which may be empty.
const HOST = /^(\[[\da-fA-F:.]+\]|(?:[\w.~!$&'()*+,;=-]|%[\da-fA-F]{2})*)(?::(\d*))?$/
const ABSOLUTE = /^https?:\/\/([^/?#]*)(.*)$/is

/**
 * Changes a request to the form that @hono/node-server accepts. That library returns 400 for some valid
 * targets and Host headers: an empty port, an IPv6 address that is not in its shortest form, `HTTP://`.
 * An invalid header stays unchanged, so the library rejects it.
 */
export function normalizeRequest(incoming: IncomingMessage): void {
  const { headers, httpVersionMajor } = incoming
  if (httpVersionMajor < 2 && incoming.url?.startsWith('/') === false) toOriginForm(incoming)
  const name = httpVersionMajor < 2 || headers[':authority'] === undefined ? 'host' : ':authority'
  const host = headers[name]
  if (typeof host !== 'string' || ORDINARY_HOST.test(host)) return
  const [match, hostname = '', port = ''] = HOST.exec(host) ?? []
  if (match !== undefined) headers[name] = toCanonicalHost(hostname, port)
}

/** The host of an absolute target replaces the Host header (RFC 9112 §3.2.2). */
function toOriginForm(incoming: IncomingMessage): void {
  const [, authority, rest = ''] = ABSOLUTE.exec(incoming.url ?? '') ?? []
  if (authority === undefined) return
  incoming.headers.host = authority
  incoming.url = rest.startsWith('/') ? rest : `/${rest}`
}

/** Returns the host as a URL contains it, or an empty text if no URL can contain it. */
function toCanonicalHost(hostname: string, port: string): string {
  const url = `http://${hostname}${port && `:${port}`}`
  if (hostname === '' || !URL.canParse(url)) return ''
  return `${new URL(url).hostname}${port && `:${Number(port)}`}`
}

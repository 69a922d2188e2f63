import type { IncomingMessage } from 'node:http'

// @hono/node-server accepts each Host header that matches this pattern, so it needs no change.
const ORDINARY_HOST = /^[a-z0-9._-]+(?::(?:[1-5]\d{4}|[1-9]\d{0,3}))?$/
// A valid host is an IP literal or a registered name, and a port that can be empty (RFC 3986 §3.2.2 and
// §3.2.3).
const HOST = /^(\[[\da-fA-F:.]+\]|(?:[\w.~!$&'()*+,;=-]|%[\da-fA-F]{2})*)(?::(\d*))?$/
const ABSOLUTE = /^https?:\/\/([^/?#]*)(.*)$/is

/**
 * Changes a request to a form that @hono/node-server accepts. Without this change, the library responds 400 to some
 * valid targets and Host headers, for example with an empty port, an IPv6 address that is not in its shortest form,
 * or `HTTP://` in upper case. An invalid Host header stays invalid, so that the library rejects the request.
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

/**
 * Replaces an absolute target by its path and query, and the Host header by the host of the target (RFC 9112
 * §3.2.2).
 */
function toOriginForm(incoming: IncomingMessage): void {
  const [, authority, rest = ''] = ABSOLUTE.exec(incoming.url ?? '') ?? []
  if (authority === undefined) return
  incoming.headers.host = authority
  incoming.url = rest.startsWith('/') ? rest : `/${rest}`
}

/**
 * Returns the host in the form in which a parsed URL contains it, and the port without leading zeros. Returns an
 * empty text if they are invalid.
 */
function toCanonicalHost(hostname: string, port: string): string {
  const url = `http://${hostname}${port && `:${port}`}`
  if (hostname === '' || !URL.canParse(url)) return ''
  return `${new URL(url).hostname}${port && `:${Number(port)}`}`
}

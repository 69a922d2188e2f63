import type { IncomingMessage } from 'node:http'

// What @hono/node-server takes as it is.
const ORDINARY_HOST = /^[a-z0-9._-]+(?::(?:[1-5]\d{4}|[1-9]\d{0,3}))?$/
// RFC 3986 §3.2.2 and §3.2.3: an IP literal or a registered name, and a port that can be empty.
const HOST = /^(\[[\da-fA-F:.]+\]|(?:[\w.~!$&'()*+,;=-]|%[\da-fA-F]{2})*)(?::(\d*))?$/
const ABSOLUTE = /^https?:\/\/([^/?#]*)(.*)$/is

/**
 * Brings a request into the form that @hono/node-server accepts. It answers 400 to some targets and Host
 * headers that are valid: an empty port, an IPv6 address that is not in its shortest form, `HTTP://`.
 * What is not valid stays as it is, and is refused.
 */
export function normalizeRequest(incoming: IncomingMessage): void {
  const { headers, httpVersionMajor } = incoming
  if (httpVersionMajor < 2 && incoming.url?.startsWith('/') === false) toOriginForm(incoming)
  const name = httpVersionMajor < 2 || headers[':authority'] === undefined ? 'host' : ':authority'
  const host = headers[name]
  if (typeof host !== 'string' || ORDINARY_HOST.test(host)) return
  const [match, hostname = '', port = ''] = HOST.exec(host) ?? []
  if (match !== undefined) headers[name] = canonicalHost(hostname, port)
}

/** The host of an absolute target replaces the Host header (RFC 9112 §3.2.2). */
function toOriginForm(incoming: IncomingMessage): void {
  const [, authority, rest = ''] = ABSOLUTE.exec(incoming.url ?? '') ?? []
  if (authority === undefined) return
  incoming.headers.host = authority
  incoming.url = rest.startsWith('/') ? rest : `/${rest}`
}

/** As a URL has it; empty for one that no URL can have. */
function canonicalHost(hostname: string, port: string): string {
  const url = `http://${hostname}${port && `:${port}`}`
  if (hostname === '' || !URL.canParse(url)) return ''
  return `${new URL(url).hostname}${port && `:${Number(port)}`}`
}

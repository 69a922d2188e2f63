/**
 * Returns host and port of `xmpp://host[:port]`. The default port is 5347.
 *
 * @throws {TypeError} The text is no such address. A component port has no TLS, so `xmpps:` does not exist.
 */
export function parseService(service: string): { host: string; port: number } {
  const url = URL.canParse(service) ? new URL(service) : undefined
  if (url?.protocol !== 'xmpp:' || url.hostname === '') {
    throw new TypeError('service: expected xmpp://host or xmpp://host:port')
  }
  // COMPAT @xmpp/connection 0.13: its own parser knows no IPv6 address except [::1].
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port) || 5347 }
}

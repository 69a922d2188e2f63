/**
 * Host and port of `xmpp://host[:port]`; the port is 5347 when there is none.
 *
 * @throws {TypeError} Anything else; a component port has no TLS, so there is no `xmpps:`.
 */
export function parseService(service: string): { host: string; port: number } {
  const url = URL.canParse(service) ? new URL(service) : undefined
  if (url?.protocol !== 'xmpp:' || url.hostname === '') {
    throw new TypeError('service: expected xmpp://host or xmpp://host:port')
  }
  // COMPAT @xmpp/connection 0.13: of IPv6 addresses it only knows [::1].
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port) || 5347 }
}

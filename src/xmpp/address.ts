/**
 * Parses the address of a component port, `xmpp://host[:port]`. The default port is 5347. Other parts of the URL are
 * ignored.
 *
 * @throws {TypeError} The address is not a URL of the scheme `xmpp:` with a host. The scheme `xmpps:` is invalid,
 *   because a component port has no TLS.
 */
export function parseService(service: string): { host: string; port: number } {
  const url = URL.canParse(service) ? new URL(service) : undefined
  if (url?.protocol !== 'xmpp:' || url.hostname === '') {
    throw new TypeError('service: expected xmpp://host or xmpp://host:port')
  }
  // COMPAT @xmpp/connection 0.13: The library removes the brackets of an IPv6 address only from [::1], and cannot
  // connect to other IPv6 addresses. Therefore, this function removes the brackets.
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port) || 5347 }
}

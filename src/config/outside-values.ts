import { domainToASCII } from 'node:url'
import { isIP, isIPv4, isIPv6 } from 'node:net'
import { valueError, type Given } from './given.js'
import { parseDomain } from './xmpp-address.js'

/** The sides of XMPP that connect to an endpoint: clients (c2s) and other servers (s2s). */
export const SIDES = ['client', 'server'] as const

/** The settings with domains that are checked: for both sides, for clients, and for servers. */
export const DOMAIN_LISTS = [
  'outside.domains',
  'outside.client-domains',
  'outside.server-domains',
] as const

const MAX_NAME_LENGTH = 253

/**
 * Parses a domain that the exporter looks up in DNS.
 *
 * @returns The domain in lower case, with A-labels (RFC 5890).
 * @throws ConfigError
 */
export function parseHostName(given: Given): string {
  const domain = parseDomain(given.text)
  const name = domain === undefined ? '' : domainToASCII(domain)
  if (isHostName(name)) return name
  throw valueError(given, 'a domain, e.g. example.com, and no IP address')
}

/** Whether DNS can have addresses for this name. (RFC 1123 §2.1) */
function isHostName(name: string): boolean {
  const labels = name.split('.')
  return (
    name.length <= MAX_NAME_LENGTH &&
    labels.every((label) => /^[a-z\d](?:[a-z\d-]{0,61}[a-z\d])?$/.test(label)) &&
    // The last label of an IPv4 address, in every form that a resolver may accept, begins with a digit.
    /^[a-z]/.test(labels.at(-1)!)
  )
}

/**
 * Parses the domain of another XMPP server.
 *
 * @returns The domain in lower case, with U-labels if the operator wrote it so. XMPP servers use U-labels (RFC 7622 §3.2).
 * @throws ConfigError
 */
export function parseRemote(given: Given): string {
  parseHostName(given)
  return parseDomain(given.text)!
}

/**
 * Parses the address of a DNS server with an optional port.
 *
 * @returns The address. An IPv6 address is in brackets.
 * @throws ConfigError
 */
export function parseNameServer(given: Given): string {
  const { text } = given
  if (isIPv6(text)) return `[${text.toLowerCase()}]`
  const [, inBrackets, ipv4, port = '53'] =
    /^(?:\[([^\]]+)\]|([\d.]+))(?::(\d{1,5}))?$/.exec(text) ?? []
  const isAddress = inBrackets === undefined ? isIPv4(ipv4 ?? '') : isIPv6(inBrackets)
  if (isAddress && Number(port) > 0 && Number(port) <= 65_535) return text.toLowerCase()
  throw valueError(
    given,
    'the IP address of a DNS server, e.g. 192.0.2.1, 192.0.2.1:53 or [2001:db8::1]:53',
  )
}

/** Parses an address or a network in CIDR notation. @throws ConfigError */
export function parseNetwork(given: Given): string {
  const [, address = '', bits] = /^([\da-f:.]+)(?:\/(\d{1,3}))?$/i.exec(given.text) ?? []
  const longest = { 0: -1, 4: 32, 6: 128 }[isIP(address)]!
  if (longest > 0 && Number(bits ?? 0) <= longest) return given.text.toLowerCase()
  throw valueError(given, 'an IP address or a network, e.g. 192.0.2.0/24 or 2001:db8::/32')
}

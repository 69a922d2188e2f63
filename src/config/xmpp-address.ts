import { domainToASCII } from 'node:url'
import { ConfigError } from '../errors.js'
import { valueError, type Given } from './given.js'

const MAX_DOMAIN_BYTES = 1023

/**
 * Parses the address of a component port: `xmpp://host[:port]`.
 *
 * @returns The URL with a host in small letters.
 * @throws ConfigError
 */
export function parseServiceAddress(given: Given): string {
  const { source, text } = given
  // The text before the @ can be a password, so the message does not show the URL.
  if (text.includes('@')) {
    throw new ConfigError(`${source}: expected xmpp://host[:port], got a URL with a user in it`)
  }
  if (/^xmpps:/i.test(text)) {
    throw valueError(given, 'xmpp://host[:port] (component streams have no TLS, XEP-0114)')
  }
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) {
    throw valueError(given, 'xmpp:// in front of host[:port]')
  }
  const url = URL.canParse(text) ? new URL(text) : undefined
  const hasOnlyHostAndPort = /^xmpp:\/\/(?:\[[\da-f:.]+\]|[\w.-]+)(?::\d{1,5})?\/?$/i.test(text)
  if (url?.protocol !== 'xmpp:' || !hasOnlyHostAndPort || url.port === '0') {
    throw valueError(given, 'xmpp://host[:port]')
  }
  return `xmpp://${url.host.toLowerCase()}`
}

/** Parses the domain of a component. @throws ConfigError */
export function parseComponentDomain(given: Given): string {
  const domain = parseDomain(given.text)
  if (domain !== undefined) return domain
  throw valueError(given, "the component's domain, e.g. stats.example.com, without @ or /")
}

/** Parses the domain of a VirtualHost. @throws ConfigError */
export function parseHost(given: Given): string {
  const host = parseDomain(given.text)
  if (host !== undefined) return host
  throw valueError(given, 'the domain of a VirtualHost, e.g. example.com, without @ or /')
}

/**
 * Parses the domain part of a JID. An IPv6 address is refused, because Prosody names hosts and components by
 * domain.
 *
 * @returns The domain in small letters, as Prosody compares domains; `undefined` for an invalid domain.
 * @see RFC 7622 §3.2
 */
export function parseDomain(text: string): string | undefined {
  const isDomain = /^[\p{L}\p{M}\p{N}_-]+(?:\.[\p{L}\p{M}\p{N}_-]+)*$/u.test(text)
  const isTooLong = Buffer.byteLength(text) > MAX_DOMAIN_BYTES
  if (!isDomain || isTooLong || domainToASCII(text) === '') return undefined
  return text.normalize('NFC').toLowerCase()
}

/** What the texts of settings mean: each throws a ConfigError, one line that names the place. */

import { domainToASCII } from 'node:url'
import { parseDuration } from './duration.js'
import { ConfigError } from '../errors.js'
import { quote, type Given, type Settings } from './read-settings.js'

export function requiredSetting(settings: Settings, name: string): Given {
  const given = settings.get(name)
  if (given === undefined) throw new ConfigError(`--${name}: expected a value, got none`)
  return given
}

export function valueError({ source, text }: Given, expected: string): ConfigError {
  return new ConfigError(`${source}: expected ${expected}, got ${quote(text)}`)
}

export function fail(given: Given, expected: string): never {
  throw valueError(given, expected)
}

export function parseServiceAddress(given: Given): string {
  const { source, text } = given
  // A URL with a password in it is not shown.
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
  const bare = /^xmpp:\/\/(?:\[[\da-f:.]+\]|[\w.-]+)(?::\d{1,5})?\/?$/i.test(text)
  if (url?.protocol !== 'xmpp:' || !bare || url.port === '0') {
    throw valueError(given, 'xmpp://host[:port]')
  }
  return `xmpp://${url.host.toLowerCase()}`
}

// RFC 7622 §3.2, less the IP addresses: a component is always named.
export function readDomain(text: string): string | undefined {
  const isDomain = /^[\p{L}\p{M}\p{N}_-]+(?:\.[\p{L}\p{M}\p{N}_-]+)*$/u.test(text)
  if (!isDomain || domainToASCII(text) === '' || Buffer.byteLength(text) > 1023) return undefined
  return text.normalize('NFC').toLowerCase()
}

export function durationMs(given: Given): number {
  const ms = parseDuration(given.text)
  if (ms === undefined) throw valueError(given, 'a duration, e.g. 250ms or 1m30s')
  return ms
}

export function wholeNumber(given: Given): number {
  const number = /^\d{1,15}$/.test(given.text) ? Number(given.text) : undefined
  if (number === undefined) throw valueError(given, 'a whole number, 0 for no limit')
  return number
}

export function isTrue(given: Given): boolean {
  return oneOf(given, ['true', 'false']) === 'true'
}

export function oneOf<T extends string>(given: Given, values: readonly T[]): T {
  const value = values.find((each) => each === given.text)
  if (value !== undefined) return value
  throw valueError(given, listed(values))
}

/** `a, b or c`. */
export function listed(values: readonly string[]): string {
  return `${values.slice(0, -1).join(', ')} or ${values.at(-1) ?? ''}`
}

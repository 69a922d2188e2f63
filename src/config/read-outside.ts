import { ConfigError } from '../errors.js'
import { valueError, type Given } from './given.js'
import { DOMAIN_LISTS } from './outside-values.js'
import { readServerOf } from './read-messaging.js'
import type { ServerConfig } from './read-servers.js'
import { readValue, refuseDuplicate, type Settings } from './read-settings.js'

/** The domains that the exporter checks from outside, and how. */
export type OutsideConfig = {
  /**
   * The domains of clients and servers. In lower case, with A-labels (RFC 5890) and without a dot at the end.
   */
  readonly domains: readonly string[]
  /** The domains that only clients connect to, in the same form. No domain is in two lists. */
  readonly clientDomains: readonly string[]
  /** The domains that only other servers connect to, in the same form. */
  readonly serverDomains: readonly string[]
  /** How often each domain is checked. 0: only when a client requests it at `/probe`. */
  readonly intervalMs: number
  /** The longest duration of each connection, and of each DNS query. */
  readonly timeoutMs: number
  /** Addresses with an optional port, for example `192.0.2.1`, `192.0.2.1:53` or `[2001:db8::1]:53`. Empty: those of the system. */
  readonly nameServers: readonly string[]
  readonly allowPrivate: boolean
  /** Addresses and networks (CIDR) to which connections are not limited, besides those of this machine. */
  readonly ownAddresses: readonly string[]
  /** The attribute `from` of streams to servers; `undefined` for none. */
  readonly s2sFrom: string | undefined
  readonly checksWeb: boolean
  /** The XMPP domains that the exporter pings through the server with the name `server`. */
  readonly remotes: readonly string[]
  /** `undefined` if there are no remotes. */
  readonly server: string | undefined
}

// A round over more domains would take longer than the longest useful interval.
const MAX_DOMAINS = 10_000

/** Reads the section `outside`. @returns `undefined` if it has neither domains nor remotes. @throws ConfigError */
export function readOutside(
  settings: Settings,
  servers: readonly ServerConfig[],
): OutsideConfig | undefined {
  const lists = readDomainLists(settings)
  const remotes = readRemotes(settings)
  if ([...Object.values(lists), remotes].every(({ length }) => length === 0)) return undefined
  return {
    ...lists,
    intervalMs: readValue(settings, 'outside.interval'),
    timeoutMs: readValue(settings, 'outside.timeout'),
    nameServers: readValue(settings, 'outside.name-servers'),
    allowPrivate: readValue(settings, 'outside.allow-private'),
    ownAddresses: readValue(settings, 'outside.own-addresses'),
    s2sFrom: readValue(settings, 'outside.s2s-from'),
    checksWeb: readValue(settings, 'outside.web'),
    remotes,
    server: readPingServer(settings, servers),
  }
}

function readDomainLists(settings: Settings) {
  const domains = readValue(settings, 'outside.domains')
  const clientDomains = readValue(settings, 'outside.client-domains')
  const serverDomains = readValue(settings, 'outside.server-domains')
  checkNames(
    DOMAIN_LISTS.flatMap((name) => settings.all(name)),
    // In the order of DOMAIN_LISTS.
    [...domains, ...clientDomains, ...serverDomains],
    'each domain once in outside.domains, outside.client_domains and outside.server_domains',
  )
  return { domains, clientDomains, serverDomains }
}

function readRemotes(settings: Settings): readonly string[] {
  const remotes = readValue(settings, 'outside.remotes')
  checkNames(settings.all('outside.remotes'), remotes, 'each domain once')
  return remotes
}

function checkNames(given: readonly Given[], names: readonly string[], expected: string): void {
  refuseDuplicate(given, names, expected)
  const first = given[MAX_DOMAINS]
  if (first) throw valueError(first, `at most ${MAX_DOMAINS} domains`)
}

/** Returns the name of the server through which the remotes are pinged. */
function readPingServer(settings: Settings, servers: readonly ServerConfig[]): string | undefined {
  const [remote] = settings.all('outside.remotes')
  if (remote === undefined) return undefined
  if (servers.length > 0) return readServerOf(settings, 'outside.server', servers, remote.source)
  throw new ConfigError(
    `${remote.source}: expected an XMPP server in the configuration too, because the exporter pings through it`,
  )
}

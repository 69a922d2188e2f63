import { ConfigError } from '../errors.js'
import { valueError } from './given.js'
import { readServerOf } from './read-messaging.js'
import type { ServerConfig } from './read-servers.js'
import { readValue, refuseDuplicate, type Settings } from './read-settings.js'

/** The domains that the exporter checks from outside, and how. */
export type OutsideConfig = {
  /**
   * The domains of clients and servers. In lower case, with A-labels (RFC 5890) and without a dot at the end.
   */
  readonly domains: readonly string[]
  /** The domains that only other servers connect to, in the same form. No domain is in both lists. */
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

type NameList = 'outside.domains' | 'outside.server-domains' | 'outside.remotes'

/** Reads the section `outside`. @returns `undefined` if it has neither domains nor remotes. @throws ConfigError */
export function readOutside(
  settings: Settings,
  servers: readonly ServerConfig[],
): OutsideConfig | undefined {
  const domains = readNames(settings, 'outside.domains')
  const serverDomains = readNames(settings, 'outside.server-domains')
  const remotes = readNames(settings, 'outside.remotes')
  if ([...domains, ...serverDomains, ...remotes].length === 0) return undefined
  refuseInBoth(settings, domains, serverDomains)
  return {
    domains,
    serverDomains,
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

function readNames(settings: Settings, name: NameList): readonly string[] {
  const given = settings.all(name)
  const names = readValue(settings, name)
  refuseDuplicate(given, names, 'each domain once')
  const first = given[MAX_DOMAINS]
  if (first) throw valueError(first, `at most ${MAX_DOMAINS} domains`)
  return names
}

function refuseInBoth(
  settings: Settings,
  domains: readonly string[],
  serverDomains: readonly string[],
): void {
  const known = new Set(domains)
  const index = serverDomains.findIndex((domain) => known.has(domain))
  const given = settings.all('outside.server-domains')[index]
  if (given) throw valueError(given, 'a domain that is not in outside.domains too')
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

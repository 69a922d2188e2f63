import type { ConnectionLimit } from './connection-limit.js'
import { findEndpoints, type Side } from './dns/find-endpoints.js'
import { normalizeHostName } from './dns/host-name.js'
import { createResolver, type Resolver } from './dns/resolver.js'
import { findDomainProblems } from './domain-problems.js'
import type { LoadedCertificates } from './loaded-certificates.js'
import type { checkEndpoint, EndpointOptions } from './probe/check-endpoint.js'
import type { TrustStore } from './probe/trust-store.js'
import type { checkWeb } from './web/check-web.js'
import {
  ADDRESS_FAMILIES,
  describeEndpoint,
  type AddressFamily,
  type DomainCheck,
  type Endpoint,
  type EndpointCheck,
  type SrvService,
} from './outside-check.js'

export type DomainCheckOptions = {
  readonly sides: readonly Side[]
  /**
   * Endpoints of other address families are not checked. A machine without IPv6 cannot know whether IPv6 works. The
   * default is both families.
   */
  readonly families?: readonly AddressFamily[]
  readonly checksWeb: boolean
  readonly nameServers?: readonly string[]
  /** For each connection, and for each request to a DNS server. */
  readonly timeoutMs: number
  readonly allowPrivate: boolean
  readonly s2sFrom?: string
  readonly trust: TrustStore
  readonly limit: ConnectionLimit
  /** The SHA-256 of the certificates that Prosody has loaded, by host. */
  readonly loaded?: LoadedCertificates
  readonly signal: AbortSignal
  /** Called after the check of each endpoint. */
  readonly onEndpoint?: (check: EndpointCheck) => void
  readonly checkEndpoint: typeof checkEndpoint
  readonly checkWeb: typeof checkWeb
}

const MAX_CONCURRENT = 8

/**
 * Checks a domain from outside: DNS, and each endpoint that it names.
 *
 * @throws TypeError The domain is not a host name.
 * @throws The reason of the signal, if it is aborted.
 */
export async function checkDomain(
  domain: string,
  options: DomainCheckOptions,
): Promise<DomainCheck> {
  const name = normalizeHostName(domain)
  if (name === undefined) throw new TypeError(`${JSON.stringify(domain)} is not a domain name`)
  const { nameServers, timeoutMs, signal } = options
  signal.throwIfAborted()
  const startedAtSeconds = Date.now() / 1000
  const resolver = createResolver({ ...(nameServers && { nameServers }), timeoutMs })
  signal.addEventListener('abort', resolver.close, { once: true })
  try {
    const [{ endpoints, ...found }, web] = await waitForAll([
      checkServices(name, resolver, options),
      checkWebServices(name, resolver, options),
    ])
    signal.throwIfAborted()
    return {
      domain: name,
      startedAtSeconds,
      endedAtSeconds: Date.now() / 1000,
      lookups: found.lookups,
      endpoints: [...endpoints, ...web],
      problems: [...found.problems, ...findDomainProblems(endpoints)],
    }
  } finally {
    signal.removeEventListener('abort', resolver.close)
    resolver.close()
  }
}

async function checkServices(
  domain: string,
  resolver: Resolver,
  options: DomainCheckOptions,
): Promise<Pick<DomainCheck, 'lookups' | 'endpoints' | 'problems'>> {
  const { sides, allowPrivate, families = ADDRESS_FAMILIES, signal } = options
  const found = await findEndpoints(domain, { sides, allowPrivate, resolver })
  const checks = new Map<Endpoint<SrvService>, EndpointCheck>()
  const groups = groupByAddress(found.endpoints.filter(({ family }) => families.includes(family)))
  await forEachConcurrently(groups, async (group) => {
    for (const endpoint of group) {
      signal.throwIfAborted()
      const check = await options.checkEndpoint(endpoint, getEndpointOptions(options))
      const compared = compareWithLoaded(check, options.loaded?.get(domain))
      checks.set(endpoint, compared)
      options.onEndpoint?.(compared)
    }
  })
  // In the order of the answer of DNS, not in that of the ends of the checks.
  return { ...found, endpoints: found.endpoints.flatMap((each) => checks.get(each) ?? []) }
}

async function checkWebServices(
  domain: string,
  resolver: Resolver,
  options: DomainCheckOptions,
): Promise<readonly EndpointCheck[]> {
  if (!options.checksWeb) return []
  const { allowPrivate, families = ADDRESS_FAMILIES } = options
  const connect = getEndpointOptions(options)
  const checks = await options.checkWeb(domain, { ...connect, resolver, allowPrivate, families })
  for (const check of checks) options.onEndpoint?.(check)
  return checks
}

function getEndpointOptions(options: DomainCheckOptions): EndpointOptions {
  const { timeoutMs, trust, s2sFrom, limit, signal } = options
  return { timeoutMs, trust, limit, signal, ...(s2sFrom !== undefined && { s2sFrom }) }
}

/** Endpoints of one address are checked one after the other, because an address allows one connection at a time. */
function groupByAddress(endpoints: readonly Endpoint<SrvService>[]): Endpoint<SrvService>[][] {
  const groups = new Map<string, Endpoint<SrvService>[]>()
  for (const endpoint of endpoints) {
    const address = endpoint.addresses[0] ?? ''
    groups.set(address, [...(groups.get(address) ?? []), endpoint])
  }
  return [...groups.values()]
}

/**
 * Compares the certificate with those that Prosody has loaded for the domain. The certificate of a web service can be
 * that of another program, so the function is not for those.
 */
function compareWithLoaded(
  check: EndpointCheck,
  loaded: ReadonlySet<string> | undefined,
): EndpointCheck {
  const { certificate, endpoint, problems } = check
  if (certificate === undefined || loaded === undefined) return check
  const isLoaded = loaded.has(certificate.sha256)
  const compared = { ...check, certificate: { ...certificate, isLoaded } }
  if (isLoaded) return compared
  const stale = { code: 'certificate_stale', ...describeEndpoint(endpoint) } as const
  return { ...compared, problems: [...problems, stale] }
}

/** Calls the function for each item, for at most eight of them concurrently. */
async function forEachConcurrently<T>(
  items: readonly T[],
  run: (item: T) => Promise<void>,
): Promise<void> {
  const waiting = items.values()
  const runNext = async (): Promise<void> => {
    for (const item of waiting) await run(item)
  }
  await waitForAll(Array.from({ length: MAX_CONCURRENT }, runNext))
}

/** Waits for all promises, also if one of them rejects, so that nothing runs after the end of the check. */
async function waitForAll<T extends readonly unknown[]>(promises: {
  readonly [K in keyof T]: Promise<T[K]>
}): Promise<T> {
  await Promise.allSettled(promises)
  return await Promise.all(promises)
}

import type { Family } from '../metrics/family.js'
import type { DomainCheck, EndpointCheck } from './outside-check.js'
import { readLoadedCertificates, type LoadedCertificates } from './loaded-certificates.js'

export type LoadedStoreOptions = {
  /** Returns the names of all servers in the configuration. */
  readonly serverNames: () => readonly string[]
  /** Collects from a server, and resolves when `onCollection` was called. */
  readonly collect: (server: string) => Promise<unknown>
  /** Returns the time in monotonic milliseconds. */
  readonly now: () => number
}

type ServerCertificates = { readonly loaded: LoadedCertificates; readonly atMs: number }

// Statistics are usually collected every 15 to 60 s. Without collections, it is unknown what a server has loaded.
const MAX_AGE_MS = 300_000

/** Stores which certificates the monitored servers have loaded, according to their last statistics. */
export function createLoadedStore({ serverNames, collect, now }: LoadedStoreOptions) {
  const servers = new Map<string, ServerCertificates>()

  function listRecent(): readonly (readonly [string, ServerCertificates])[] {
    const names = new Set(serverNames())
    for (const name of servers.keys()) if (!names.has(name)) servers.delete(name)
    return [...servers].filter(([, { atMs }]) => now() - atMs <= MAX_AGE_MS)
  }

  function get(): LoadedCertificates {
    const all = new Map<string, ReadonlySet<string>>()
    for (const [, { loaded }] of listRecent()) {
      for (const [domain, hashes] of loaded) {
        all.set(domain, new Set([...(all.get(domain) ?? []), ...hashes]))
      }
    }
    return all
  }

  return {
    onCollection(server: string, families: readonly Family[]): void {
      servers.set(server, { loaded: readLoadedCertificates(families), atMs: now() })
    },
    /** Returns the certificates of all servers. */
    get,
    /**
     * Compares the certificates of a check again, if it found one that is not loaded. The server may have loaded it after
     * the last collection, so that the exporter collects first.
     */
    async verify(check: DomainCheck): Promise<DomainCheck> {
      if (!check.endpoints.some(isStale)) return check
      const owners = listRecent().filter(([, { loaded }]) => loaded.has(check.domain))
      await Promise.all(owners.map(([server]) => collect(server)))
      return acceptLoaded(check, get().get(check.domain))
    },
  }
}

const isStale = ({ certificate }: EndpointCheck) => certificate?.isLoaded === false

/** Corrects the result for the certificates that are loaded now. */
function acceptLoaded(check: DomainCheck, loaded: ReadonlySet<string> | undefined): DomainCheck {
  const endpoints = check.endpoints.map((each): EndpointCheck => {
    const { certificate } = each
    if (!certificate || !isStale(each) || loaded?.has(certificate.sha256) !== true) return each
    const problems = each.problems.filter(({ code }) => code !== 'certificate_stale')
    return { ...each, certificate: { ...certificate, isLoaded: true }, problems }
  })
  return { ...check, endpoints }
}

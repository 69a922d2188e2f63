/**
 * The plan of a lab: what each domain has in DNS, and what runs at its addresses. Nothing runs yet, so that all domains
 * can share a name server and a few XMPP servers.
 */

import { createAuthority, type Authority } from '../certificate-authority.js'
import type { KeyPair } from '../certificate.js'
import type { Listener, SlowDns } from './listeners.js'
import type { AddressPair, Network } from './namespaces.js'

/** All domains of the lab are below this domain. */
export const LAB_DOMAIN = 'lab.example'

export type SrvName = 'xmpp-client' | 'xmpps-client' | 'xmpp-server' | 'xmpps-server'

/** The ports on which the XMPP servers of the lab listen: those of RFC 6120 §14.7, and the usual ones of XEP-0368. */
export const PORTS: Readonly<Record<SrvName, number>> = {
  'xmpp-client': 5222,
  'xmpps-client': 5223,
  'xmpp-server': 5269,
  'xmpps-server': 5270,
}

export type Authorities = {
  /** The authority that the exporter trusts. */
  readonly root: Authority
  /** The authority that issues the certificates of servers. A server must send its certificate. */
  readonly intermediate: Authority
  /** An authority that is not trusted. */
  readonly unknown: Authority
}

export type ServerKind = '0.12.3' | '13.0.1' | 'ejabberd'

/** A domain that an XMPP server of the lab serves. */
export type ServedHost = {
  readonly domain: string
  readonly kind: ServerKind
  /** The certificate, which ends with the chain that the server sends. */
  readonly certificate: KeyPair
  /** Another certificate for the ports with TLS from the start. Only for Prosody. */
  readonly directCertificate?: KeyPair
  /** Further options of TLS, as Lua expressions. Only for Prosody. */
  readonly ssl?: Readonly<Record<string, string>>
  /** Lines in the section of the host in prosody.cfg.lua, for example `modules_disabled = { "tls" }`. */
  readonly lua: readonly string[]
  /** Global lines of prosody.cfg.lua. Hosts with other global lines run in another process. */
  readonly globalLua: readonly string[]
  /** The sections of components, which are those of the process. */
  readonly components?: readonly string[]
  /** The addresses of the process. */
  readonly address: AddressPair
}

export type ServeOptions = Partial<Omit<ServedHost, 'domain' | 'address'>> & {
  /** The domain, if the server does not serve that of the site. */
  readonly domain?: string
}

export type PlacedListener = {
  readonly address: string
  readonly port: number
  readonly listener: Listener | SlowDns
}

export type LabPlan = {
  readonly hosts: readonly ServedHost[]
  readonly listeners: readonly PlacedListener[]
  /** The lines of the zone file of `lab.example`. */
  readonly records: readonly string[]
  /** Domains below `lab.example` for which the name server answers SERVFAIL. */
  readonly brokenZones: readonly string[]
  /** The rules of nftables for incoming packets. */
  readonly rules: readonly string[]
}

export type Site = {
  readonly domain: string
  readonly authorities: Authorities
  /** Returns addresses at which nothing listens yet. */
  newAddress(): AddressPair
  /**
   * Adds a record to DNS.
   *
   * @param name The name relative to the domain. The empty name is the domain itself.
   */
  record(name: string, type: string, value: string): void
  /** Adds an SRV record. The target is relative to the domain, or ends with a dot. */
  srv(service: SrvName, target: string, port?: number, priority?: number): void
  /** Adds A and AAAA records. */
  address(name: string, pair: Partial<AddressPair>): void
  /**
   * Runs the domain on an XMPP server, by default on Prosody 13. Returns the addresses of that server. All servers of the domain have the same certificate, unless `certificate` says otherwise.
   */
  serve(options?: ServeOptions): AddressPair
  /** Starts a listener at each address of the pair. */
  listen(pair: Partial<AddressPair>, port: number, listener: Listener): void
  /** Drops the packets to a port, as a firewall does. */
  drop(pair: Partial<AddressPair>, port: number): void
  /** Issues a certificate for the domain, with the intermediate certificate after it. */
  certificate(options?: { names?: readonly string[]; from?: Date; to?: Date }): KeyPair
  /** Makes the name server fail for the domain. */
  breakZone(): void
}

export type PlanBuilder = {
  readonly authorities: Authorities
  readonly plan: LabPlan
  readonly site: (name: string) => Site
}

export function createPlan(network: Pick<Network, 'nextAddress'>): PlanBuilder {
  const root = createAuthority('Lab Root')
  const authorities: Authorities = {
    root,
    intermediate: root.intermediate('Lab Intermediate'),
    unknown: createAuthority('Unknown Root'),
  }
  const hosts: ServedHost[] = []
  const listeners: PlacedListener[] = []
  const records: string[] = []
  const brokenZones: string[] = []
  const rules: string[] = []
  // Prosody creates a TLS context for each host at each address, so all hosts of a process have the same addresses.
  const addresses = new Map<string, AddressPair>()
  const addressOf = ({ kind, globalLua }: Pick<ServedHost, 'kind' | 'globalLua'>): AddressPair => {
    const key = JSON.stringify([kind, globalLua])
    const address = addresses.get(key) ?? network.nextAddress()
    addresses.set(key, address)
    return address
  }
  const site = (name: string): Site => {
    const domain = `${name}.${LAB_DOMAIN}`
    const absolute = (each: string) => (each === '' ? `${domain}.` : `${each}.${domain}.`)
    const certificate: Site['certificate'] = (options) =>
      withChain(authorities.intermediate.issue({ names: [domain], ...options }), [
        authorities.intermediate.cert,
      ])
    let own: KeyPair | undefined
    const record: Site['record'] = (owner, type, value) => {
      records.push(`${absolute(owner)} 60 IN ${type} ${value}`)
    }
    return {
      domain,
      authorities,
      certificate,
      record,
      newAddress: network.nextAddress,
      srv(service, target, port = PORTS[service], priority = 10) {
        const value = target.endsWith('.') ? target : absolute(target)
        record(`_${service}._tcp`, 'SRV', `${priority} 1 ${port} ${value}`)
      },
      address(owner, { ipv4, ipv6 }) {
        if (ipv4 !== undefined) record(owner, 'A', ipv4)
        if (ipv6 !== undefined) record(owner, 'AAAA', ipv6)
      },
      serve(options = {}) {
        own ??= certificate()
        const defaults = { domain, kind: '13.0.1' as const, lua: [], globalLua: [] }
        const host = { certificate: own, ...defaults, ...options }
        const address = addressOf(host)
        hosts.push({ ...host, address })
        return address
      },
      listen({ ipv4, ipv6 }, port, listener) {
        for (const address of [ipv4, ipv6])
          if (address !== undefined) listeners.push({ address, port, listener })
      },
      drop({ ipv4, ipv6 }, port) {
        if (ipv4 !== undefined) rules.push(`ip daddr ${ipv4} tcp dport ${port} drop`)
        if (ipv6 !== undefined) rules.push(`ip6 daddr ${ipv6} tcp dport ${port} drop`)
      },
      breakZone() {
        brokenZones.push(domain)
      },
    }
  }
  return { authorities, site, plan: { hosts, listeners, records, brokenZones, rules } }
}

/** Appends certificates of authorities to that of a server. */
export function withChain({ cert, key }: KeyPair, chain: readonly string[]): KeyPair {
  return { cert: [cert, ...chain].join(''), key }
}

/** Announces services of a domain at `xmpp.DOMAIN`, on their usual ports. */
export function announce(
  site: Site,
  pair: Partial<AddressPair>,
  services: readonly SrvName[] = ['xmpp-client', 'xmpp-server'],
): void {
  for (const service of services) site.srv(service, 'xmpp')
  site.address('xmpp', pair)
}

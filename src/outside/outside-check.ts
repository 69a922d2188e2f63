import type { ProblemCode } from './problem-severity.js'

/** The services that SRV records announce: RFC 6120 §3.2.1, and XEP-0368 for direct TLS (`xmpps-`). */
export const SRV_SERVICES = ['xmpp-client', 'xmpps-client', 'xmpp-server', 'xmpps-server'] as const

export type SrvService = (typeof SRV_SERVICES)[number]

/** `host-meta` is XEP-0156, `bosh` XEP-0206, and `websocket` RFC 7395. */
export type WebService = 'host-meta' | 'bosh' | 'websocket'

export const ADDRESS_FAMILIES = ['ipv4', 'ipv6'] as const

export type AddressFamily = (typeof ADDRESS_FAMILIES)[number]

/** One service at one target and port, over one address family. It is what a series of `xmpp_endpoint_up` describes. */
export type Endpoint<Service = SrvService | WebService> = {
  /** The checked domain, in lower case, with A-labels (RFC 5890) and without a dot at the end. */
  readonly domain: string
  readonly service: Service
  /** A host name in the same form. */
  readonly target: string
  readonly port: number
  readonly family: AddressFamily
  /** The addresses of the target, in the order of the DNS answer. They are checked one after the other. */
  readonly addresses: readonly string[]
}

/**
 * Something that is wrong with the domain, or with one of its endpoints. The labels of a problem of the whole domain
 * are missing.
 */
export type Problem = {
  readonly code: ProblemCode
  readonly service?: SrvService | WebService
  /** The target and port, as `formatTarget` returns them, or the target alone if the port has no meaning. */
  readonly target?: string
  readonly family?: AddressFamily
  /**
   * A short value for people, for example the condition of a stream error, or the names in a certificate. It has one
   * line and no control characters, because it can come from the network. It is never a label.
   */
  readonly detail?: string
}

/** A problem without its labels. */
export type UnplacedProblem = Pick<Problem, 'code' | 'detail'>

/** The DNS answer for one service of a domain. */
export type SrvLookup = {
  readonly service: SrvService
  /**
   * `found`: there are SRV records. `missing`: there is none. `not_offered`: the only target is `.` (RFC 2782).
   * `failed`: no answer, or an error.
   */
  readonly state: 'found' | 'missing' | 'not_offered' | 'failed'
  readonly records: number
  /** The time until the answer, in seconds. */
  readonly seconds: number
}

/** The parts of a connection, in their order. `starttls` is missing with direct TLS. */
export type ConnectionPhase = 'tcp' | 'starttls' | 'tls' | 'stream'

/** The certificate that an endpoint sent. */
export type SentCertificate = {
  /** The SHA-256 of the leaf certificate in DER form, as 64 lower-case hexadecimal digits. */
  readonly sha256: string
  /** The names for which it is valid: DNS-IDs, SRV-IDs and XmppAddrs (RFC 6120 §13.7.1.2). */
  readonly names: readonly string[]
  /** The common name of the issuer, or its organization. */
  readonly issuer: string
  /** When the first certificate of the chain that was sent expires, in seconds since 1970. */
  readonly expiresAtSeconds: number
  /** Whether the leaf equals a certificate that Prosody has loaded; `undefined` if that is unknown. */
  readonly isLoaded?: boolean
}

/** What a connection to an endpoint found. */
export type EndpointCheck = {
  readonly endpoint: Endpoint
  /** When the check ended, in seconds since 1970. */
  readonly checkedAtSeconds: number
  /** Whether a client or server can use the endpoint: no problem with the severity `error`. */
  readonly isUp: boolean
  readonly problems: readonly Problem[]
  /** The duration of each finished phase, in seconds. */
  readonly seconds: Readonly<Partial<Record<ConnectionPhase, number>>>
  /** For example `TLSv1.3` and `TLS_AES_256_GCM_SHA384`. */
  readonly tls?: { readonly version: string; readonly cipher: string }
  readonly certificate?: SentCertificate
  /** The SASL mechanisms after TLS. `undefined` if no features arrived. */
  readonly mechanisms?: readonly string[]
  /** The types of channel binding (XEP-0440). */
  readonly channelBindings?: readonly string[]
  /** Whether a server offers dialback (XEP-0220). */
  readonly offersDialback?: boolean
  /** Whether a server accepts only servers with a certificate. Then its features are unknown. */
  readonly requiresCertificate?: boolean
  /** The conversation, a line for each message, without secrets; for `debug=true` and `--verbose`. */
  readonly transcript: readonly string[]
}

/** The result of one check of a domain. */
export type DomainCheck = {
  readonly domain: string
  readonly startedAtSeconds: number
  readonly endedAtSeconds: number
  readonly lookups: readonly SrvLookup[]
  readonly endpoints: readonly EndpointCheck[]
  /** The problems of DNS, and of several endpoints together. They do not repeat the problems of the endpoints. */
  readonly problems: readonly Problem[]
}

/** Lists the problems of the domain, and those of its endpoints. */
export function listProblems({ problems, endpoints }: DomainCheck): readonly Problem[] {
  return [...problems, ...endpoints.flatMap((each) => each.problems)]
}

/** Whether a text from the network has the form of the name of a SASL mechanism. @see RFC 4422 §3.1 */
export const isMechanismName = (text: string): boolean => /^[A-Z0-9_-]{1,20}$/.test(text)

export const formatFamily = (family: AddressFamily): 'IPv4' | 'IPv6' =>
  family === 'ipv6' ? 'IPv6' : 'IPv4'

/** Returns the label `target`: an endpoint of the same target on another port is another one. */
export function formatTarget({ target, port }: Pick<Endpoint, 'target' | 'port'>): string {
  return `${target}:${port}`
}

/** Returns the labels of an endpoint, for a problem. */
export function describeEndpoint(
  endpoint: Endpoint,
): Required<Pick<Problem, 'service' | 'target' | 'family'>> {
  return { service: endpoint.service, target: formatTarget(endpoint), family: endpoint.family }
}

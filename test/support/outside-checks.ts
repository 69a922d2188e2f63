/** Results of checks from outside, as real checks return them: of a healthy domain, and of one with many problems. */

import type {
  DomainCheck,
  Endpoint,
  EndpointCheck,
  Problem,
  SentCertificate,
  SrvLookup,
  SrvService,
  WebService,
} from '../../src/outside/outside-check.js'
import { describeEndpoint } from '../../src/outside/outside-check.js'
import { isError, type ProblemCode } from '../../src/outside/problem-severity.js'

/** When the checks of this file ended: 2026-09-21 15:06:40 UTC. */
export const CHECKED_AT = 1_790_003_200

const DAY = 86_400

export const CERTIFICATE: SentCertificate = {
  sha256: 'a1'.repeat(32),
  names: ['example.org', 'conference.example.org'],
  issuer: "Let's Encrypt R13",
  expiresAtSeconds: CHECKED_AT + 60 * DAY,
  isLoaded: true,
}

const PORTS: Readonly<Record<SrvService | WebService, number>> = {
  'xmpp-client': 5222,
  'xmpps-client': 5223,
  'xmpp-server': 5269,
  'xmpps-server': 5270,
  'host-meta': 443,
  bosh: 443,
  websocket: 443,
}

export function createEndpoint(
  service: SrvService | WebService,
  family: Endpoint['family'] = 'ipv4',
  target = service === 'host-meta' ? 'example.org' : 'xmpp.example.org',
): Endpoint {
  const addresses = [family === 'ipv4' ? '192.0.2.10' : '2001:db8::10']
  return { domain: 'example.org', service, target, port: PORTS[service], family, addresses }
}

/** The details that the checks add to some problems. */
const DETAILS: Partial<Record<ProblemCode, string>> = {
  dns_failed: 'SERVFAIL',
  dns_slow: '3.2 s',
  stream_error: 'policy-violation',
  tls_too_old: 'TLSv1',
  web_status: '404',
}

export function createProblem(code: ProblemCode, endpoint: Endpoint): Problem {
  const detail = DETAILS[code]
  return { code, ...describeEndpoint(endpoint), ...(detail !== undefined && { detail }) }
}

/** The check of an endpoint that works. The problems of `codes` do not change what the check found otherwise. */
export function createEndpointCheck(
  endpoint: Endpoint,
  codes: readonly ProblemCode[] = [],
  changes: Partial<EndpointCheck> = {},
): EndpointCheck {
  const { service } = endpoint
  const isClient = service.endsWith('-client')
  const isServer = service.endsWith('-server')
  const isDirect = service.startsWith('xmpps-')
  return {
    endpoint,
    checkedAtSeconds: CHECKED_AT,
    isUp: !codes.some(isError),
    problems: codes.map((code) => createProblem(code, endpoint)),
    seconds: {
      tcp: 0.0121,
      ...(!isDirect && (isClient || isServer) && { starttls: 0.0244 }),
      tls: 0.0312,
      stream: 0.0139,
    },
    tls: { version: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384' },
    certificate: CERTIFICATE,
    ...(isClient && {
      mechanisms: ['SCRAM-SHA-1', 'SCRAM-SHA-1-PLUS', 'PLAIN'],
      channelBindings: ['tls-exporter'],
    }),
    ...(isServer && { mechanisms: [], offersDialback: true }),
    transcript: ['connected', `sent: <stream:stream to='example.org'>`, 'closed'],
    ...changes,
  }
}

/** The check of an endpoint to which no connection was possible. */
export function createFailedCheck(endpoint: Endpoint, code: ProblemCode): EndpointCheck {
  return {
    endpoint,
    checkedAtSeconds: CHECKED_AT,
    isUp: false,
    problems: [createProblem(code, endpoint)],
    seconds: {},
    transcript: ['not connected'],
  }
}

export function createLookup(
  service: SrvService,
  state: SrvLookup['state'] = 'found',
  records = state === 'found' ? 1 : 0,
): SrvLookup {
  return { service, state, records, seconds: 0.0083 }
}

const SERVICES = ['xmpp-client', 'xmpps-client', 'xmpp-server', 'xmpps-server'] as const
const FAMILIES = ['ipv4', 'ipv6'] as const

export function createDomainCheck(changes: Partial<DomainCheck> = {}): DomainCheck {
  return {
    domain: 'example.org',
    startedAtSeconds: CHECKED_AT - 2,
    endedAtSeconds: CHECKED_AT,
    lookups: SERVICES.map((service) => createLookup(service)),
    endpoints: [],
    problems: [],
    ...changes,
  }
}

/** Every service works over IPv4 and IPv6. */
export const HEALTHY: DomainCheck = createDomainCheck({
  endpoints: [...SERVICES, 'host-meta' as const, 'bosh' as const, 'websocket' as const].flatMap(
    (service) => FAMILIES.map((family) => createEndpointCheck(createEndpoint(service, family))),
  ),
})

/** Clients can use one of their endpoints, and no server can connect. */
export const FAULTY: DomainCheck = createDomainCheck({
  lookups: [
    createLookup('xmpp-client', 'found', 2),
    createLookup('xmpps-client'),
    createLookup('xmpp-server', 'missing'),
    createLookup('xmpps-server', 'not_offered'),
  ],
  endpoints: [
    createEndpointCheck(createEndpoint('xmpp-client'), ['certificate_expires_soon'], {
      certificate: { ...CERTIFICATE, expiresAtSeconds: CHECKED_AT + 3 * DAY },
    }),
    createFailedCheck(createEndpoint('xmpp-client', 'ipv6'), 'connection_timeout'),
    createEndpointCheck(createEndpoint('xmpps-client'), ['certificate_stale'], {
      certificate: {
        ...CERTIFICATE,
        sha256: 'b2'.repeat(32),
        expiresAtSeconds: CHECKED_AT + 2 * DAY,
        isLoaded: false,
      },
    }),
    createFailedCheck(createEndpoint('xmpps-client', 'ipv6'), 'connection_timeout'),
    createFailedCheck(createEndpoint('xmpp-server', 'ipv4', 'example.org'), 'http_server'),
    createEndpointCheck(createEndpoint('bosh'), ['web_status']),
  ],
  problems: [
    { code: 'srv_missing', service: 'xmpp-server' },
    { code: 'service_not_offered', service: 'xmpps-server' },
    {
      code: 'srv_target_not_found',
      service: 'xmpp-client',
      target: 'old.example.org',
    },
    { code: 'ipv6_broken', service: 'xmpp-client' },
    { code: 'certificates_differ', service: 'xmpp-client' },
  ],
})

/** A domain that does not exist. */
export const NOT_FOUND: DomainCheck = createDomainCheck({
  lookups: SERVICES.map((service) => createLookup(service, 'missing')),
  problems: [{ code: 'domain_not_found' }],
})

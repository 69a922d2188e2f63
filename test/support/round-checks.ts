// Results of checks from outside, for unit tests.

import type {
  DomainCheck,
  Endpoint,
  EndpointCheck,
  Problem,
} from '../../src/outside/outside-check.js'
import { isError } from '../../src/outside/problem-severity.js'

export const CHECKED_AT = 1_700_000_000

export function createEndpoint(domain: string, more: Partial<Endpoint> = {}): Endpoint {
  return {
    domain,
    service: 'xmpp-client',
    target: `xmpp.${domain}`,
    port: 5222,
    family: 'ipv4',
    addresses: ['192.0.2.1'],
    ...more,
  }
}

/** A check of an endpoint without problems, if `more` has none. */
export function createEndpointCheck(
  endpoint: Endpoint,
  more: Partial<EndpointCheck> = {},
): EndpointCheck {
  const problems = more.problems ?? []
  return {
    endpoint,
    checkedAtSeconds: CHECKED_AT,
    isUp: !problems.some(({ code }) => isError(code)),
    problems,
    seconds: { tcp: 0.01, starttls: 0.02, tls: 0.03, stream: 0.04 },
    transcript: ['→ <stream:stream>', '← <stream:features/>'],
    ...more,
  }
}

/** A check that did not reach its endpoint. */
export function createUnreachedCheck(endpoint: Endpoint): EndpointCheck {
  const { service, family } = endpoint
  const problem: Problem = { code: 'connection_timeout', service, family }
  return createEndpointCheck(endpoint, { problems: [problem], seconds: {} })
}

export function createDomainCheck(
  domain: string,
  { endpoints = [createEndpointCheck(createEndpoint(domain))], ...more }: Partial<DomainCheck> = {},
): DomainCheck {
  return {
    domain,
    startedAtSeconds: CHECKED_AT - 1,
    endedAtSeconds: CHECKED_AT,
    lookups: [],
    endpoints,
    problems: [],
    ...more,
  }
}

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Problem } from '../../../src/outside/outside-check.js'
import { PROBLEMS, type ProblemCode } from '../../../src/outside/problem-severity.js'
import { describeProblem } from '../../../src/outside/problem-texts.js'

const CODES = Object.keys(PROBLEMS) as ProblemCode[]

const WHERE: readonly Omit<Problem, 'code'>[] = [
  {},
  { service: 'xmpp-client' },
  { service: 'xmpp-client', target: 'xmpp.example.org:5222', family: 'ipv6' },
  { service: 'xmpps-server', target: 'xmpp.example.org:5270', family: 'ipv4' },
  { service: 'bosh', target: 'web.example.org:443', family: 'ipv4' },
  { service: 'host-meta', target: 'example.org:443' },
  { service: 'websocket', target: 'web.example.org' },
]

const sentencesOf = (text: string) => text.split(/(?<=\.) (?=[A-Z"])/)

describe('the texts of', () => {
  for (const code of CODES) {
    test(`${code} are short plain sentences`, () => {
      for (const where of WHERE) {
        const { cause, remedy } = describeProblem({ code, ...where }, 'example.org')
        assert.equal(sentencesOf(cause).length, 1, cause)
        assert.ok(sentencesOf(remedy).length <= 2, remedy)
        for (const sentence of [cause, ...sentencesOf(remedy)]) {
          assert.match(sentence, /^(?:[A-Z]|s2s_|https:|example\.org|xmpp\.|web\.).*[^. ]\.$/)
          assert.ok(sentence.split(' ').length <= 25, sentence)
          assert.doesNotMatch(sentence, /undefined|\[object|\d+\.\d+\.\d+\.\d+|[`<>]|[^\x20-\x7e]/)
        }
      }
    })

    test(`${code} have the detail, except an address`, () => {
      const { cause } = describeProblem({ code, detail: 'DETAIL' }, 'example.org')
      assert.equal(cause.endsWith(' (DETAIL).'), code !== 'private_address', cause)
      const long = describeProblem({ code, detail: 'x'.repeat(10_000) }, 'example.org')
      assert.ok(long.cause.length < 500)
    })
  }

  test('different problems differ', () => {
    const where = { service: 'xmpp-client', target: 'a.example.org:5222', family: 'ipv4' } as const
    const causes = CODES.map((code) => describeProblem({ code, ...where }, 'example.org').cause)
    assert.equal(new Set(causes).size, CODES.length)
  })
})

test('the cause of a problem of an endpoint names its port, host and address family', () => {
  const problem = {
    code: 'connection_refused',
    service: 'xmpps-client',
    target: 'xmpp.example.org:5223',
    family: 'ipv6',
  } as const
  assert.deepEqual(describeProblem(problem, 'example.org'), {
    cause: 'Port 5223 of xmpp.example.org over IPv6 refuses connections.',
    remedy:
      'Check that Prosody runs, that c2s_direct_tls_ports in prosody.cfg.lua has port 5223, and that use_ipv6 is not false. If interfaces or c2s_interfaces is set, it must include the address in DNS.',
  })
})

test('the remedy shows the SRV record to add', () => {
  const remedyOf = (problem: Problem) => describeProblem(problem, 'example.org').remedy
  assert.match(
    remedyOf({ code: 'srv_missing', service: 'xmpp-server' }),
    / _xmpp-server\._tcp\.example\.org\. 3600 IN SRV 5 0 5269 example\.org\.$/,
  )
  assert.match(
    remedyOf({ code: 'http_server', service: 'xmpp-client', target: 'a.example.org:8080' }),
    / _xmpp-client\._tcp\.example\.org\. 3600 IN SRV 5 0 5222 a\.example\.org\. /,
  )
  const direct = { code: 'tls_unexpected', service: 'xmpp-client' } as const
  assert.match(
    remedyOf({ ...direct, target: 'a.example.org:5223' }),
    / _xmpps-client\._tcp\.example\.org\. 3600 IN SRV 5 0 5223 a\.example\.org\. Or move/,
  )
  const plain = { code: 'tls_missing', service: 'xmpps-server' } as const
  assert.match(
    remedyOf({ ...plain, target: 'a.example.org:5270' }),
    / _xmpp-server\._tcp\.example\.org\. 3600 IN SRV 5 0 5270 a\.example\.org\.$/,
  )
})

test('a target that is not a host name is in no text', () => {
  for (const target of [
    '192.0.2.1',
    '192.0.2.1:5222',
    '[2001:db8::1]:5222',
    'a b',
    '\u001b[2J:1',
  ]) {
    const problem = { code: 'srv_target_invalid', service: 'xmpp-client', target } as const
    const { cause, remedy } = describeProblem(problem, 'example.org')
    assert.match(`${cause} ${remedy}`, /^[\x20-\x7e]+ example\.org\.$/)
    assert.doesNotMatch(`${cause} ${remedy}`, /192|2001|a b/)
  }
})

test('a remedy names the option of the service in prosody.cfg.lua', () => {
  const options = {
    'xmpp-client': 'c2s_ports',
    'xmpps-client': 'c2s_direct_tls_ports',
    'xmpp-server': 's2s_ports',
    'xmpps-server': 's2s_direct_tls_ports',
  } as const
  for (const [service, option] of Object.entries(options)) {
    const problem = {
      code: 'connection_refused',
      service: service as keyof typeof options,
    } as const
    assert.match(describeProblem(problem, 'example.org').remedy, new RegExp(`\\b${option} in`))
  }
})

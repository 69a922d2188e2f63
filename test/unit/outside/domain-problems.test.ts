import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findDomainProblems } from '../../../src/outside/domain-problems.js'
import type { AddressFamily, EndpointCheck } from '../../../src/outside/outside-check.js'
import type { ProblemCode } from '../../../src/outside/problem-severity.js'

type Given = {
  readonly target?: string
  readonly family: AddressFamily
  readonly service?: EndpointCheck['endpoint']['service']
  readonly problem?: ProblemCode
  readonly sha256?: string
}

function check({ target = 'a', family, service = 'xmpp-client', problem, sha256 }: Given) {
  return {
    endpoint: {
      ...{ domain: 'example.net', service, target: `${target}.example.net`, port: 5222 },
      ...{ family, addresses: [] },
    },
    checkedAtSeconds: 0,
    isUp: problem === undefined,
    problems: problem === undefined ? [] : [{ code: problem }],
    seconds: {},
    transcript: [],
    ...(sha256 !== undefined && {
      certificate: { sha256, names: [], issuer: '', expiresAtSeconds: 0 },
    }),
  } satisfies EndpointCheck
}

const find = (...given: Given[]) =>
  findDomainProblems(given.map(check)).map(({ code, service, family }) =>
    [code, service, family].filter((each) => each !== undefined).join(' '),
  )

const problem = 'connection_timeout'

test('both families work', () => {
  assert.deepEqual(find({ family: 'ipv4' }, { family: 'ipv6' }), [])
})

test('IPv6 works nowhere, and IPv4 works', () => {
  assert.deepEqual(find({ family: 'ipv4' }, { family: 'ipv6', problem }), [
    'ipv6_broken xmpp-client ipv6',
  ])
})

test('IPv4 works nowhere, and IPv6 works', () => {
  assert.deepEqual(find({ family: 'ipv4', problem }, { family: 'ipv6' }), [
    'ipv4_broken xmpp-client ipv4',
  ])
})

test('neither family works', () => {
  assert.deepEqual(find({ family: 'ipv4', problem }, { family: 'ipv6', problem }), [])
})

test('IPv6 works for one of two targets', () => {
  const broken = [{ family: 'ipv4' }, { family: 'ipv6', problem }] as const
  assert.deepEqual(
    find(...broken, { family: 'ipv4', target: 'b' }, { family: 'ipv6', target: 'b' }),
    [],
  )
  assert.deepEqual(
    find(...broken, { family: 'ipv4', target: 'b', problem }, { family: 'ipv6', target: 'b' }),
    [],
  )
})

test('a target that is down in both families says nothing about a family', () => {
  assert.deepEqual(
    find(
      { family: 'ipv4' },
      { family: 'ipv6', problem },
      { family: 'ipv4', target: 'b', problem },
      { family: 'ipv6', target: 'b', problem },
    ),
    ['ipv6_broken xmpp-client ipv6'],
  )
})

test('a target with one family alone says nothing', () => {
  assert.deepEqual(find({ family: 'ipv4' }, { family: 'ipv6', target: 'b', problem }), [])
})

test('an endpoint of another service says nothing', () => {
  assert.deepEqual(
    find({ family: 'ipv4' }, { family: 'ipv6', service: 'xmpp-server', problem }),
    [],
  )
})

test('a wrong certificate on IPv6 is no broken family', () => {
  assert.deepEqual(find({ family: 'ipv4' }, { family: 'ipv6', problem: 'certificate_expired' }), [])
})

test('endpoints of a service send different certificates', () => {
  assert.deepEqual(find({ family: 'ipv4', sha256: 'aa' }, { family: 'ipv6', sha256: 'bb' }), [
    'certificates_differ xmpp-client',
  ])
  const [problem] = findDomainProblems([
    check({ family: 'ipv4', sha256: 'aa' }),
    check({ family: 'ipv6', sha256: 'bb' }),
  ])
  assert.equal(problem?.detail, 'a.example.net:5222 (ipv4) and a.example.net:5222 (ipv6)')
})

test('endpoints of several services may send different certificates', () => {
  assert.deepEqual(
    find(
      { family: 'ipv4', sha256: 'aa' },
      { family: 'ipv4', sha256: 'bb', service: 'xmpps-client' },
    ),
    [],
  )
})

test('a wrong certificate is not reported a second time', () => {
  for (const problem of ['certificate_stale', 'certificate_expired'] as const) {
    const found = find({ family: 'ipv4', sha256: 'aa' }, { family: 'ipv6', sha256: 'bb', problem })
    assert.deepEqual(found, [])
  }
})

test('certificates that differ are reported although one of them expires soon', () => {
  assert.deepEqual(
    find(
      { family: 'ipv4', sha256: 'aa' },
      { family: 'ipv6', sha256: 'bb', problem: 'certificate_expires_soon' },
    ),
    ['certificates_differ xmpp-client'],
  )
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { matchesDomain } from '../../../../src/outside/probe/certificate-names.js'

const DOMAIN = 'a.example.org'
const NAMES = {
  dns: { kind: 'dns', value: DOMAIN },
  wildcard: { kind: 'dns', value: '*.example.org' },
  xmpp: { kind: 'xmpp', value: DOMAIN },
  'srv of clients': { kind: 'srv', value: `_xmpp-client.${DOMAIN}` },
  'srv of servers': { kind: 'srv', value: `_xmpp-server.${DOMAIN}` },
} as const

/** The names that are valid for each service. */
const VALID = {
  'xmpp-client': ['dns', 'wildcard', 'xmpp', 'srv of clients'],
  'xmpp-server': ['dns', 'wildcard', 'xmpp', 'srv of servers'],
  https: ['dns', 'wildcard'],
} as const

for (const service of ['xmpp-client', 'xmpp-server', 'https'] as const) {
  test(`the names that are valid for ${service}`, () => {
    const valid = Object.entries(NAMES).filter(([, name]) => matchesDomain(name, DOMAIN, service))
    assert.deepEqual(
      valid.map(([what]) => what),
      VALID[service],
    )
  })
}

test('a wildcard stands for one label, and not for a top-level domain', () => {
  const matches = (value: string, domain: string) =>
    matchesDomain({ kind: 'dns', value }, domain, 'https')
  assert.equal(matches('*.example.org', 'example.org'), false)
  assert.equal(matches('*.example.org', 'b.a.example.org'), false)
  assert.equal(matches('*.org', 'example.org'), false)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readWebLinks } from '../../../../src/outside/web/read-web-links.js'

const read = (service: 'bosh' | 'websocket', ...hrefs: readonly string[]) => {
  const { services, invalid } = readWebLinks(hrefs.map((href) => ({ service, href })))
  return {
    services: services.map((each) => {
      const paths = each.urls.map(({ pathname }) => pathname).join(' ')
      return `${each.target}:${each.port} ${paths}${each.isInsecure ? ' insecure' : ''}`
    }),
    invalid,
  }
}

test('URLs at one host and port are one endpoint', () => {
  const hrefs = ['https://a.example/x', 'https://A.example:443/y', 'https://a.example:5281/x']
  assert.deepEqual(read('bosh', ...hrefs, hrefs[0]!), {
    services: ['a.example:443 /x /y', 'a.example:5281 /x'],
    invalid: [],
  })
})

test('a port with and without TLS is one endpoint, which is not secure', () => {
  assert.deepEqual(read('bosh', 'http://a.example:5280/', 'https://a.example:5280/').services, [
    'a.example:5280 / / insecure',
  ])
  assert.deepEqual(read('websocket', 'ws://a.example/').services, ['a.example:80 / insecure'])
})

test('at most four URLs of a kind are read', () => {
  const hrefs = Array.from({ length: 9 }, (_, i) => `wss://h${i}.example/`)
  assert.equal(read('websocket', ...hrefs).services.length, 4)
})

test('URLs that no client can use are invalid', () => {
  for (const href of [
    '',
    '/bosh',
    'wss://a.example/',
    'https://u:p@a.example/',
    'https://192.0.2.1/',
    'https://[2001:db8::1]/',
    'https://a_b..example/',
  ])
    // prettier-ignore
    assert.deepEqual(read('bosh', href), { services: [], invalid: [`bosh: ${href}`] })
  assert.deepEqual(read('websocket', 'https://a.example/').services, [])
})

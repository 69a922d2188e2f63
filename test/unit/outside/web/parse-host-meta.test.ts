import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseJrd, parseXrd } from '../../../../src/outside/web/parse-host-meta.js'

const BOSH = { service: 'bosh', href: 'https://a.example/http-bind' }
const WEBSOCKET = { service: 'websocket', href: 'wss://a.example/ws' }

test('the examples of XEP-0156 announce their services', () => {
  const xrd = `<?xml version='1.0' encoding='utf-8'?>
<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>
  <Link rel="lrdd" type="application/xrd+xml" template="https://a.example/{uri}" />
  <Link rel="urn:xmpp:alt-connections:websocket" href="wss://a.example/ws" />
  <Link rel="urn:xmpp:alt-connections:xbosh" href="https://a.example/http-bind" />
</XRD>`
  assert.deepEqual(parseXrd(xrd), [BOSH, WEBSOCKET])
  const jrd = JSON.stringify({
    links: [
      { rel: 'lrdd', template: 'https://a.example/{uri}' },
      { rel: 'urn:xmpp:alt-connections:websocket', href: 'wss://a.example/ws' },
      { rel: 'urn:xmpp:alt-connections:xbosh', href: 'https://a.example/http-bind' },
    ],
  })
  assert.deepEqual(parseJrd(jrd), [BOSH, WEBSOCKET])
})

test('a host-meta without XMPP announces nothing', () => {
  assert.deepEqual(parseXrd('<XRD xmlns="http://docs.oasis-open.org/ns/xri/xrd-1.0"/>'), [])
  assert.deepEqual(parseJrd('{}'), [])
  assert.deepEqual(parseJrd('{"links": []}'), [])
})

test('a link without a URL stays in the list', () => {
  const rel = 'urn:xmpp:alt-connections:xbosh'
  assert.deepEqual(parseJrd(JSON.stringify({ links: [{ rel }, { rel, href: 5 }] })), [
    { service: 'bosh', href: '' },
    { service: 'bosh', href: '' },
  ])
})

for (const text of ['', 'null', '[]', '{"links": {}}', '{"links": [1]}', '<XRD/>', '{']) {
  test(`${JSON.stringify(text)} is no host-meta`, () => {
    assert.equal(parseJrd(text), undefined)
    assert.equal(parseXrd(text), undefined)
  })
}

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { OutsideConfig } from '../../../src/config/read-config.js'
import { createConfiguredCheck } from '../../../src/outside/configured-check.js'
import { createDomainSides } from '../../../src/outside/domain-sides.js'
import { address, answerFrom, srv, withFakeDns } from '../../support/fake-dns.js'
import { createFakeLog } from '../../support/messaging.js'

test('a domain of servers is checked as other servers find it, and one of clients as clients find it, with its web services', async (t) => {
  const answer = answerFrom(
    ['a.example', 'meet.example', 'rooms.example'].flatMap((domain) => [
      srv(`_xmpp-client._tcp.${domain}`, 'chat.example', 5222),
      srv(`_xmpp-server._tcp.${domain}`, 'chat.example', 5269),
      // The check connects to no private address.
      address('chat.example', '10.0.0.1'),
      address(domain, '10.0.0.2'),
    ]),
  )
  const queried = new Set<string>()
  const { nameServer } = await withFakeDns(t, (query) => {
    queried.add(query.name)
    return answer(query)
  })
  const config: OutsideConfig = {
    domains: ['a.example'],
    clientDomains: ['meet.example'],
    serverDomains: ['rooms.example'],
    intervalMs: 0,
    timeoutMs: 60_000,
    nameServers: [nameServer],
    allowPrivate: false,
    ownAddresses: [],
    s2sFrom: undefined,
    checksWeb: true,
    remotes: [],
    server: undefined,
  }
  const check = createConfiguredCheck({
    config: () => config,
    getSides: createDomainSides(),
    log: createFakeLog().log,
    extraCaFile: undefined,
    now: () => 0,
  })
  const { signal } = new AbortController()
  const find = async (domain: string) => {
    const run = { loaded: new Map(), signal, onEndpoint: () => undefined }
    const { lookups } = await check(domain, config, run)
    return lookups.map(({ service }) => service)
  }
  assert.deepEqual(await find('rooms.example'), ['xmpp-server', 'xmpps-server'])
  // Only the check of the web services asks for the addresses of a domain that has SRV records.
  assert.equal(queried.has('rooms.example'), false)
  assert.deepEqual(await find('meet.example'), ['xmpp-client', 'xmpps-client'])
  assert.equal(queried.has('meet.example'), true)
  assert.deepEqual(await find('a.example'), [
    ...['xmpp-client', 'xmpps-client', 'xmpp-server', 'xmpps-server'],
  ])
  assert.equal(queried.has('a.example'), true)
})

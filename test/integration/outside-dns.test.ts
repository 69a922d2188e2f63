import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findEndpoints } from '../../src/outside/dns/find-endpoints.js'
import { createResolver } from '../../src/outside/dns/resolver.js'
import { withNameServer } from '../support/name-server.js'

const LONG_NAME = 'a'.repeat(63)

/** The records of each domain below `example`, and what the check finds: its endpoints and its problems. */
const CASES: Readonly<
  Record<string, { records: string[]; endpoints: string[]; problems: string[] }>
> = {
  good: {
    records: [
      '_xmpp-client._tcp.good SRV 5 0 5222 chat.good',
      '_xmpps-client._tcp.good SRV 5 0 443 chat.good',
      'chat.good A 8.8.8.8',
      'chat.good AAAA 2a00::1',
    ],
    endpoints: [
      'xmpp-client chat.good.example:5222 8.8.8.8',
      'xmpp-client chat.good.example:5222 2a00::1',
      'xmpps-client chat.good.example:443 8.8.8.8',
      'xmpps-client chat.good.example:443 2a00::1',
    ],
    problems: [],
  },
  fallback: {
    records: ['fallback A 8.8.8.8'],
    endpoints: ['xmpp-client fallback.example:5222 8.8.8.8'],
    problems: ['srv_missing xmpp-client'],
  },
  missing: { records: [], endpoints: [], problems: ['domain_not_found'] },
  empty: { records: ['empty TXT "text"'], endpoints: [], problems: ['domain_not_found'] },
  refused: {
    records: ['_xmpp-client._tcp.refused SRV 0 0 0 .', 'refused A 8.8.8.8'],
    endpoints: [],
    problems: ['service_not_offered xmpp-client'],
  },
  delegated: {
    records: ['_xmpp-client._tcp.delegated CNAME _xmpp-client._tcp.good', 'delegated A 8.8.4.4'],
    endpoints: [
      'xmpp-client chat.good.example:5222 8.8.8.8',
      'xmpp-client chat.good.example:5222 2a00::1',
    ],
    problems: [],
  },
  alias: {
    records: ['_xmpp-client._tcp.alias SRV 0 0 5222 www.alias', 'www.alias CNAME fallback'],
    endpoints: ['xmpp-client www.alias.example:5222 8.8.8.8'],
    problems: ['srv_target_alias xmpp-client www.alias.example:5222'],
  },
  loop: {
    records: [
      '_xmpp-client._tcp.loop SRV 0 0 5222 a.loop',
      'a.loop CNAME b.loop',
      'b.loop CNAME a.loop',
    ],
    endpoints: [],
    problems: ['srv_target_loop xmpp-client a.loop.example:5222'],
  },
  dangling: {
    records: ['_xmpp-client._tcp.dangling SRV 0 0 5222 a.dangling', 'a.dangling CNAME b.dangling'],
    endpoints: [],
    problems: ['srv_target_loop xmpp-client a.dangling.example:5222'],
  },
  foreign: {
    // The name server has no authority over this target.
    records: ['_xmpp-client._tcp.foreign SRV 0 0 5222 chat.foreign.invalid.'],
    endpoints: [],
    problems: ['dns_failed xmpp-client chat.foreign.invalid:5222'],
  },
  invalid: {
    records: [
      '_xmpp-client._tcp.invalid SRV 0 0 5222 192.0.2.1.',
      '_xmpp-client._tcp.invalid SRV 0 0 5222 a\\032b',
      '_xmpp-client._tcp.invalid SRV 0 0 5222 a\\000b',
      '_xmpp-client._tcp.invalid SRV 0 0 5222 chat\\.good',
      '_xmpp-client._tcp.invalid SRV 0 0 5222 b\\195\\188cher',
      '_xmpp-client._tcp.invalid SRV 0 0 5222 evil.example/good.example.',
    ],
    endpoints: [],
    problems: ['srv_target_invalid xmpp-client'],
  },
  port: {
    records: ['_xmpp-client._tcp.port SRV 0 0 0 chat.good'],
    endpoints: [],
    problems: ['srv_port_invalid xmpp-client chat.good.example'],
  },
  private: {
    records: [
      '_xmpp-client._tcp.private SRV 0 0 5222 chat.private',
      ...['127.0.0.1', '10.0.0.1', '169.254.169.254'].map((each) => `chat.private A ${each}`),
      ...['::1', 'fd00::1', '::ffff:10.0.0.1', '64:ff9b::a00:1', '2002:a00:1::1', '2a00::1'].map(
        (each) => `chat.private AAAA ${each}`,
      ),
    ],
    endpoints: ['xmpp-client chat.private.example:5222 2a00::1'],
    problems: [
      'private_address xmpp-client chat.private.example:5222 ipv4',
      'private_address xmpp-client chat.private.example:5222 ipv6',
    ],
  },
  many: {
    // The answer does not fit into a UDP packet.
    records: [
      ...Array.from(
        { length: 100 },
        (_, i) => `_xmpp-client._tcp.many SRV ${i} 0 5222 c${i}.${LONG_NAME}`,
      ),
      ...Array.from({ length: 100 }, (_, i) => `c${i}.${LONG_NAME} A 8.0.0.${i}`),
    ],
    endpoints: Array.from(
      { length: 8 },
      (_, i) => `xmpp-client c${i}.${LONG_NAME}.example:5222 8.0.0.${i}`,
    ),
    problems: ['srv_too_many xmpp-client'],
  },
}

test('what NSD answers', async (t) => {
  const { nameServers } = await withNameServer(t, {
    zones: { example: Object.values(CASES).flatMap(({ records }) => records) },
  })
  for (const [name, { endpoints, problems }] of Object.entries(CASES)) {
    await t.test(name, async () => {
      const resolver = createResolver({ nameServers, timeoutMs: 300_000 })
      t.after(resolver.close)
      const found = await findEndpoints(`${name}.example`, {
        resolver,
        sides: ['client'],
        allowPrivate: false,
      })
      assert.deepEqual(
        found.endpoints.map(
          (each) => `${each.service} ${each.target}:${each.port} ${each.addresses.join(' ')}`,
        ),
        endpoints,
      )
      assert.deepEqual(
        found.problems
          // The machine can be slow.
          .filter(({ code }) => code !== 'dns_slow')
          .map(({ code, service, target, family }) =>
            [code, service, target, family].filter((each) => each !== undefined).join(' '),
          ),
        problems,
      )
    })
  }
})

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { CollectorError } from '../../../src/collectors/failure.js'
import { DecodeError, LinkError } from '../../../src/errors.js'
import { summarize } from '../../../src/history/server-summary.js'
import { family } from '../../../src/metrics/family.js'
import {
  connectionLabels,
  createCollection,
  createFailedCollection,
  gauge,
  HOST,
  START_MS,
  type Labels,
} from '../../support/summary-families.js'

const toParts = (counts: Readonly<Record<string, number>>) =>
  Object.entries(counts).map(([name, count]) => ({ name, count }))

describe('the summary of a collection', () => {
  test('counts users and connections by host, security and IP family', () => {
    const summary = summarize(createCollection(), START_MS)
    assert.deepEqual(summary.software, ['Prosody 13.0.1'])
    assert.equal(summary.startedAtMs, START_MS - 93_600_000)
    assert.deepEqual(summary.hosts, [
      { host: HOST, users: 3, clients: 4, serversIn: 5 },
      { host: 'b.example', users: 1, clients: 2 },
    ])
    assert.deepEqual(summary.shares, [
      { title: 'Clients by IP family', parts: toParts({ IPv4: 5, IPv6: 2 }) },
      { title: 'Clients by state', parts: toParts({ 'logged in': 6, 'not logged in': 1 }) },
      { title: 'TLS versions of clients since Prosody started', parts: toParts({ 'TLSv1.3': 9 }) },
      { title: 'Server connections by security', parts: toParts({ 'certificate verified': 5 }) },
      { title: 'Server connections by IP family', parts: toParts({ IPv6: 5 }) },
    ])
    assert.deepEqual(summary.values, { users: 4, clients: 6, serversIn: 5, serversOut: 0 })
  })

  test('finds families whose names have one underscore after the name of the module', () => {
    const families = [gauge('prosody_mod_c2s_connections', [connectionLabels('c2s', 'ipv4'), 7])]
    assert.equal(summarize(createCollection({ families }), START_MS).values.clients, 7)
  })

  test('reads labels that contain quotes, backslashes and line breaks', () => {
    const name = 'a"b\\c\n,version="x'
    const families = [gauge('xmpp_info', [{ host: HOST, name, version: '"' }, 1])]
    const { software } = summarize(createCollection({ families }), START_MS)
    assert.deepEqual(software, [`${name} "`])
  })

  test('lists the 50 largest of thousands of hosts, and adds up all of them', () => {
    const rows = Array.from({ length: 3000 }, (_, i) => [{ host: `h${i}` }, i] as const)
    const families = [gauge('xmpp_client_connections', ...rows)]
    const { hosts, omittedHosts, values } = summarize(createCollection({ families }), START_MS)
    assert.equal(hosts.length, 50)
    assert.deepEqual(hosts[0], { host: 'h2999', clients: 2999 })
    assert.equal(omittedHosts, 2950)
    assert.equal(values.clients, (3000 * 2999) / 2)
  })

  test('stays short with 200,000 series in each family', () => {
    const samples = Array.from({ length: 200_000 }, (_, i) => {
      const host = String(i)
      return { labels: { host, name: host, version: '1', ip_family: host }, value: i + 1 }
    })
    const families = [
      'xmpp_ping_seconds',
      'xmpp_start_time_seconds',
      'xmpp_info',
      'prosody_mod_c2s__connections',
    ].map((name) => family('gauge', name, '', samples))
    const summary = summarize(createCollection({ families }), START_MS)
    assert.equal(summary.values.pingSeconds, 200_000)
    assert.equal(summary.startedAtMs, 1000)
    assert.equal(summary.software.length, 20)
    const [{ parts } = { parts: [] }] = summary.shares
    assert.equal(parts.length, 21)
    assert.equal(parts.at(-1)!.name, 'others')
    assert.equal(
      parts.reduce((sum, { count }) => sum + count, 0),
      (200_000 * 200_001) / 2,
    )
  })

  test('has the five certificates that expire first, and the hosts whose certificate was renewed', () => {
    const expiry = Array.from({ length: 3000 }, (_, i) => {
      const labels: Labels = i % 2 ? { host: `h${i}` } : { host: `h${i}`, service: 'https' }
      return [labels, 5000 - i] as const
    })
    const families = [
      gauge('xmpp_certificate_expiry_timestamp_seconds', ...expiry),
      gauge(
        'xmpp_certificate_reload_needed',
        ...[[{ host: HOST }, 0] as const, [{ host: 'b.example' }, 1] as const],
        [{ host: 'h2997' }, 1],
      ),
    ]
    const ownDomain = 'h2997'
    const summary = summarize(createCollection({ families }), START_MS, { ownDomain })
    assert.equal(summary.certificates.length, 5)
    assert.deepEqual(summary.certificates.slice(0, 3), [
      { host: 'h2999', service: undefined, expiresAtMs: 2_001_000 },
      { host: 'h2998', service: 'https', expiresAtMs: 2_002_000 },
      { host: 'h2996', service: 'https', expiresAtMs: 2_004_000 },
    ])
    assert.deepEqual(summary.hostsToReload, ['b.example'])
  })

  test("does not count the exporter's own stanzas", () => {
    const row = (host: string, from: string, kind: string, value: number) =>
      [{ host, from, kind }, value] as const
    const families = [
      gauge(
        'xmpp_stanzas',
        row('stats.a.example', 'component', 'iq', 1000),
        row('stats.a.example', 'server', 'iq', 1),
        row('other.a.example', 'component', 'iq', 20),
        row(HOST, 'client', 'iq', 300),
        row(HOST, 'client', 'message', 7),
      ),
    ]
    const collection = createCollection({ families })
    const { values } = summarize(collection, START_MS, { ownDomain: 'stats.a.example' })
    assert.deepEqual([values.iqs, values.messages], [321, 7])
    assert.equal(summarize(collection, START_MS).values.iqs, 1321)
  })

  test('ignores times that no date can have', () => {
    const times = [1e300, NaN, Infinity, -Infinity, -1e300]
    const rows = (...more: readonly number[]) =>
      [...times, ...more].map((value, i) => [{ host: `h${i}.example` }, value] as const)
    const summarizeTimes = (...more: readonly number[]) =>
      summarize(
        createCollection({
          families: [
            gauge('xmpp_start_time_seconds', ...rows(...more)),
            gauge('xmpp_certificate_expiry_timestamp_seconds', ...rows(...more)),
          ],
        }),
        START_MS,
      )
    assert.equal(summarizeTimes().startedAtMs, undefined)
    assert.deepEqual(summarizeTimes().certificates, [])
    assert.equal(summarizeTimes(7).startedAtMs, 7000)
    assert.deepEqual(
      summarizeTimes(7).certificates.map(({ expiresAtMs }) => expiresAtMs),
      [7000],
    )
  })

  test('shortens a very long error', () => {
    // The mask must not use a regular expression that backtracks, because it would take hours for this text.
    const error = new Error(`no ${'a'.repeat(300_000)}`)
    const { problem } = summarize(createFailedCollection(error), START_MS)
    assert.match(problem!, /^no a{1000}/)
    assert.ok(problem!.length <= 2000)
  })

  test('has the reasons of failures without personal data', () => {
    const cases: [unknown, string][] = [
      [new LinkError('no stream to xmpp://127.0.0.1:5347'), 'no stream to xmpp://127.0.0.1:5347'],
      [new Error('juliet@a.example/balcony is gone'), '…@a.example is gone'],
      [new Error('from 192.0.2.7 and 2001:db8::7'), 'from … and …'],
      [new CollectorError('refused', 'no, den@rooms.a.example'), 'no, …@rooms.a.example'],
      [new DecodeError('users', 'a number', 'Juliet'), 'users: expected a number; see the log'],
      ['odd', 'odd'],
    ]
    for (const [error, reason] of cases) {
      const summary = summarize(createFailedCollection(error), START_MS)
      assert.equal(summary.problem, reason)
      assert.equal(summary.sources[0]!.reason, reason)
    }
  })
})

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { MemoryGrowth } from '../../../src/history/memory-growth.js'
import type { RecentEvents } from '../../../src/history/recent-events.js'
import { summarize, type ServerSummary } from '../../../src/history/server-summary.js'
import { findAttention } from '../../../src/page/attention.js'
import { root } from '../../support/setup/process.js'
import { createCollection, HOST, START_MS } from '../../support/summary-families.js'

const SUMMARY = summarize(createCollection(), START_MS)
const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
const MIB = 1024 * 1024

type Change = { summary?: Partial<ServerSummary>; growth?: MemoryGrowth }

const findAll = ({ summary, growth }: Change) =>
  findAttention({ summary: { ...SUMMARY, ...summary }, growth })
const severitiesOf = (change: Change) => findAll(change).map(({ severity }) => severity)

const NOTHING: RecentEvents = {
  short: {
    ...{ overMs: 5 * MINUTE_MS, hosts: [], logins: 0 },
    ...{ loop: { slow: 0, measured: 300 }, unauthenticated: { c2s: 0, s2sin: 0 } },
  },
  s2s: { overMs: 15 * MINUTE_MS, hosts: [] },
}
const short = (changes: Partial<RecentEvents['short']>): Change => ({
  summary: { recent: { ...NOTHING, short: { ...NOTHING.short, ...changes } } },
})
const certificateIn = (days: number): Change => ({
  summary: {
    certificates: [
      { host: HOST, service: undefined, expiresAtMs: START_MS + days * DAY_MS },
      { host: 'b.example', service: 'https', expiresAtMs: START_MS + 400 * DAY_MS },
    ],
  },
})
const logins = (failed: number, succeeded: number, minutes = 5) =>
  short({ overMs: minutes * MINUTE_MS, hosts: [{ host: HOST, failed, succeeded }] })
const descriptors = (openFds: number): Change => ({
  summary: { values: { openFds, maxFds: 1000 } },
})
const memory = (from: number, to: number, hours: number): Change => ({
  growth: { fromBytes: from * MIB, toBytes: to * MIB, overMs: hours * HOUR_MS },
})
const s2s = (initiated: number, failed: number): Change => ({
  summary: {
    recent: { ...NOTHING, s2s: { ...NOTHING.s2s, hosts: [{ host: HOST, initiated, failed }] } },
  },
})
const flood = (c2s: number, s2sin: number, clientLogins = 0, minutes = 5) =>
  short({
    overMs: minutes * MINUTE_MS,
    unauthenticated: { c2s, s2sin },
    logins: clientLogins,
  })
const software = (...names: string[]): Change => ({ summary: { software: names } })
const source = (name: string, reason: string | undefined): Change => ({
  summary: {
    sources: [
      { name, state: reason === undefined ? 'works' : 'failed', reason, durationSeconds: 0 },
    ],
  },
})

/** What causes no entry, a warning and an urgent entry of each check, at, below and above each limit. */
const CASES: Readonly<
  Record<string, { none: readonly Change[]; amber: readonly Change[]; red?: readonly Change[] }>
> = {
  certificate: {
    none: [{}, certificateIn(400), certificateIn(14)],
    amber: [certificateIn(13.99), certificateIn(9), certificateIn(3)],
    red: [certificateIn(2.99), certificateIn(0), certificateIn(-100)],
  },
  reload: { none: [{}], amber: [{ summary: { hostsToReload: [HOST] } }] },
  logins: {
    none: [
      // One mistyped password just after the start, 12 per minute, as many successful as failed ones.
      ...[logins(1, 0, 0.05), logins(11, 0, 0.25), logins(60, 0), logins(100, 100)],
    ],
    // 24 per minute are found after half a minute.
    amber: [logins(61, 0), logins(120, 119), logins(12, 0, 0.5), logins(24, 0, 1)],
  },
  flood: {
    none: [flood(600, 600), flood(700, 0, 700), flood(60, 60, 0, 0.25)],
    amber: [flood(601, 0), flood(0, 601), flood(701, 0, 700), flood(61, 0, 0, 0.25)],
  },
  descriptors: {
    none: [descriptors(10), descriptors(800)],
    amber: [descriptors(801), descriptors(950)],
    red: [descriptors(951), descriptors(1000)],
  },
  memory: {
    none: [
      ...[memory(400, 600, 24), memory(100, 200, 24), memory(50, 149, 24), memory(500, 100, 24)],
      // Clients return after a restart.
      ...[memory(100, 300, 2), memory(200, 600, 2), memory(100, 400, 2)],
    ],
    amber: [memory(400, 601, 24), memory(150, 251, 24), memory(100, 401, 2), memory(200, 601, 2)],
  },
  loop: {
    none: [short({ loop: { slow: 3, measured: 30 } }), short({ loop: { slow: 4, measured: 400 } })],
    amber: [
      short({ loop: { slow: 4, measured: 30 } }),
      short({ loop: { slow: 4, measured: 300 } }),
    ],
  },
  s2s: {
    none: [s2s(10, 10), s2s(20, 10)],
    amber: [s2s(11, 6), s2s(20, 11)],
  },
  collector: {
    none: [source('users', undefined), source('registry', 'The module is missing. Load it.')],
    amber: [source('users', 'no answer')],
  },
  version: {
    none: [
      software('Prosody 13.0.1'),
      software('Prosody trunk nightly build 2000'),
      software('ejabberd 0.9.1'),
      software('Biboumi 0.12', 'Prosody 13.0.5'),
    ],
    amber: [
      software('Prosody 0.11.9'),
      software('Prosody 0.12.3'),
      software('X 1', 'Prosody 0.10.0'),
    ],
  },
}

describe('what needs attention', () => {
  for (const [check, { none, amber, red = [] }] of Object.entries(CASES)) {
    test(`the check "${check}" reports what is above its limits, and nothing else`, () => {
      for (const change of none) assert.deepEqual(findAll(change), [], JSON.stringify(change))
      for (const [severity, changes] of Object.entries({ amber, red })) {
        for (const change of changes) {
          assert.deepEqual(severitiesOf(change), [severity], JSON.stringify(change))
          assert.equal(findAll(change)[0]!.check, check)
        }
      }
    })
  }

  test('each entry has a cause of one sentence and a remedy', () => {
    const all = Object.values(CASES).flatMap(({ amber, red = [] }) => [...amber, ...red])
    for (const { cause, remedy } of all.flatMap(findAll)) {
      assert.match(cause, /^[\p{Lu}\d].*\.$/u)
      assert.match(remedy, /^\p{Lu}.*\.$/u, cause)
      assert.ok(cause.length <= 160, cause)
    }
  })

  test('the causes are readable', () => {
    const causeOf = (change: Change) => findAll(change)[0]!.cause
    const expected: readonly [Change, string][] = [
      [certificateIn(9.5), 'The certificate of a.example expires in 9 days.'],
      [certificateIn(1.5), 'The certificate of a.example expires in 36 hours.'],
      [certificateIn(0.01), 'The certificate of a.example expires in less than an hour.'],
      [certificateIn(-3), 'The certificate of a.example expired 3 days ago.'],
      [logins(120, 10), '24 logins per minute fail on a.example, and 2 succeed.'],
      [flood(900, 0), '180 connections per minute from clients end without a login.'],
      [flood(0, 900), '180 connections per minute from other servers end without a login.'],
      [descriptors(851), 'Prosody uses 851 of 1,000 file descriptors.'],
      [memory(150, 412, 24), 'The memory of Prosody grew from 150 MB to 412 MB in 1 day.'],
      [
        short({ loop: { slow: 7, measured: 290 } }),
        'Prosody was blocked for more than 0.5 s at least 7 times in 5 minutes.',
      ],
      [
        s2s(14, 12),
        '12 of 14 connections from a.example to other servers failed in the last 15 minutes.',
      ],
      [source('users', 'no answer. Try it.'), 'The collector users fails: no answer.'],
      [software('Prosody 0.12.3'), 'Prosody 0.12.3 is at its end of life.'],
    ]
    for (const [change, cause] of expected) assert.equal(causeOf(change), cause)
  })

  test('a certificate names its service, and the others that expire soon', () => {
    const certificates = [
      { host: HOST, service: 'https', expiresAtMs: START_MS + 5 * DAY_MS },
      { host: 'b.example', service: undefined, expiresAtMs: START_MS + 6 * DAY_MS },
      { host: 'c.example', service: undefined, expiresAtMs: START_MS + 14 * DAY_MS },
    ]
    const [entry, ...others] = findAll({ summary: { certificates } })
    assert.deepEqual(others, [])
    assert.equal(entry!.cause, 'The certificate of a.example (https) expires in 5 days.')
    assert.match(entry!.remedy, /Less than 14 days are left for: b\.example\.$/)
  })

  for (const [version, needsRestart] of [
    ['0.11.9', true],
    ['0.12.3', false],
    ['13.0.1', false],
  ] as const) {
    test(`a renewed certificate of the HTTPS port of Prosody ${version} needs a ${needsRestart ? 'restart' : 'reload'}`, () => {
      const { summary } = certificateIn(9)
      const [entry] = findAll({
        summary: { ...summary, ...software(`Prosody ${version}`).summary },
      })
      assert.match(entry!.remedy, /prosodyctl reload/)
      assert.equal(entry!.remedy.includes('restart Prosody'), needsRestart)
    })
  }

  test('urgent entries are first', () => {
    const change = {
      summary: { ...certificateIn(1).summary, ...software('Prosody 0.12.3').summary },
    }
    assert.deepEqual(severitiesOf(change), ['red', 'amber'])
    const late = { summary: { ...descriptors(999).summary, ...certificateIn(9).summary } }
    assert.deepEqual(severitiesOf(late), ['red', 'amber'])
  })

  test('the limits are those of the alerts', () => {
    const rules = readFileSync(join(root, 'deploy/prometheus/rules.yml'), 'utf8')
    const limits: Readonly<Record<string, readonly string[]>> = {
      ProsodyCertificateExpires: ['< 14'],
      ProsodyCertificateExpiresSoon: ['< 3'],
      ProsodyCertificateNotLoaded: ['== 1'],
      XmppLoginFailures: ['rate5m > 12'],
      ProsodyUnauthenticatedFlood: ['> 120'],
      ProsodyFileDescriptorsRunOut: ['> 80'],
      ProsodyMemoryGrowth: ['> 1.5 *', '> 100 * 1024 * 1024'],
      ProsodyEventLoopSlow: ['p99_rate5m > 0.5'],
      ProsodyS2sOutgoingFailures: ['> 0.5 *', 'increase15m > 10'],
    }
    for (const [alert, texts] of Object.entries(limits)) {
      const [, rule = ''] = rules.split(`- alert: ${alert}\n`)
      const expression = rule.split('annotations:')[0]!
      for (const text of texts) assert.ok(expression.includes(text), `${alert}: ${text}`)
    }
  })
})

// Tests that the exporter sends stanzas only to hosts of its Prosody. Prosody would forward a stanza for another domain
// to another server.

import assert from 'node:assert/strict'
import { describe, test, type TestContext } from 'node:test'
import { withExporterFor } from '../support/exporter.js'
import {
  everyVersion,
  withProsody,
  type ProsodyConfig,
  type TestProsody,
} from '../support/prosody.js'
import { sampleValue, untilUp } from '../support/real.js'
import { startTap } from '../support/tap.js'

const SCRAPES = 10

/**
 * Scrapes a Prosody and counts the stanzas of the exporter to each domain. `perScrape` has only the stanzas during the
 * scrapes, and `asked` has the domains of all stanzas.
 */
async function scrape(t: TestContext, prosody: TestProsody, flags: readonly string[] = []) {
  const tap = await startTap(t, prosody.ports.component)
  const exporter = await withExporterFor(
    t,
    { ...prosody, service: tap.service, statsDomains: prosody.statsDomains },
    { stock: true, flags, env: { PROSODY_EXPORTER_COLLECTION_MIN_AGE: '0s' } },
  )
  await untilUp(exporter)
  const count = (from = 0) => {
    const counts: Record<string, number> = {}
    for (const { name, attrs } of tap.stanzas().slice(from)) {
      const { from = '', to = '' } = attrs
      if (name === 'iq' && from === prosody.statsDomains[0]) counts[to] = (counts[to] ?? 0) + 1
    }
    return counts
  }
  const before = tap.stanzas().length
  let text = ''
  for (let i = 0; i < SCRAPES; i++) ({ text } = await exporter.get('/metrics'))
  assert.equal(sampleValue(text, 'xmpp_up'), 1)
  return { text, asked: Object.keys(count()).sort(), perScrape: count(before) }
}

/** Returns the lines of Prosody's log about connections to other servers. */
const attempts = (prosody: TestProsody) =>
  prosody
    .log()
    .split('\n')
    .filter((line) => /s2sout[0-9a-f]{6}|outgoing connection/.test(line))

const cases: readonly (readonly [
  what: string,
  config: ProsodyConfig,
  asked: readonly string[],
  flags?: readonly string[],
])[] = [
  [
    'only the parent of the parent of the exporter’s domain is a host',
    { hosts: ['example.com'], statsDomains: ['stats.xmpp.example.com'] },
    ['example.com', 'rooms.example.com', 'stats.xmpp.example.com'],
  ],
  [
    'the parent of the exporter’s domain is a disabled host',
    {
      statsDomains: ['stats.off.example'],
      extra: 'VirtualHost "off.example"\n  enabled = false',
    },
    ['stats.off.example'],
  ],
  [
    'the parent of the exporter’s domain is not a host',
    { hosts: ['example.com'], statsDomains: ['metrics.internal'] },
    ['metrics.internal'],
  ],
  [
    'the parent of the exporter’s domain lists a service of another server',
    {
      statsDomains: ['stats.one.example'],
      globals: { disco_items: '{ { "elsewhere.test"; "of others" } }' },
    },
    ['one.example', 'rooms.one.example', 'stats.one.example'],
  ],
  [
    '--xmpp.host has a misspelled host name',
    { statsDomains: ['stats.one.example'] },
    ['one.example', 'rooms.one.example', 'stats.one.example'],
    ['--xmpp.host=one.example', '--xmpp.host=typo.one.example'],
  ],
]

for (const version of everyVersion) {
  describe(`stanzas to hosts of Prosody ${version} only`, { concurrency: 2 }, () => {
    for (const [what, config, asked, flags] of cases) {
      test(`the exporter causes no connection of Prosody ${version} to another server if ${what}`, async (t) => {
        const prosody = await withProsody(t, { version, logLevel: 'debug', ...config })
        const scraped = await scrape(t, prosody, flags)
        assert.deepEqual(scraped.asked, asked)
        const own = prosody.statsDomains[0]!
        assert.equal(
          scraped.perScrape[own],
          SCRAPES,
          'each scrape requests one page of the registry',
        )
        for (const jid of asked) {
          if (jid === own) continue
          // For each scrape, a server host gets one ping. A room host gets a request for its number of rooms once a minute.
          if (jid.startsWith('rooms.')) assert.ok((scraped.perScrape[jid] ?? 0) < SCRAPES)
          else assert.equal(scraped.perScrape[jid], SCRAPES, jid)
        }
        assert.deepEqual(attempts(prosody), [])
      })
    }
  })

  test(`without mod_adhoc_statistics in Prosody ${version}, the exporter queries the parent of its domain once`, async (t) => {
    const prosody = await withProsody(t, {
      version,
      logLevel: 'debug',
      hosts: ['example.com'],
      statsDomains: ['metrics.internal'],
      statsOptions: { modules_enabled: undefined },
    })
    const tap = await startTap(t, prosody.ports.component)
    const exporter = await withExporterFor(
      t,
      { ...prosody, service: tap.service },
      { stock: true, env: { PROSODY_EXPORTER_COLLECTION_MIN_AGE: '0s' } },
    )
    for (let i = 0; i < SCRAPES; i++) await exporter.get('/metrics')
    const guesses = tap.stanzas().filter(({ attrs }) => attrs['to'] === 'internal')
    assert.equal(guesses.length, 1)
    assert.notDeepEqual(
      attempts(prosody),
      [],
      'the log of Prosody shows an attempt to connect to the parent domain',
    )
  })
}

import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import xml from '@xmpp/xml'
import { REGISTRY_NODE } from '../../src/collectors/registry/registry.js'
import { until } from '../support/setup/process.js'
import {
  difference,
  isServerFamily,
  NO_DIFFERENCE,
  readExporter,
  seriesOf,
  type Format,
} from '../support/compare.js'
import { withExporterFor, type RunningExporter } from '../support/exporter.js'
import { legacyVersion, withProsody, type ProsodyConfig } from '../support/prosody.js'
import { complaints, evalLua, sampleValue, serverSamples, untilReady } from '../support/real.js'
import { commandElement, connectComponent, errorCondition, login } from '../support/xmpp-client.js'

const version = legacyVersion
const STATS = 'stats.one.example'
const FRESH = { PROSODY_EXPORTER_COLLECTION_MIN_AGE: '0s' }
/** Matches warnings and errors in Prosody's log, and tracebacks of Lua. */
const COMPLAINT = /(error|warn)\S*\t|traceback/

function startProsody(t: TestContext, config: ProsodyConfig = {}) {
  return withProsody(t, {
    version,
    users: { 'a@one.example': 'pw', 'admin@one.example': 'pw' },
    ...config,
    modules: ['test_eval', 'test_legacy', ...(config.modules ?? [])],
  })
}

type Stat = {
  readonly value: number
  readonly count: number
  readonly sampled: number
  readonly average: number
  readonly min: number
  readonly max: number
  readonly unit: string
}

/** Parses the output of mod_test_legacy. The keys are Prosody's names, for example "/*\/mod_c2s/connections:amount". */
function readDump(text: string): Map<string, Stat> {
  return new Map(
    text.split('\n').map((line) => {
      const fields = line.split('\t')
      const [value, count, sampled, average, min, max] = fields.slice(1, 7).map(Number)
      const unit = fields[7] ?? ''
      return [fields[0]!, { value, count, sampled, average, min, max, unit } as Stat]
    }),
  )
}

/** The number of events and the sum of the values of each stat, over all collections. */
type Totals = Map<string, { count: number; sum: number; pending: number }>

function addUp(totals: Totals, stats: ReadonlyMap<string, Stat>): void {
  for (const [name, { count, sampled, average }] of stats) {
    const total = totals.get(name) ?? { count: 0, sum: 0, pending: 0 }
    total.count += count
    total.pending += count
    if (sampled > 0) {
      total.sum += average * total.pending
      total.pending = 0
    }
    totals.set(name, total)
  }
}

/** Returns the series that the exporter must have for each stat, as the README of mod_adhoc_statistics documents. */
function expectedSeries(stats: ReadonlyMap<string, Stat>, totals: Totals): Map<string, number> {
  const series = new Map<string, number>()
  for (const [stat, { value, min, max, unit }] of stats) {
    const { name, kind, labels } = nameOf(stat)
    const add = (family: string, type: string, suffix: string, number: number) => {
      const [escaped, sample] = [escape(family), escape(family) + suffix]
      series.set(JSON.stringify([escaped, type, sample, labels]), number)
    }
    const { count, sum } = totals.get(stat)!
    if (kind === 'amount') add(name, 'gauge', '', value)
    else if (kind === 'rate') {
      add(name, 'counter', '_total', count)
      add(`${PLAIN_NAMES[stat] ?? name}_per_second`, 'gauge', '', value)
    } else {
      const full = unit === '' ? name : `${name}_${unit}`
      add(full, 'summary', '_count', count)
      add(full, 'summary', '_sum', sum)
      for (const [suffix, number] of Object.entries({ average: value, min, max })) {
        add(`${full}_${suffix}`, 'gauge', '', number)
      }
    }
  }
  return series
}

const STANZAS = 'stanza_counts.incoming_c2s_message:rate'

/**
 * The metric names of stats that do not get their usual name. For most, another stat has the usual name. One stat gets
 * the name and labels that it has in Prosody 0.12.
 */
const OTHER_NAMES: Readonly<Record<string, string>> = {
  'test.same:rate': 'prosody_test.same_rate',
  '/one.example/mod_test_legacy/both:amount': 'prosody_mod_test_legacy/both_amount',
  [STANZAS]: 'prosody_mod_measure_stanza_counts/received',
}
/** The gauge with the events per second of test.same has the usual name, because no other stat has that name. */
const PLAIN_NAMES: Readonly<Record<string, string>> = { 'test.same:rate': 'prosody_test.same' }

function nameOf(stat: string) {
  const [, path = '', kind = ''] = /^(.*):([a-z]+)$/s.exec(stat) ?? []
  const [, host, rest] = /^\/([^/]+)\/([^/]+\/.+)$/s.exec(path) ?? []
  const hosts = host === undefined || host === '*' ? [] : [['host', host]]
  const stanza = [
    ['session_type', 'c2s'],
    ['stanza_kind', 'message'],
  ]
  return {
    name: OTHER_NAMES[stat] ?? `prosody_${rest ?? path}`,
    kind,
    labels: stat === STANZAS ? stanza : hosts,
  }
}

function escape(name: string): string {
  const bytes = Buffer.from(name).toString('latin1')
  return bytes.replaceAll('/', '__').replace(/\W/g, '_')
}

/**
 * Reads the series, without the samples `_created`. Asserts that in OpenMetrics, each counter and summary has a sample
 * `_created`.
 */
async function readServer(exporter: RunningExporter, format: Format, sinceSeconds: number) {
  const read = await readExporter(exporter, format)
  // The families `xmpp_…`, which mod_adhoc_statistics counts itself, are not compared here. counts.test.ts tests them.
  const families = read.filter((each) => isServerFamily(each) && !each.name.startsWith('xmpp_'))
  return seriesOf(
    families.map((family) => {
      const isCreated = ({ name }: { name: string }) => name === `${family.name}_created`
      const created = family.samples.filter(isCreated).map(({ value }) => value)
      assert.equal(created.length > 0, format === 'openmetrics' && family.type !== 'gauge')
      for (const time of created) assert.ok(sinceSeconds <= time && time <= Date.now() / 1000)
      return { ...family, samples: family.samples.filter((sample) => !isCreated(sample)) }
    }),
  )
}

test(`every stat of get_stats() in Prosody ${version} is exported, and counters that Prosody resets are added up`, async (t) => {
  const sinceSeconds = Math.floor(Date.now() / 1000)
  const prosody = await startProsody(t, {
    // With this long interval, Prosody collects once when it starts, and then only when the test requests a collection.
    globals: { statistics_interval: '3600', muc_room_locking: 'false' },
  })
  const totals: Totals = new Map()
  const read = async () => readDump(await evalLua(prosody, 'return prosody.test_legacy.dump()'))
  const dump = async () => {
    const stats = await read()
    addUp(totals, stats)
    return stats
  }
  const first = await dump()
  assert.deepEqual(
    [...first.keys()].filter((name) => name.startsWith('/') && !name.includes('mod_test')).sort(),
    [
      '/*/mod_c2s/connections:amount',
      '/*/mod_c2s/ipv6:amount',
      '/*/mod_s2s/connections:amount',
      '/*/mod_s2s/ipv6:amount',
      '/rooms.one.example/mod_muc/room_eviction:rate',
      '/rooms.one.example/mod_muc/room_hit:rate',
      '/rooms.one.example/mod_muc/room_miss:rate',
    ],
  )
  const env = { ...FRESH, PROSODY_EXPORTER_EXPOSITION_CREATED: 'true' }
  const start = (domain: string) => withExporterFor(t, prosody, { domain, env })
  const exporters = await Promise.all(prosody.statsDomains.map(start))
  for (const exporter of exporters) await untilReady(exporter, 200)
  const compare = async (stats: ReadonlyMap<string, Stat>, indexes = [0, 1]) => {
    for (const i of indexes) {
      const exporter = exporters[i]!
      const actual = await readServer(exporter, i === 0 ? 'openmetrics' : 'text', sinceSeconds)
      assert.deepEqual(difference(actual, expectedSeries(stats, totals)), NO_DIFFERENCE)
    }
  }
  await compare(first)

  const a = await login({ port: prosody.ports.c2s, jid: 'a@one.example', password: 'pw' })
  t.after(() => a.close())
  const moves = [
    'for i = 1, 7 do m.rate() m.times()() end m.sizes(4096) m.counter(3) m.amount(-1.5)',
    'm.rate() m.stanza() m.stanza() m.no_stanza() m.same_rate() m.same_amount(4)',
    // The measurement `m.unfinished` begins in one collection interval and ends in the next.
    'for i = 1, 12 do m.distribution(i * i) m.other_rate() end m.unfinished = m.times()',
    '',
    'm.unfinished() m.both(5) m.one_both(6) m.odd(1/3) for i = 1, 1000 do m.rate() m.sizes(i) end',
  ]
  for (const [i, lua] of moves.entries()) {
    if (i === 1) {
      await a.joinRoom(`x@${prosody.rooms}`, 'a')
      await a.joinRoom(`y@${prosody.rooms}`, 'a')
    }
    if (i === 3) {
      // While one instance of the module is reloaded or not loaded, the other must count each event exactly once.
      await evalLua(
        prosody,
        `local modules = require "core.modulemanager"
        assert(modules.reload("${STATS}", "adhoc_statistics"))
        assert(modules.unload("${prosody.statsDomains[1]!}", "adhoc_statistics"))
        prosody.test_legacy.rate()
        prosody.test_legacy.collect()`,
      )
      await dump()
      await evalLua(
        prosody,
        `assert(require "core.modulemanager".load("${prosody.statsDomains[1]!}", "adhoc_statistics"))`,
      )
    }
    await evalLua(prosody, `local m = prosody.test_legacy ${lua} m.collect()`)
    // The two exporters collect in turn, so each reads the changes of two intervals.
    await compare(await dump(), [i % 2])
  }
  await compare(await read())

  const { text } = await exporters[0]!.get('/metrics')
  for (const [sample, value] of [
    ['prosody_mod_test_legacy__rate_total{host="one.example"}', 1009],
    ['prosody_mod_test_legacy__rate_total{host="two.example"}', 12],
    ['prosody_mod_test_legacy__times_seconds_count{host="two.example"}', 8],
    ['prosody_memory_lua_bytes_count', 1001],
    ['prosody_mod_muc__room_hit_per_second{host="rooms.one.example"}', 0],
    [
      'prosody_mod_measure_stanza_counts__received_total{session_type="c2s",stanza_kind="message"}',
      2,
    ],
    ['prosody_mod_c2s__connections', 1],
    ['prosody_stats_collection_seconds_count', moves.length + 2],
  ] as const) {
    assert.equal(sampleValue(text, sample), value, sample)
  }
  assert.ok(sampleValue(text, 'prosody_mod_muc__room_miss_total{host="rooms.one.example"}')! > 0)
  assert.match(
    text,
    /^# HELP prosody_stats_collection_seconds stats\.collection times; .*estimate/m,
  )
  assert.doesNotMatch(prosody.log(), COMPLAINT)
})

test(`while Prosody ${version} collects at its own interval, a counter never decreases and finally has the number of events`, async (t) => {
  const prosody = await startProsody(t, { globals: { statistics_interval: '1' } })
  const exporter = await withExporterFor(t, prosody, { env: FRESH })
  await untilReady(exporter, 200)
  const updated = 'prosody_exporter_registry_updated_timestamp_seconds'
  const rate = 'prosody_mod_test_legacy__rate_total{host="one.example"}'
  const times = new Set<number>()
  let events = 0
  let before = 0
  const read = async () => {
    const { text } = await exporter.get('/metrics')
    const now = sampleValue(text, rate)
    if (now === undefined) assert.fail(text)
    assert.ok(
      before <= now && now <= events,
      `the counter is ${now}; it was ${before}, and ${events} events have happened`,
    )
    before = now
    times.add(sampleValue(text, updated)!)
  }
  await until(
    async () => {
      await evalLua(prosody, 'for i = 1, 3 do prosody.test_legacy.rate() end')
      events += 3
      await read()
      return times.size > 3
    },
    { what: 'Prosody has collected three times', everyMs: 20 },
  )
  await until(
    async () => {
      await read()
      return before === events
    },
    { what: 'the counter has the number of events' },
  )
})

test(`Prosody ${version} gives statistics only to the exporter's component with the bare domain as sender`, async (t) => {
  const lax = 'lax.example'
  const prosody = await startProsody(t, {
    globals: { admins: '{ "admin@one.example" }' },
    components: [
      { domain: 'other.example', options: { component_secret: '"x"' } },
      { domain: lax, options: { component_secret: '"x"', validate_from_addresses: 'false' } },
    ],
  })
  const { c2s, component } = prosody.ports
  const commands = () => [
    commandElement(REGISTRY_NODE, xml('statistics', { xmlns: REGISTRY_NODE, first: '1' })),
    commandElement(REGISTRY_NODE),
  ]
  const users = ['a', 'admin'].map((name) =>
    login({ port: c2s, jid: `${name}@one.example`, password: 'pw' }),
  )
  const others = ['other.example', lax].map((domain) =>
    connectComponent({ port: component, domain, secret: 'x' }),
  )
  for (const stream of await Promise.all([...users, ...others])) {
    t.after(() => stream.close())
    for (const command of commands()) {
      assert.equal(errorCondition(await stream.iq('set', STATS, command)), 'forbidden')
    }
  }
  const spoofer = await others[1]!
  const own = await connectComponent({ port: component, domain: STATS, secret: prosody.secret })
  t.after(() => own.close())
  for (const command of commands()) {
    const spoofed = await spoofer.iq('set', STATS, command, { from: STATS })
    assert.equal(errorCondition(spoofed), 'forbidden')
    const resource = await own.iq('set', STATS, command, { from: `user@${STATS}` })
    assert.equal(errorCondition(resource), 'forbidden')
    assert.equal((await own.iq('set', STATS, command)).attrs['type'], 'result')
  }
  assert.doesNotMatch(prosody.log(), COMPLAINT)
})

const SET = /statistics = \\+"internal\\+".*statistics_interval|statistics_interval.*"internal/
const PROBLEMS: readonly (readonly [string, ProsodyConfig, RegExp])[] = [
  [
    'Prosody has no statistics',
    { globals: { statistics: undefined, statistics_interval: undefined } },
    SET,
  ],
  [
    'Prosody sends its statistics to statsd',
    {
      globals: {
        statistics: '"statsd"',
        statistics_config: '{ statsd_server = "127.0.0.1", statsd_port = 9 }',
      },
    },
    SET,
  ],
  [
    'mod_adhoc_statistics is not loaded',
    { statsOptions: { modules_enabled: undefined } },
    /modules_enabled/,
  ],
]
for (const [what, config, advice] of PROBLEMS) {
  test(`when ${what}, one log line of the exporter says what to change (Prosody ${version})`, async (t) => {
    const prosody = await startProsody(t, config)
    const exporter = await withExporterFor(t, prosody, {
      env: FRESH,
      flags: ['--log.format=json'],
    })
    await until(() => complaints(exporter).length > 0, {
      what: 'the exporter has logged a problem',
    })
    for (let i = 0; i < 2; i++) {
      const { text } = await exporter.get('/metrics')
      assert.equal(sampleValue(text, 'xmpp_up'), 1)
      assert.equal(sampleValue(text, 'prosody_exporter_collector_success{collector="registry"}'), 0)
      assert.deepEqual(serverSamples(text), [])
    }
    assert.equal(complaints(exporter).length, 1)
    assert.match(complaints(exporter)[0]!, advice)
    assert.doesNotMatch(prosody.log(), /traceback/)

    await prosody.restart({ globals: {}, statsOptions: {} })
    await untilReady(exporter, 200)
  })
}

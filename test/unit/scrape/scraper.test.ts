import assert from 'node:assert/strict'
import { mock, test, type TestContext } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Collected, Collector } from '../../../src/collectors/collector.js'
import { CollectorError } from '../../../src/collectors/failure.js'
import { LinkError, StanzaError, TimeoutError } from '../../../src/errors.js'
import { family, type Family } from '../../../src/metrics/family.js'
import { limitSeries } from '../../../src/metrics/series-limit.js'
import { createScraper, type ScraperOptions, type Snapshot } from '../../../src/scrape/scraper.js'

type Call = { resolve: (families: readonly Family[]) => void; reject: (error: Error) => void }

const START = 1_700_000_000_000

/** Creates a scraper with one collector and a simulated clock. The test settles each call of the collector. */
function setUp(
  t: TestContext,
  options: {
    minAgeMs?: number
    maxSeries?: number
    serveStaleForMs?: number
    timestamps?: boolean
    link?: ScraperOptions['link']
  } = {},
) {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: START })
  const calls: Call[] = []
  const warnings: string[] = []
  let now = 0
  const collector: Collector = {
    name: 'fake',
    collect: () =>
      new Promise<Collected>((resolve, reject) => {
        calls.push({
          resolve: (families) => {
            resolve({ families, invalid: new Map() })
          },
          reject,
        })
      }),
  }
  const ignore = () => undefined
  const scraperOptions: ScraperOptions = {
    collectors: [collector],
    link: options.link ?? (() => ({ connected: true, connects: 1 })),
    exporterFamilies: () => [],
    minAgeMs: options.minAgeMs ?? 250,
    timeoutMs: 10_000,
    serveStaleForMs: options.serveStaleForMs ?? 0,
    created: false,
    timestamps: options.timestamps ?? false,
    maxSeries: options.maxSeries ?? 1000,
    log: {
      debug: ignore,
      info: ignore,
      error: ignore,
      warn: (message, fields) => {
        warnings.push(`${message} ${JSON.stringify(fields)}`)
      },
    },
    now: () => now,
  }
  const pass = (ms: number) => {
    now += ms
    t.mock.timers.tick(ms)
  }
  return { scraper: createScraper(scraperOptions), options: scraperOptions, calls, warnings, pass }
}

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

const FAMILIES = [family('gauge', 'test', 'Help', [{ value: 1 }])]

async function text(snapshot: Snapshot): Promise<string> {
  return Buffer.from(await snapshot.exposition.bytes('text')).toString()
}

test('onCollection runs once per collection, however many scrapes share it', async (t) => {
  const { options, calls } = setUp(t)
  const reported: unknown[] = []
  const onCollection: ScraperOptions['onCollection'] = ({ isUp, families, results }) => {
    reported.push([isUp, families[0]!.name, results.map(({ name }) => name)])
  }
  const scraper = createScraper({ ...options, onCollection })
  const scrapes = [scraper.scrape(1000), scraper.scrape(1000)]
  calls[0]!.resolve(FAMILIES)
  await Promise.all(scrapes)
  await scraper.scrape(1000)
  assert.deepEqual(reported, [[true, 'test', ['fake']]])
})

test('32 concurrent scrapes share one collection', async (t) => {
  const { scraper, calls } = setUp(t)
  const scrapes = Array.from({ length: 32 }, () => scraper.scrape(1000))
  calls[0]!.resolve(FAMILIES)
  const snapshots = new Set(await Promise.all(scrapes))
  assert.equal(calls.length, 1)
  assert.equal(snapshots.size, 1)
})

test('a scrape that times out does not cancel the collection for others', async (t) => {
  const { scraper, calls, pass } = setUp(t)
  const shortScrape = scraper.scrape(500)
  const longScrape = scraper.scrape(5000)
  pass(500)
  const late = await shortScrape
  assert.match(await text(late), /^xmpp_up 0$/m)
  assert.match(await text(late), /^prosody_exporter_collector_success\{collector="fake"\} 0$/m)
  assert.doesNotMatch(await text(late), /^test /m)
  calls[0]!.resolve(FAMILIES)
  const whole = await longScrape
  assert.match(await text(whole), /^test 1$/m)
  assert.equal(calls.length, 1)
})

test('a snapshot is served again until min_age after the start of its collection', async (t) => {
  const { scraper, calls, pass } = setUp(t)
  const first = scraper.scrape(1000)
  pass(100)
  calls[0]!.resolve(FAMILIES)
  const snapshot = await first
  pass(149)
  assert.equal(await scraper.scrape(1000), snapshot)
  assert.equal(scraper.findCached(), snapshot)
  pass(1)
  assert.equal(scraper.findCached(), undefined)
  const next = scraper.scrape(1000)
  assert.equal(calls.length, 2)
  calls[1]!.resolve(FAMILIES)
  assert.notEqual(await next, snapshot)
})

test('a snapshot is released when there is a newer one, even before it expires', async (t) => {
  const { scraper, calls } = setUp(t, { minAgeMs: 240_000 })
  const collect = async () => {
    const collection = scraper.refresh()
    calls.at(-1)!.resolve(FAMILIES)
    return new WeakRef(await collection)
  }
  const first = await collect()
  const second = await collect()
  // The garbage collector keeps the target of a new WeakRef until the end of the current job of the event loop.
  await new Promise(setImmediate)
  collectGarbage()
  assert.equal(first.deref(), undefined)
  assert.ok(second.deref())
})

test('a cached snapshot is not served after the stream is lost', async (t) => {
  let connected = true
  const link = () => ({ connected, connects: 1 })
  const { scraper, calls, pass } = setUp(t, { minAgeMs: 240_000, link })
  const first = scraper.scrape(1000)
  calls[0]!.resolve(FAMILIES)
  const snapshot = await first
  pass(1000)
  assert.equal(await scraper.scrape(1000), snapshot)
  connected = false
  assert.equal(scraper.findCached(), undefined)
  const next = scraper.scrape(1000)
  calls[1]!.reject(new LinkError('no stream'))
  assert.match(await text(await next), /^xmpp_up 0$/m)
  // The snapshot of a failed collection is also cached.
  assert.equal(scraper.findCached(), await next)
})

test('series disappear when a later collection fails', async (t) => {
  const { scraper, calls, pass } = setUp(t)
  const first = scraper.scrape(1000)
  calls[0]!.resolve(FAMILIES)
  assert.match(await text(await first), /^test 1$/m)
  for (const [error, up] of [
    [new LinkError('no stream'), 0],
    [new TimeoutError('no answer'), 0],
    [new StanzaError('forbidden', 'auth', ''), 1],
    [new CollectorError('not_found', 'load the module'), 1],
  ] as const) {
    pass(1000)
    const failing = scraper.scrape(1000)
    calls.at(-1)!.reject(error)
    const body = await text(await failing)
    assert.match(body, new RegExp(`^xmpp_up ${up}$`, 'm'))
    assert.match(body, /^prosody_exporter_collector_success\{collector="fake"\} 0$/m)
    assert.doesNotMatch(body, /^test /m)
  }
  const body = await text(await scraper.scrape(1000))
  assert.match(body, /^prosody_exporter_collection_failures_total\{reason="link"\} 1$/m)
  assert.match(body, /^prosody_exporter_collections_total 5$/m)
})

test('while the server is silent, old series are served for serve_stale_for, and xmpp_up is 0', async (t) => {
  const { scraper, calls, pass } = setUp(t, { serveStaleForMs: 60_000 })
  const fail = async (error: Error) => {
    const failing = scraper.scrape(1000)
    calls.at(-1)!.reject(error)
    return await text(await failing)
  }
  const timestamp = (body: string) => /snapshot_timestamp_seconds (.*)/.exec(body)![1]
  const first = scraper.scrape(1000)
  calls[0]!.resolve(FAMILIES)
  const whole = await text(await first)
  pass(60_000)
  const stale = await fail(new LinkError('no stream'))
  assert.match(stale, /^xmpp_up 0$/m)
  assert.match(stale, /^prosody_exporter_collector_success\{collector="fake"\} 0$/m)
  assert.match(stale, /^test 1$/m)
  assert.equal(timestamp(stale), timestamp(whole))
  pass(1000)
  assert.doesNotMatch(await fail(new TimeoutError('no answer')), /^test /m)
})

test('with timestamps, each series of the server keeps the time at which its collection started', async (t) => {
  const { scraper, calls, pass } = setUp(t, { timestamps: true, serveStaleForMs: 60_000 })
  const stamps = ({ families }: Snapshot) =>
    new Set(families.map(({ name, timestampMs }) => `${/^[a-z]+/.exec(name)![0]} ${timestampMs}`))
  const exporterStamps = ['xmpp undefined', 'prosody undefined']
  const first = scraper.scrape(1000)
  pass(100)
  calls[0]!.resolve(FAMILIES)
  assert.deepEqual(stamps(await first), new Set([`test ${START}`, ...exporterStamps]))
  pass(10_000)
  const stale = scraper.scrape(1000)
  calls[1]!.reject(new LinkError('no stream'))
  assert.deepEqual(stamps(await stale), new Set([`test ${START}`, ...exporterStamps]))
  pass(10_000)
  const next = scraper.scrape(1000)
  calls[2]!.resolve(FAMILIES)
  assert.deepEqual(stamps(await next), new Set([`test ${START + 20_100}`, ...exporterStamps]))
})

test('a snapshot of a failed collection is cached for at most 5 s', async (t) => {
  const { scraper, calls, pass } = setUp(t, { timestamps: true, minAgeMs: 60_000 })
  const failing = scraper.scrape(1000)
  calls[0]!.reject(new LinkError('no stream'))
  const failed = await failing
  pass(4999)
  assert.equal(await scraper.scrape(1000), failed)
  pass(1)
  const next = scraper.scrape(1000)
  calls[1]!.resolve(FAMILIES)
  const whole = await next
  pass(59_999)
  assert.equal(await scraper.scrape(1000), whole)
})

test('with serve_stale_for, old series disappear when the server replies with an error', async (t) => {
  const { scraper, calls, pass } = setUp(t, { serveStaleForMs: 60_000 })
  const first = scraper.scrape(1000)
  calls[0]!.resolve(FAMILIES)
  await first
  pass(1000)
  const refused = scraper.scrape(1000)
  calls[1]!.reject(new StanzaError('forbidden', 'auth', ''))
  assert.doesNotMatch(await text(await refused), /^test /m)
})

test('a collector that never ends does not block later collections', async (t) => {
  const { scraper, calls, pass } = setUp(t)
  const first = scraper.scrape(60_000)
  pass(11_000)
  assert.match(await text(await first), /^xmpp_up 0$/m)
  const second = scraper.scrape(1000)
  assert.equal(calls.length, 2)
  calls[1]!.resolve(FAMILIES)
  assert.match(await text(await second), /^xmpp_up 1$/m)
})

/** Creates a scraper with these collectors. The keys are the names of the collectors. */
function setUpCollectors(
  t: TestContext,
  collectOf: Readonly<Record<string, () => Promise<Partial<Collected>>>>,
  connected = true,
) {
  const { options, warnings, pass } = setUp(t)
  const collectors = Object.entries(collectOf).map(([name, collect]) => ({
    name,
    collect: async () => ({
      families: [],
      invalid: new Map<string, number>(),
      ...(await collect()),
    }),
  }))
  const link = () => ({ connected, connects: 1 })
  return { scraper: createScraper({ ...options, collectors, link }), warnings, pass }
}

const gauge = (name: string, value: number) => family('gauge', name, 'Help', [{ value }])
const never = () => new Promise<Partial<Collected>>(() => {})
const fails = (error: Error) => () => Promise.reject(error)

test('with serve_stale_for, a snapshot never has series from before and after a restart of the server', async (t) => {
  const { options, pass } = setUp(t, { serveStaleForMs: 60_000 })
  let run = 1
  let registry = () => Promise.resolve({ families: [gauge('run_of_registry', run)] })
  const collectWith = (collect: () => Promise<{ families: Family[] }>) => async () => ({
    ...(await collect()),
    invalid: new Map<string, number>(),
  })
  const scraper = createScraper({
    ...options,
    link: () => ({ connected: true, connects: run }),
    collectors: [
      { name: 'registry', collect: collectWith(() => registry()) },
      {
        name: 'quick',
        collect: collectWith(() => Promise.resolve({ families: [gauge('run_of_quick', run)] })),
      },
    ],
  })
  const bodyAfter = async (ms: number) => {
    pass(ms)
    return text(await scraper.scrape(1000))
  }
  assert.match(await bodyAfter(0), /^run_of_registry 1$/m)
  registry = fails(new TimeoutError('no answer'))
  assert.match(await bodyAfter(1000), /^run_of_registry 1$/m)
  run = 2
  const body = await bodyAfter(1000)
  assert.match(body, /^run_of_quick 2$/m)
  assert.doesNotMatch(body, /^run_of_registry /m)
})

test('a collector that returns a partial output has failed: the output is served, and the failure is logged once', async (t) => {
  const failure = new CollectorError('too_many', 'too many users')
  const { scraper, warnings, pass } = setUpCollectors(t, {
    some: () => Promise.resolve({ families: FAMILIES, failure }),
    all: () => Promise.resolve({ families: [gauge('other', 2)] }),
  })
  await scraper.scrape(1000)
  pass(1000)
  const body = await text(await scraper.scrape(1000))
  assert.match(body, /^test 1$/m)
  assert.match(body, /^other 2$/m)
  assert.match(body, /^xmpp_up 1$/m)
  assert.match(body, /^prosody_exporter_collector_success\{collector="some"\} 0$/m)
  assert.match(body, /^prosody_exporter_collector_success\{collector="all"\} 1$/m)
  assert.match(body, /^prosody_exporter_collection_failures_total\{reason="too_many"\} 2$/m)
  assert.equal(warnings.length, 1)
  assert.match(warnings[0]!, /too many users/)
})

test('a scrape that times out has the series of the collectors that ended', async (t) => {
  const { scraper, pass } = setUpCollectors(t, {
    slow: never,
    quick: () => Promise.resolve({ families: FAMILIES }),
  })
  const scrape = scraper.scrape(500)
  await new Promise((resolve) => setImmediate(resolve))
  pass(500)
  const body = await text(await scrape)
  assert.match(body, /^test 1$/m)
  assert.match(body, /^xmpp_up 1$/m)
  assert.match(body, /^prosody_exporter_collector_success\{collector="slow"\} 0$/m)
})

test('the server is up if it answered any collector; cached series do not count as an answer', async (t) => {
  const cached = () => Promise.resolve({ families: FAMILIES, isFromCache: true })
  const bodyOf = async (collectors: Parameters<typeof setUpCollectors>[1], connected = true) => {
    const body = await text(await setUpCollectors(t, collectors, connected).scraper.scrape(1000))
    t.mock.timers.reset()
    return body
  }
  const silent = fails(new TimeoutError('no answer'))
  const down = await bodyOf({ cached, silent })
  assert.match(down, /^xmpp_up 0$/m)
  assert.doesNotMatch(down, /^test /m)
  assert.match(down, /^prosody_exporter_collector_success\{collector="cached"\} 0$/m)
  const refused = await bodyOf({
    cached,
    silent,
    refused: fails(new StanzaError('forbidden', '', '')),
  })
  assert.match(refused, /^xmpp_up 1$/m)
  assert.match(refused, /^test 1$/m)
  assert.match(
    await bodyOf({ cached }),
    /^xmpp_up 1$/m,
    'no query was necessary, and the stream is up',
  )
  assert.match(await bodyOf({ cached }, false), /^xmpp_up 0$/m)
})

const idle = () => Promise.resolve({ isIdle: true, isFromCache: true })
const failuresOf = (body: string) =>
  body.match(/(?<=^prosody_exporter_collection_failures_total)\{.* [^0]\d*$/gm) ?? []

test('an idle collector has no metrics about itself, even while the stream is down', async (t) => {
  let isDown = false
  const unlessDown = (collect: () => Promise<Partial<Collected>>) => () =>
    isDown ? Promise.reject(new LinkError('no stream')) : collect()
  const { scraper, pass } = setUpCollectors(t, {
    busy: unlessDown(() => Promise.resolve({ families: FAMILIES })),
    idle: unlessDown(idle),
  })
  for (const success of [1, 0, 1]) {
    isDown = success === 0
    const body = await text(await scraper.scrape(1000))
    assert.match(
      body,
      new RegExp(`^prosody_exporter_collector_success\\{collector="busy"\\} ${success}$`, 'm'),
    )
    assert.doesNotMatch(body, /collector="idle"/)
    pass(1000)
  }
})

test('a collector that was idle has failed when the server refuses it', async (t) => {
  let collect = idle as () => Promise<Partial<Collected>>
  const { scraper, pass } = setUpCollectors(t, { some: () => collect() })
  assert.doesNotMatch(await text(await scraper.scrape(1000)), /collector="some"/)
  collect = fails(new StanzaError('forbidden', 'auth', ''))
  pass(1000)
  assert.match(await text(await scraper.scrape(1000)), /success\{collector="some"\} 0$/m)
})

test('an idle collector has no metrics about itself in a scrape that times out', async (t) => {
  let collect = idle as () => Promise<Partial<Collected>>
  const { scraper, pass } = setUpCollectors(t, { idle: () => collect(), busy: never })
  const first = scraper.scrape(500)
  await new Promise((resolve) => setImmediate(resolve))
  pass(11_000)
  await first
  collect = never
  const second = scraper.scrape(500)
  pass(500)
  const body = await text(await second)
  assert.match(body, /success\{collector="busy"\} 0$/m)
  assert.doesNotMatch(body, /collector="idle"/)
})

test('a lost stream or a silent server is one failure, however many collectors it affects', async (t) => {
  const count = async (collectors: Parameters<typeof setUpCollectors>[1]) => {
    const body = await text(await setUpCollectors(t, collectors).scraper.scrape(1000))
    t.mock.timers.reset()
    return failuresOf(body)
  }
  const lost = fails(new LinkError('no stream'))
  const late = fails(new TimeoutError('no answer'))
  const works = () => Promise.resolve({ families: FAMILIES })
  assert.deepEqual(await count({ a: lost, b: lost, c: lost }), ['{reason="link"} 1'])
  assert.deepEqual(await count({ a: works, b: lost, c: lost }), ['{reason="link"} 1'])
  assert.deepEqual(await count({ a: late, b: late, c: late }), ['{reason="timeout"} 1'])
  assert.deepEqual(
    await count({ a: works, b: late, c: late }),
    ['{reason="timeout"} 2'],
    'the server answers, and two collectors are slow',
  )
})

test('a silent server is logged once, however many collectors time out', async (t) => {
  const silent = fails(new TimeoutError('no answer'))
  const { scraper, warnings, pass } = setUpCollectors(t, { a: silent, b: silent, c: silent })
  for (let i = 0; i < 3; i++) {
    await scraper.scrape(1000)
    pass(1000)
  }
  assert.equal(warnings.length, 1)
})

test('a silent server is logged even if one collector has timed out before', async (t) => {
  const silent = fails(new TimeoutError('no answer'))
  let isSilent = false
  const { scraper, warnings, pass } = setUpCollectors(t, {
    a: () => (isSilent ? silent() : Promise.resolve({ families: FAMILIES, invalid: new Map() })),
    b: silent,
  })
  await scraper.scrape(1000)
  assert.equal(warnings.length, 1)
  isSilent = true
  pass(1000)
  await scraper.scrape(1000)
  assert.equal(warnings.length, 2)
})

test('if two collectors return the same family, the one of the first is served', async (t) => {
  const { scraper } = setUpCollectors(t, {
    module: () => Promise.resolve({ families: [gauge('xmpp_online_users', 500)] }),
    command: () => Promise.resolve({ families: [gauge('xmpp_online_users', 200), gauge('b', 1)] }),
  })
  const body = await text(await scraper.scrape(1000))
  assert.deepEqual(body.match(/^(xmpp_online_users|b) .*$/gm), ['b 1', 'xmpp_online_users 500'])
  assert.doesNotMatch(body, /^prosody_exporter_samples_invalid/m)
})

test('a failure is logged once, and a different failure for the same reason a minute later', async (t) => {
  const { scraper, calls, warnings, pass } = setUp(t)
  const fail = async (error: Error) => {
    pass(1000)
    const scrape = scraper.scrape(1000)
    calls.at(-1)!.reject(error)
    await scrape
  }
  const off = new CollectorError('forbidden', 'statistics off')
  for (let i = 0; i < 4; i++) await fail(new CollectorError('forbidden', 'not allowed'))
  await fail(off)
  assert.equal(warnings.length, 1)
  assert.match(warnings[0]!, /not allowed/)
  pass(60_000)
  for (let i = 0; i < 4; i++) await fail(off)
  assert.equal(warnings.length, 2)
  assert.match(warnings[1]!, /statistics off/)
})

test('above the series limit, whole families are omitted and named, the largest first', async (t) => {
  const { scraper, calls, warnings } = setUp(t, { maxSeries: 3 })
  const samples = (count: number) =>
    Array.from({ length: count }, (_, i) => ({ labels: { i: String(i) }, value: i }))
  const scrape = scraper.scrape(1000)
  calls[0]!.resolve([
    family('gauge', 'small', '', samples(2)),
    family('gauge', 'large', '', samples(5)),
    family('gauge', 'middle', '', samples(3)),
  ])
  const body = await text(await scrape)
  assert.match(body, /^small\{i="1"\} 1$/m)
  assert.doesNotMatch(body, /^(large|middle)\{/m)
  assert.match(body, /^prosody_exporter_series_left_out\{family="large"\} 5$/m)
  assert.match(body, /^prosody_exporter_series_left_out\{family="middle"\} 3$/m)
  assert.equal(warnings.length, 1)
})

test('an omitted family and a family without series keep no cached text', async (t) => {
  const { scraper, calls } = setUp(t, { maxSeries: 3 })
  const caches = [5, 0, 2].map((rows, i) => {
    const cached = family('gauge', `family_${i}`, '', Array(rows).fill({ value: 1 }))
    return { ...cached, textCache: new Map([['text', {}]]) }
  })
  const scrape = scraper.scrape(1000)
  calls[0]!.resolve(caches)
  await scrape
  assert.deepEqual(
    caches.map(({ textCache }) => textCache.size),
    [0, 0, 1],
  )
})

test('if two omitted families have the same name, the series of both are counted', () => {
  const two = [1, 2].map((value) => family('gauge', 'twice', '', [{ value }]))
  assert.deepEqual([...limitSeries(two, 0).omitted], [['twice', 2]])
})

test('below the series limit, nothing is omitted', () => {
  const limited = limitSeries(FAMILIES, 1)
  assert.equal(limited.remaining, FAMILIES)
  assert.equal(limited.omitted.size, 0)
  mock.reset()
})

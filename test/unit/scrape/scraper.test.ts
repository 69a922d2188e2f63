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

/** A scraper with a collector that is answered by hand and a clock that is set by hand. */
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
    own: () => [],
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

test('each collection is told once, whoever shares it and whoever gets its snapshot', async (t) => {
  const { options, calls } = setUp(t)
  const told: unknown[] = []
  const onCollection: ScraperOptions['onCollection'] = ({ up, families, results }) => {
    told.push([up, families[0]!.name, results.map(({ name }) => name)])
  }
  const scraper = createScraper({ ...options, onCollection })
  const scrapes = [scraper.scrape(1000), scraper.scrape(1000)]
  calls[0]!.resolve(FAMILIES)
  await Promise.all(scrapes)
  await scraper.scrape(1000)
  assert.deepEqual(told, [[true, 'test', ['fake']]])
})

test('32 scrapes at once make one collection', async (t) => {
  const { scraper, calls } = setUp(t)
  const scrapes = Array.from({ length: 32 }, () => scraper.scrape(1000))
  calls[0]!.resolve(FAMILIES)
  const snapshots = new Set(await Promise.all(scrapes))
  assert.equal(calls.length, 1)
  assert.equal(snapshots.size, 1)
})

test('a scrape that gives up waiting cancels nobody else', async (t) => {
  const { scraper, calls, pass } = setUp(t)
  const hasty = scraper.scrape(500)
  const patient = scraper.scrape(5000)
  pass(500)
  const late = await hasty
  assert.match(await text(late), /^xmpp_up 0$/m)
  assert.match(await text(late), /^prosody_exporter_collector_success\{collector="fake"\} 0$/m)
  assert.doesNotMatch(await text(late), /^test /m)
  calls[0]!.resolve(FAMILIES)
  const whole = await patient
  assert.match(await text(whole), /^test 1$/m)
  assert.equal(calls.length, 1)
})

test('a snapshot is served again until its collection started min_age ago', async (t) => {
  const { scraper, calls, pass } = setUp(t)
  const first = scraper.scrape(1000)
  pass(100)
  calls[0]!.resolve(FAMILIES)
  const snapshot = await first
  pass(149)
  assert.equal(await scraper.scrape(1000), snapshot)
  assert.equal(scraper.current(), snapshot)
  pass(1)
  assert.equal(scraper.current(), undefined)
  const next = scraper.scrape(1000)
  assert.equal(calls.length, 2)
  calls[1]!.resolve(FAMILIES)
  assert.notEqual(await next, snapshot)
})

test('a snapshot is let go once there is another, however long it would have been served', async (t) => {
  const { scraper, calls } = setUp(t, { minAgeMs: 240_000 })
  const collect = async () => {
    const collection = scraper.refresh()
    calls.at(-1)!.resolve(FAMILIES)
    return new WeakRef(await collection)
  }
  const first = await collect()
  const second = await collect()
  // What a WeakRef was made of stays until the end of the job.
  await new Promise(setImmediate)
  collectGarbage()
  assert.equal(first.deref(), undefined)
  assert.ok(second.deref())
})

test('a snapshot is not served any longer when the stream is lost', async (t) => {
  let connected = true
  const link = () => ({ connected, connects: 1 })
  const { scraper, calls, pass } = setUp(t, { minAgeMs: 240_000, link })
  const first = scraper.scrape(1000)
  calls[0]!.resolve(FAMILIES)
  const snapshot = await first
  pass(1000)
  assert.equal(await scraper.scrape(1000), snapshot)
  connected = false
  assert.equal(scraper.current(), undefined)
  const next = scraper.scrape(1000)
  calls[1]!.reject(new LinkError('no stream'))
  assert.match(await text(await next), /^xmpp_up 0$/m)
  // That one is, to as many as come.
  assert.equal(scraper.current(), await next)
})

test('no series outlives the answer that told it', async (t) => {
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

test('with serve_stale_for series outlive a server that is silent, for so long, and xmpp_up tells', async (t) => {
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

test('with timestamps each series of the server has the time at which it was asked, for ever', async (t) => {
  const { scraper, calls, pass } = setUp(t, { timestamps: true, serveStaleForMs: 60_000 })
  const stamps = ({ families }: Snapshot) =>
    new Set(families.map(({ name, timestampMs }) => `${/^[a-z]+/.exec(name)![0]} ${timestampMs}`))
  const ours = ['xmpp undefined', 'prosody undefined']
  const first = scraper.scrape(1000)
  pass(100)
  calls[0]!.resolve(FAMILIES)
  assert.deepEqual(stamps(await first), new Set([`test ${START}`, ...ours]))
  pass(10_000)
  const stale = scraper.scrape(1000)
  calls[1]!.reject(new LinkError('no stream'))
  assert.deepEqual(stamps(await stale), new Set([`test ${START}`, ...ours]))
  pass(10_000)
  const next = scraper.scrape(1000)
  calls[2]!.resolve(FAMILIES)
  assert.deepEqual(stamps(await next), new Set([`test ${START + 20_100}`, ...ours]))
})

test('a snapshot without the server is not served for longer than 5 s', async (t) => {
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

test('with serve_stale_for a server that answers otherwise is believed', async (t) => {
  const { scraper, calls, pass } = setUp(t, { serveStaleForMs: 60_000 })
  const first = scraper.scrape(1000)
  calls[0]!.resolve(FAMILIES)
  await first
  pass(1000)
  const refused = scraper.scrape(1000)
  calls[1]!.reject(new StanzaError('forbidden', 'auth', ''))
  assert.doesNotMatch(await text(await refused), /^test /m)
})

test('a collector that never ends loses its slot', async (t) => {
  const { scraper, calls, pass } = setUp(t)
  const first = scraper.scrape(60_000)
  pass(11_000)
  assert.match(await text(await first), /^xmpp_up 0$/m)
  const second = scraper.scrape(1000)
  assert.equal(calls.length, 2)
  calls[1]!.resolve(FAMILIES)
  assert.match(await text(await second), /^xmpp_up 1$/m)
})

/** A scraper of collectors that tell this, each by its name. */
function tellerOf(
  t: TestContext,
  told: Readonly<Record<string, () => Promise<Partial<Collected>>>>,
  connected = true,
) {
  const { options, warnings, pass } = setUp(t)
  const collectors = Object.entries(told).map(([name, tell]) => ({
    name,
    collect: async () => ({ families: [], invalid: new Map<string, number>(), ...(await tell()) }),
  }))
  const link = () => ({ connected, connects: 1 })
  return { scraper: createScraper({ ...options, collectors, link }), warnings, pass }
}

const gauge = (name: string, value: number) => family('gauge', name, 'Help', [{ value }])
const never = () => new Promise<Partial<Collected>>(() => {})
const fails = (error: Error) => () => Promise.reject(error)

test('with serve_stale_for no series of one life of the server stand beside those of the next', async (t) => {
  const { options, pass } = setUp(t, { serveStaleForMs: 60_000 })
  let life = 1
  let registry = () => Promise.resolve({ families: [gauge('of_life', life)] })
  const ask = (tell: () => Promise<{ families: Family[] }>) => async () => ({
    ...(await tell()),
    invalid: new Map<string, number>(),
  })
  const scraper = createScraper({
    ...options,
    link: () => ({ connected: true, connects: life }),
    collectors: [
      { name: 'registry', collect: ask(() => registry()) },
      {
        name: 'quick',
        collect: ask(() => Promise.resolve({ families: [gauge('lives', life)] })),
      },
    ],
  })
  const bodyAfter = async (ms: number) => {
    pass(ms)
    return text(await scraper.scrape(1000))
  }
  assert.match(await bodyAfter(0), /^of_life 1$/m)
  registry = fails(new TimeoutError('no answer'))
  assert.match(await bodyAfter(1000), /^of_life 1$/m)
  life = 2
  const body = await bodyAfter(1000)
  assert.match(body, /^lives 2$/m)
  assert.doesNotMatch(body, /^of_life /m)
})

test('a part that is missing is a failure, logged once, and the rest is served', async (t) => {
  const failure = new CollectorError('too_many', 'too many users')
  const { scraper, warnings, pass } = tellerOf(t, {
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

test('a collector that is slow takes from a hasty scrape only its own series', async (t) => {
  const { scraper, pass } = tellerOf(t, {
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

test('the server is up when it answered anything, and what is from memory shows nothing', async (t) => {
  const kept = () => Promise.resolve({ families: FAMILIES, isFromCache: true })
  const bodyOf = async (told: Parameters<typeof tellerOf>[1], connected = true) => {
    const body = await text(await tellerOf(t, told, connected).scraper.scrape(1000))
    t.mock.timers.reset()
    return body
  }
  const dead = fails(new TimeoutError('no answer'))
  const down = await bodyOf({ kept, dead })
  assert.match(down, /^xmpp_up 0$/m)
  assert.doesNotMatch(down, /^test /m)
  assert.match(down, /^prosody_exporter_collector_success\{collector="kept"\} 0$/m)
  const refused = await bodyOf({ kept, dead, refused: fails(new StanzaError('forbidden', '', '')) })
  assert.match(refused, /^xmpp_up 1$/m)
  assert.match(refused, /^test 1$/m)
  assert.match(await bodyOf({ kept }), /^xmpp_up 1$/m, 'nothing was asked, and the link is up')
  assert.match(await bodyOf({ kept }, false), /^xmpp_up 0$/m)
})

const idle = () => Promise.resolve({ isIdle: true, isFromCache: true })
const failuresOf = (body: string) =>
  body.match(/(?<=^prosody_exporter_collection_failures_total)\{.* [^0]\d*$/gm) ?? []

test('a collector that nobody can answer exports nothing about itself, nor while the link is down', async (t) => {
  let isDown = false
  const orDown = (tell: () => Promise<Partial<Collected>>) => () =>
    isDown ? Promise.reject(new LinkError('no stream')) : tell()
  const { scraper, pass } = tellerOf(t, {
    busy: orDown(() => Promise.resolve({ families: FAMILIES })),
    idle: orDown(idle),
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

test('a collector that was idle shows its failure when the server refuses it', async (t) => {
  let tell = idle as () => Promise<Partial<Collected>>
  const { scraper, pass } = tellerOf(t, { some: () => tell() })
  assert.doesNotMatch(await text(await scraper.scrape(1000)), /collector="some"/)
  tell = fails(new StanzaError('forbidden', 'auth', ''))
  pass(1000)
  assert.match(await text(await scraper.scrape(1000)), /success\{collector="some"\} 0$/m)
})

test('a collector that is idle is missing for a hasty scrape too', async (t) => {
  let tell = idle as () => Promise<Partial<Collected>>
  const { scraper, pass } = tellerOf(t, { idle: () => tell(), busy: never })
  const first = scraper.scrape(500)
  await new Promise((resolve) => setImmediate(resolve))
  pass(11_000)
  await first
  tell = never
  const second = scraper.scrape(500)
  pass(500)
  const body = await text(await second)
  assert.match(body, /success\{collector="busy"\} 0$/m)
  assert.doesNotMatch(body, /collector="idle"/)
})

test('a lost link is one failure, as is a server that hangs, however many collectors it stops', async (t) => {
  const count = async (told: Parameters<typeof tellerOf>[1]) => {
    const body = await text(await tellerOf(t, told).scraper.scrape(1000))
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
    'the server answers, and these two are slow',
  )
})

test('a server that hangs is one line, however many collectors wait for it', async (t) => {
  const dead = fails(new TimeoutError('no answer'))
  const { scraper, warnings, pass } = tellerOf(t, { a: dead, b: dead, c: dead })
  for (let i = 0; i < 3; i++) {
    await scraper.scrape(1000)
    pass(1000)
  }
  assert.equal(warnings.length, 1)
})

test('a server that hangs is logged, also when one collector had timed out before', async (t) => {
  const dead = fails(new TimeoutError('no answer'))
  let isHanging = false
  const { scraper, warnings, pass } = tellerOf(t, {
    a: () => (isHanging ? dead() : Promise.resolve({ families: FAMILIES, invalid: new Map() })),
    b: dead,
  })
  await scraper.scrape(1000)
  assert.equal(warnings.length, 1)
  isHanging = true
  pass(1000)
  await scraper.scrape(1000)
  assert.equal(warnings.length, 2)
})

test('of two collectors that tell the same family the first is served', async (t) => {
  const { scraper } = tellerOf(t, {
    module: () => Promise.resolve({ families: [gauge('xmpp_online_users', 500)] }),
    command: () => Promise.resolve({ families: [gauge('xmpp_online_users', 200), gauge('b', 1)] }),
  })
  const body = await text(await scraper.scrape(1000))
  assert.deepEqual(body.match(/^(xmpp_online_users|b) .*$/gm), ['b 1', 'xmpp_online_users 500'])
  assert.doesNotMatch(body, /^prosody_exporter_samples_invalid/m)
})

test('a failure is logged once and not at every scrape, and another of its kind a minute later', async (t) => {
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

test('over the limit whole families are left out, the largest first, each named', async (t) => {
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

test('of two families of one name that are left out all series are counted', () => {
  const two = [1, 2].map((value) => family('gauge', 'twice', '', [{ value }]))
  assert.deepEqual([...limitSeries(two, 0).omitted], [['twice', 2]])
})

test('within the limit nothing is left out', () => {
  const { remaining, omitted } = limitSeries(FAMILIES, 1)
  assert.equal(remaining, FAMILIES)
  assert.equal(omitted.size, 0)
  mock.reset()
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { until } from '../support/setup/process.js'
import {
  difference,
  isMovingFamily,
  isServerFamily,
  NO_DIFFERENCE,
  readExporter,
  readExposition,
  seriesKey,
  seriesOf,
} from '../support/compare.js'
import { withExporterFor, type RunningExporter } from '../support/exporter.js'
import { legacyVersion, prosodyVersions, withProsody } from '../support/prosody.js'
import { evalLua, sampleValue, untilReady } from '../support/real.js'
import { login } from '../support/xmpp-client.js'

const FRESH = { PROSODY_EXPORTER_COLLECTION_MIN_AGE: '0s' }
const named = (names: string) => ({ ...FRESH, PROSODY_EXPORTER_EXPOSITION_NAMES: names })

/**
 * Returns the sample name and labels that mod_prometheus gives to a stat of get_stats(). The code follows the version
 * of 2021, the last one before Prosody 0.12. mod_prometheus fails on a stat without a section. It drops the host of a
 * stat with several values, but the exporter keeps the host.
 */
function modPrometheus(stat: string) {
  const ofModule = /^\/([^/]+)\/([^/]+)\/(.+):[a-z]+$/is.exec(stat)
  const other = /^([^.]+)\.(.+):[a-z]+$/is.exec(stat)
  if (!ofModule && !other) return undefined
  const [host, section, type] = ofModule ? ofModule.slice(1) : ['*', ...other!.slice(1)]
  const stripped = section!.replace(/^mod_measure_(?=.)|^mod_statistics_(?=.)/, '')
  return {
    name: `prosody_${stripped}`.replace(/[^A-Za-z0-9_]/g, '_'),
    labels: { type: type!, ...(host === '*' ? {} : { host }) },
  }
}

const OFF = 'mod_test_legacy/queue'

test(`on ${legacyVersion} the exporter has exactly the series of mod_prometheus, for every stat that it could read`, async (t) => {
  const prosody = await withProsody(t, {
    version: legacyVersion,
    users: { 'a@one.example': 'pw' },
    modules: ['test_eval', 'test_legacy'],
    // With this long interval, Prosody collects once when it starts, and then only when the test requests a collection.
    globals: { statistics_interval: '3600', muc_room_locking: 'false' },
    statsOptions: { adhoc_statistics_counts: '{}' },
  })
  const exporter = await withExporterFor(t, prosody, { env: named('mod_prometheus') })
  await untilReady(exporter, 200)
  const a = await login({ port: prosody.ports.c2s, jid: 'a@one.example', password: 'pw' })
  t.after(() => a.close())
  await a.joinRoom(`x@${prosody.rooms}`, 'a')
  for (const moves of [
    'for i = 1, 12 do m.rate() m.times()() m.sizes(4096 * i) m.counter(3) m.stanza() m.distribution(i) end',
    'm.rate() m.other_rate() m.amount(-1.5) m.odd(1/3) m.both(5) m.one_both(6) m.same_amount(4)',
    '',
  ]) {
    await evalLua(prosody, `local m = prosody.test_legacy ${moves} m.collect()`)
    const dump = await evalLua(prosody, 'return prosody.test_legacy.dump()')
    const expected = new Map<string, number>()
    const wanted = new Set<string>()
    for (const line of dump.split('\n')) {
      const [stat = '', ...fields] = line.split('\t')
      const shown = modPrometheus(stat)
      if (!shown) {
        assert.ok(stat.includes(OFF), stat)
        continue
      }
      const [value, , , average, min, max] = fields.map(Number)
      const isSampled = fields[6] !== '' || /:(duration|size|distribution)$/.test(stat)
      const values = isSampled ? { average, min, max } : { '': value }
      for (const [field, number] of Object.entries(values)) {
        const labels = { ...shown.labels, ...(field === '' ? {} : { field }) } as Record<
          string,
          string
        >
        const key = seriesKey(
          { name: shown.name, type: 'gauge' },
          { name: shown.name, labels, value: 0 },
        )
        // mod_prometheus writes test.same as an amount and as a rate. These are two samples of the same series, and
        // Prometheus stores only one of them.
        if (!wanted.has(key) || stat === 'test.same:amount') expected.set(key, number!)
        wanted.add(key)
      }
    }
    assert.ok(expected.size > 20)
    for (const format of ['text', 'openmetrics'] as const) {
      const families = (await readExporter(exporter, format)).filter(isServerFamily)
      const off = families.filter(({ name }) => name.includes('queue'))
      assert.deepEqual(
        off.map(({ name }) => name),
        ['', '_average', '_max', '_min'].map(
          (suffix) => `prosody___mod_test_legacy__queue${suffix}`,
        ),
      )
      const actual = seriesOf(families.filter((family) => !off.includes(family)))
      assert.deepEqual(difference(actual, expected), NO_DIFFERENCE)
    }
  }
  const { text } = await exporter.get('/metrics')
  assert.equal(sampleValue(text, 'prosody_mod_c2s{type="connections"}'), 1)
  assert.equal(
    sampleValue(text, 'prosody_exporter_samples_invalid{family="prosody_test"}'),
    1,
    'the exporter excludes one of the two samples of a series',
  )
  assert.equal(exporter.stderr().split('result in the same series of prosody_test.').length, 2)
})

/** Returns the name that a family gets with the value `single_underscore` of `exposition.names`. */
const singleUnderscore = (name: string) => name.replace(/^(prosody_mod_.+?)__/, '$1_')

for (const version of prosodyVersions) {
  test(`with all values of exposition.names, a dashboard for Prosody 0.11 works with ${version}, and every series has its new name too`, async (t) => {
    const statsDomains = ['stats.one.example', 'stats.two.example', 'stats.three.example']
    const prosody = await withProsody(t, {
      version,
      statsDomains,
      users: { 'a@one.example': 'pw' },
      globals: { muc_room_locking: 'false' },
    })
    const names = ['openmetrics', 'mod_prometheus', 'mod_prometheus,single_underscore,openmetrics']
    const [plain, old, all] = await Promise.all(
      statsDomains.map((domain, i) =>
        withExporterFor(t, prosody, { domain, env: named(names[i]!) }),
      ),
    )
    await Promise.all([plain!, old!, all!].map((exporter) => untilReady(exporter, 200)))
    const a = await login({ port: prosody.ports.c2s, jid: 'a@one.example', password: 'pw' })
    t.after(() => a.close())
    await a.joinRoom(`x@${prosody.rooms}`, 'a')

    const room = `{type="live_room",host="${prosody.rooms}"}`
    const misses = `{type="room_miss",host="${prosody.rooms}"}`
    const text = await until(
      async () => {
        const { text } = await old!.get('/metrics')
        return sampleValue(text, `prosody_mod_muc${room}`) === 1 && text
      },
      { what: 'the exposition contains the open room' },
    )
    assert.equal(sampleValue(text, 'prosody_mod_c2s{type="connections"}'), 1)
    assert.equal(sampleValue(text, 'prosody_mod_c2s{type="ipv6"}'), 0)
    assert.ok(sampleValue(text, `prosody_mod_muc${misses}`)! > 0)
    assert.ok(sampleValue(text, 'prosody_stats{type="collection",field="average"}')! > 0)
    assert.equal(
      sampleValue(text, `prosody_mod_muc__live_room{host="${prosody.rooms}"}`),
      undefined,
    )

    for (const format of ['text', 'openmetrics'] as const) {
      const read = async (exporter: RunningExporter) =>
        (await readExporter(exporter, format)).filter(
          (family) => isServerFamily(family) && !isMovingFamily(family),
        )
      const plainFamilies = await read(plain!)
      const ofOld = seriesOf(await read(old!))
      const ofAll = seriesOf(await read(all!))
      for (const family of plainFamilies) {
        for (const sample of family.samples) {
          const key = seriesKey(family, sample)
          assert.equal(ofAll.get(key), sample.value, key)
          const renamed = { ...sample, name: singleUnderscore(sample.name) }
          const singleKey = seriesKey({ ...family, name: singleUnderscore(family.name) }, renamed)
          assert.equal(ofAll.get(singleKey), sample.value, singleKey)
          if (ofOld.has(key)) continue
          // Without its new name, a series must be a gauge that has an old name with the same value.
          assert.equal(family.type, 'gauge', key)
          const [, section = '', type = ''] = /^(prosody_mod_.+?)__(.+)$/.exec(family.name) ?? []
          const oldType = family.unit === '' ? type : type.replace(`_${family.unit}`, '')
          const labels = { ...sample.labels, type: oldType }
          const oldKey = seriesKey(
            { name: section, type: 'gauge' },
            { ...sample, name: section, labels },
          )
          assert.equal(ofOld.get(oldKey), sample.value, oldKey)
          assert.equal(ofAll.get(oldKey), sample.value, oldKey)
        }
      }
    }
    const probe = await old!.get('/probe?target=stats.two.example')
    assert.equal(sampleValue(probe.text, 'prosody_mod_c2s{type="connections"}'), 1)
    assert.equal(sampleValue(probe.text, `prosody_mod_muc${room}`), 1)
    const [chosen] = readExposition(
      (await old!.get('/metrics?name[]=prosody_mod_c2s')).text,
      'text',
    )
    assert.deepEqual([chosen?.name, chosen?.samples.length], ['prosody_mod_c2s', 2])
    for (const exporter of [plain!, old!, all!]) {
      assert.doesNotMatch(exporter.stderr(), /exposition\.names/)
    }
  })
}

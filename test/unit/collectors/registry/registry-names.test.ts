import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { NameScheme } from '../../../../src/collectors/registry/name-schemes.js'
import { KEEP_ALL, type DropRule } from '../../../../src/collectors/registry/registry-filter.js'
import { createRegistryTables } from '../../../../src/collectors/registry/registry-lines.js'
import { prepareNaming } from '../../../../src/collectors/registry/registry-names.js'
import { render } from '../../../../src/exposition/exposition.js'
import { countValuesPerRow, type Family } from '../../../../src/metrics/family.js'
import { getLabels } from '../../../../src/metrics/labels.js'

/**
 * Creates an empty registry cache and the naming of its families. In the lines for `apply`, ` → ` stands for the tab
 * of the text format of mod_adhoc_statistics.
 */
function registry(schemes: readonly NameScheme[], drop: readonly DropRule[] = []) {
  const tables = createRegistryTables({ ...KEEP_ALL, drop })
  const logged: string[] = []
  const naming = prepareNaming(schemes, (line) => logged.push(line))!()
  let nowMs = 1000
  return {
    tables,
    logged,
    apply: (...lines: string[]) => {
      tables.apply(lines.map((line) => `${line.replaceAll(' → ', '\t')}\n`).join(''), 1, 1000)
      tables.settle()
    },
    families: () => naming.families(tables.sources(), nowMs),
    series: () => seriesOf(naming.families(tables.sources(), nowMs)),
    pass: (seconds: number) => {
      nowMs += seconds * 1000
    },
    clashes: () => Object.fromEntries(naming.clashes()),
  }
}

/** Returns the value of each series. For a histogram or summary, the result has only the sum and the count. */
function seriesOf(families: readonly Family[]): Record<string, number | number[]> {
  return Object.fromEntries(
    families.flatMap((family) =>
      Array.from(family.order, (row) => {
        const end = (row + 1) * countValuesPerRow(family)
        const values = Array.from(
          family.values.subarray(Math.max(end - 2, row * countValuesPerRow(family)), end),
        )
        const suffix = family.type === 'counter' ? '_total' : ''
        const name = `${family.name}${suffix}{${getLabels(family.labels, row)}}`
        return [name, values.length === 1 ? values[0]! : values] as const
      }),
    ),
  )
}

const MUC = [
  'F → 1 → counter → prosody_mod_muc/room_hit →  → mod_muc/room_hit counter → 1 → host',
  'F → 2 → gauge → prosody_mod_muc/live_room →  → mod_muc/live_room amount → 1 → host',
  'S → 1 → 1 → 1700000000 → r.example → 5',
  'S → 2 → 2 →  → r.example → 3',
]
const C2S = 'F → 3 → gauge → prosody_mod_c2s/connections →  → Clients → 3 → host → type → ip_family'

test('the naming scheme openmetrics needs no renaming, because the tables have its names', () => {
  assert.equal(
    prepareNaming(['openmetrics'], () => {}),
    undefined,
  )
})

describe('single_underscore', () => {
  test('the scheme single_underscore replaces `/` in a name by one underscore, and changes nothing else', () => {
    const { apply, families } = registry(['single_underscore'])
    apply(...MUC, 'F → 4 → gauge → lua_a__b →  →  → 0', 'S → 3 → 4 →  → 1')
    assert.deepEqual(
      families().map(({ name, type }) => [name, type]),
      [
        ['prosody_mod_muc_room_hit', 'counter'],
        ['prosody_mod_muc_live_room', 'gauge'],
        ['lua_a__b', 'gauge'],
      ],
    )
  })

  test('a family under its single_underscore name shares its data with the openmetrics one, and is served once if both names are the same', () => {
    const { apply, families } = registry(['openmetrics', 'single_underscore'])
    apply(...MUC, 'F → 4 → gauge → prosody_info →  →  → 0', 'S → 3 → 4 →  → 1')
    const [hit, room, info, hit1, room1, ...more] = families()
    assert.deepEqual(more, [])
    assert.deepEqual(
      [hit, room, info, hit1, room1].map((family) => family!.name),
      [
        'prosody_mod_muc__room_hit',
        'prosody_mod_muc__live_room',
        'prosody_info',
        'prosody_mod_muc_room_hit',
        'prosody_mod_muc_live_room',
      ],
    )
    for (const [a, b] of [
      [hit!, hit1!],
      [room!, room1!],
    ] as const) {
      assert.equal(a.values, b.values)
      assert.equal(a.labels.bytes, b.labels.bytes)
      assert.equal(a.order.buffer, b.order.buffer)
    }
    assert.equal(families()[3], hit1)
  })

  test('a renamed family keeps the object `order` while only values change, so the exposition can reuse cached text', () => {
    const { apply, families } = registry(['openmetrics', 'single_underscore'])
    apply(...MUC)
    const lines = () =>
      Buffer.from(render(families(), 'openmetrics', { created: false }))
        .toString()
        .split('\n')
        .filter((line) => /^[a-z]/.test(line))
    const expected = (hits: number) => [
      'prosody_mod_muc__live_room{host="r.example"} 3',
      `prosody_mod_muc__room_hit_total{host="r.example"} ${hits}`,
      'prosody_mod_muc_live_room{host="r.example"} 3',
      `prosody_mod_muc_room_hit_total{host="r.example"} ${hits}`,
    ]
    assert.deepEqual(lines(), expected(5))
    const before = families()[2]!
    apply('1 → 12')
    assert.deepEqual(lines(), expected(12))
    const after = families()[2]!
    assert.notEqual(after, before)
    // The exposition compares the object `order` of two snapshots to find out that only values differ.
    assert.equal(after.order, before.order)
  })

  test('if two families get the same name, the second family is omitted, logged once, and counted', () => {
    const { apply, families, clashes, logged } = registry(['single_underscore'])
    apply('F → 1 → gauge → a/b →  →  → 0', 'F → 2 → gauge → a_b →  →  → 1 → x', 'S → 1 → 1 →  → 1')
    assert.deepEqual(clashes(), {})
    apply('S → 2 → 2 →  → p → 2', 'S → 3 → 2 →  → q → 3')
    for (let i = 0; i < 2; i++) {
      assert.deepEqual(seriesOf(families()), { 'a_b{}': 1 })
      assert.deepEqual(clashes(), { a_b: 2 })
    }
    assert.deepEqual(logged, [
      'exposition.names: two statistics of Prosody result in the same series of a_b. The exporter serves the first ' +
        'statistic, and counts the series of the other one in prosody_exporter_samples_invalid. ' +
        'If openmetrics is the first of exposition.names, both are served.',
    ])
  })

  test('a dropped family does not clash with another family of the same name', () => {
    const drop = [{ family: /^a__b$/, labels: new Map() }]
    const { apply, series } = registry(['single_underscore'], drop)
    apply('F → 1 → gauge → a/b →  →  → 0', 'S → 1 → 1 →  → 1')
    apply('F → 2 → gauge → a_b →  →  → 0', 'S → 2 → 2 →  → 2')
    assert.deepEqual(series(), { 'a_b{}': 2 })
  })
})

describe('the scheme mod_prometheus with statistics of Prosody 0.12', () => {
  test('connections of all hosts are added up under the mod_prometheus name, and the openmetrics families are served too', () => {
    const { apply, series } = registry(['mod_prometheus'])
    const s2s = (id: number, way: string) =>
      `F → ${id} → gauge → prosody_mod_s2s/connections_${way} →  → S → 3 → host → type → ip_family`
    apply(
      C2S,
      s2s(4, 'inbound'),
      s2s(5, 'outbound'),
      'S → 1 → 3 →  → a.example → c2s → ipv4 → 5',
      'S → 2 → 3 →  → a.example → c2s → ipv6 → 2',
      'S → 3 → 3 →  → b.example → c2s → ipv4 → 1',
      'S → 4 → 4 →  → a.example → s2sin → ipv4 → 10',
      'S → 5 → 5 →  → a.example → s2sout → ipv6 → 20',
    )
    assert.deepEqual(series(), {
      'prosody_mod_c2s{type="connections"}': 8,
      'prosody_mod_c2s{type="ipv6"}': 2,
      'prosody_mod_s2s{type="connections"}': 30,
      'prosody_mod_s2s{type="ipv6"}': 20,
      'prosody_mod_c2s__connections{host="a.example",type="c2s",ip_family="ipv4"}': 5,
      'prosody_mod_c2s__connections{host="a.example",type="c2s",ip_family="ipv6"}': 2,
      'prosody_mod_c2s__connections{host="b.example",type="c2s",ip_family="ipv4"}': 1,
      'prosody_mod_s2s__connections_inbound{host="a.example",type="s2sin",ip_family="ipv4"}': 10,
      'prosody_mod_s2s__connections_outbound{host="a.example",type="s2sout",ip_family="ipv6"}': 20,
    })
    apply('1 → 0', 'S → 6 → 3 →  → c.example → c2s → ipv6 → 4')
    assert.equal(series()['prosody_mod_c2s{type="connections"}'], 7)
    assert.equal(series()['prosody_mod_c2s{type="ipv6"}'], 6)
  })

  test('a gauge is served only under its mod_prometheus name, which its HELP text or its family name contains', () => {
    const { apply, series } = registry(['mod_prometheus'])
    apply(
      'F → 1 → gauge → prosody_client_presence.away →  → client_presence.away amount → 0',
      'F → 2 → gauge → prosody_mod_http_file_share/total_storage_bytes → bytes → Sum → 1 → host',
      'F → 3 → gauge → prosody_mod_measure_muc/hidden →  → mod_measure_muc/hidden amount → 1 → host',
      'F → 4 → gauge → prosody_mod_statistics_x/y.z/a"b →  → help → 0',
      'S → 1 → 1 →  → 1',
      'S → 2 → 2 →  → u.example → 2',
      'S → 3 → 3 →  → r"\\\\.example → 3',
      'S → 4 → 4 →  → 4',
    )
    assert.deepEqual(series(), {
      'prosody_client_presence{type="away"}': 1,
      'prosody_mod_http_file_share{type="total_storage",host="u.example"}': 2,
      'prosody_muc{type="hidden",host="r\\"\\\\.example"}': 3,
      'prosody_x{type="y.z/a\\"b"}': 4,
    })
  })

  test('a family without a mod_prometheus name is served under its openmetrics name', () => {
    const { apply, series } = registry(['mod_prometheus'])
    apply(
      'F → 1 → counter → process_cpu_seconds → seconds →  → 0',
      'F → 2 → gauge → prosody_info →  →  → 1 → version',
      'F → 3 → counter → prosody_mod_s2s/closed →  →  → 2 → host → error',
      'F → 4 → gauge → prosody_/odd →  →  → 0',
      'F → 5 → gauge → prosody_mod_x/y →  →  → 1 → room',
      'F → 6 → gauge → xmpp_online_users →  →  → 1 → host',
      'S → 1 → 1 →  → 1',
      'S → 2 → 2 →  → 13.0.1 → 1',
      'S → 3 → 3 →  → a → reset → 3',
      'S → 4 → 4 →  → 4',
      'S → 5 → 5 →  → kitchen → 5',
      'S → 6 → 6 →  → a → 6',
    )
    const expected = {
      'process_cpu_seconds_total{}': 1,
      'prosody_info{version="13.0.1"}': 1,
      'prosody_mod_s2s__closed_total{host="a",error="reset"}': 3,
      'prosody___odd{}': 4,
      'prosody_mod_x__y{room="kitchen"}': 5,
      'xmpp_online_users{host="a"}': 6,
    }
    assert.deepEqual(series(), expected)
  })

  test('a counter is also served as a rate per second over at least ten seconds', () => {
    const { apply, series, pass } = registry(['mod_prometheus'])
    const rate = () => series()['prosody_mod_muc{type="room_hit",host="r.example"}']
    apply(...MUC)
    assert.equal(rate(), undefined)
    assert.equal(series()['prosody_mod_muc__room_hit_total{host="r.example"}'], 5)
    pass(15)
    apply('1 → 35')
    assert.equal(rate(), 2)
    // A second Prometheus server scrapes 0.3 seconds after the first one. Its rate covers the last 15.3 seconds.
    pass(0.3)
    assert.equal(rate(), 30 / 15.3)
    pass(14.7)
    apply('1 → 50')
    assert.equal(rate(), 1)
    pass(10)
    assert.equal(rate(), 0)
  })

  test('the rate of a counter that was reset or is new counts from zero', () => {
    const { apply, series, pass } = registry(['mod_prometheus'])
    apply(...MUC)
    series()
    pass(10)
    apply('1 → 4', 'S → 3 → 1 →  → new.example → 7')
    const now = series()
    assert.equal(now['prosody_mod_muc{type="room_hit",host="r.example"}'], 0.4)
    assert.equal(now['prosody_mod_muc{type="room_hit",host="new.example"}'], 0.7)
  })

  test('a histogram of durations is served as an average, and also with its buckets', () => {
    const { apply, series, pass } = registry(['mod_prometheus'])
    const average = () => series()['prosody_stats{type="collection",field="average"}']
    apply(
      'F → 1 → histogram → prosody_stats.collection_seconds → seconds → stats.collection times → 0 → 0.1 → +Inf',
      'S → 1 → 1 →  → 2 → 4 → 3 → 4',
    )
    assert.equal(average(), undefined)
    pass(10)
    assert.equal(average(), 0)
    pass(10)
    apply('1 → 5 → 10 → 3 → 10')
    assert.equal(average(), 0.5)
    assert.deepEqual(series()['prosody_stats_collection_seconds{}'], [5, 10])
  })

  test('a stanza that mod_measure_stanza_counts counts for each host is counted once under the mod_prometheus name', () => {
    const { apply, series, pass } = registry(['mod_prometheus'])
    apply(
      'F → 1 → counter → prosody_mod_measure_stanza_counts/received →  → Stanzas → 3 → host → session_type → stanza_kind',
      'S → 1 → 1 →  → a → c2s → iq → 10',
      'S → 2 → 1 →  → b → c2s → iq → 10',
      'S → 3 → 1 →  → b → s2sin → iq → 1',
    )
    series()
    pass(20)
    apply('1 → 30', '2 → 30')
    const { 'prosody_stanza_counts{type="incoming_c2s_iq"}': c2s, ...rest } = series()
    assert.equal(c2s, 1)
    assert.equal(rest['prosody_stanza_counts{type="incoming_s2sin_iq"}'], 0)
    assert.equal(Object.keys(rest).filter((name) => name.includes('__received_total')).length, 3)
  })

  test('with the schemes mod_prometheus and openmetrics, each family is served once under its openmetrics name', () => {
    const both = registry(['mod_prometheus', 'openmetrics'])
    const other = registry(['openmetrics', 'mod_prometheus'])
    for (const { apply, pass, series } of [both, other]) {
      apply(...MUC, C2S, 'S → 3 → 3 →  → a → c2s → ipv6 → 5')
      series()
      pass(10)
      assert.deepEqual(series(), {
        'prosody_mod_muc{type="room_hit",host="r.example"}': 0,
        'prosody_mod_muc{type="live_room",host="r.example"}': 3,
        'prosody_mod_c2s{type="connections"}': 5,
        'prosody_mod_c2s{type="ipv6"}': 5,
        'prosody_mod_muc__room_hit_total{host="r.example"}': 5,
        'prosody_mod_muc__live_room{host="r.example"}': 3,
        'prosody_mod_c2s__connections{host="a",type="c2s",ip_family="ipv6"}': 5,
      })
    }
  })

  test('a series without a value is missing under the names of both schemes', () => {
    const { apply, series } = registry(['mod_prometheus', 'openmetrics'])
    apply(...MUC)
    apply('2 → ')
    assert.deepEqual(Object.keys(series()), ['prosody_mod_muc__room_hit_total{host="r.example"}'])
    apply('2 → 4')
    assert.equal(series()['prosody_mod_muc{type="live_room",host="r.example"}'], 4)
  })
})

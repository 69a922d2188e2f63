import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  KEEP_ALL,
  type RegistryFilter,
} from '../../../../src/collectors/registry/registry-filter.js'
import { createRegistryTables } from '../../../../src/collectors/registry/registry-lines.js'
import {
  escapeName,
  parseNumber,
  unescape,
} from '../../../../src/collectors/registry/registry-text.js'
import { DecodeError } from '../../../../src/errors.js'
import type { Family } from '../../../../src/metrics/family.js'

/** Applies lines of mod_adhoc_statistics to an empty registry cache. In the lines, ` → ` stands for the tab. */
function read(...lines: string[]) {
  return readWith({}, ...lines)
}

function readWith(filter: Partial<RegistryFilter>, ...lines: string[]) {
  const tables = createRegistryTables({ ...KEEP_ALL, ...filter })
  tables.apply(lines.map((line) => `${line.replaceAll(' → ', '\t')}\n`).join(''), 1, 100)
  tables.settle()
  const families = Array.from(tables.sources(), ({ table }) => table.snapshot())
  return { tables, families, invalid: Object.fromEntries(tables.invalid()) }
}

function rows(family: Family | undefined): Record<string, number[]> {
  assert.ok(family)
  const { bytes, ends } = family.labels
  const width = family.values.length / family.length
  return Object.fromEntries(
    Array.from(family.order, (row) => [
      Buffer.from(bytes.subarray(row === 0 ? 0 : ends[row - 1], ends[row])).toString(),
      Array.from(family.values.subarray(row * width, (row + 1) * width)),
    ]),
  )
}

const GAUGE = 'F → 1 → gauge → prosody_mod_c2s/connections →  → Clients → 2 → host → type'

test('names of families and labels of series are converted to those of Prometheus', () => {
  const { families } = read(
    GAUGE,
    'S → 1 → 1 →  → a.example → c2s → 5',
    'S → 2 → 1 →  → b.example → c2s → 0.25',
  )
  assert.equal(families[0]!.name, 'prosody_mod_c2s__connections')
  assert.equal(families[0]!.help, 'Clients')
  assert.deepEqual(rows(families[0]), {
    'host="a.example",type="c2s"': [5],
    'host="b.example",type="c2s"': [0.25],
  })
})

test('a line with an id and a value changes the value of a series that an earlier line defined', () => {
  const { tables } = read(GAUGE, 'S → 1 → 1 →  → a → b → 5')
  tables.apply('1\t7\n', 1, 1)
  assert.deepEqual(rows([...tables.sources()][0]!.table.snapshot()), { 'host="a",type="b"': [7] })
})

test('the buckets of a histogram are sorted by their bounds, and a repeated bound is stored once', () => {
  const { families } = read(
    'F → 1 → histogram → h →  →  → 0 → 10 → 0.1 → 10 → +Inf',
    'S → 1 → 1 → 1700000000.5 → 12.5 → 4 → 3 → 1 → 3 → 4',
  )
  assert.deepEqual(families[0]!.bounds, [0.1, 10, Infinity])
  assert.deepEqual(rows(families[0]), { '': [1, 3, 4, 12.5, 4] })
  assert.equal(families[0]!.created![0], 1700000000.5)
})

test('values in every notation of C are parsed', () => {
  const spellings = [
    'nan',
    '-nan',
    'inf',
    '-inf',
    '1e+308',
    '-0',
    '5e-324',
    '9007199254740992',
    '-nan(ind)',
  ]
  const { families } = read(
    'F → 1 → gauge → g →  →  → 1 → n',
    ...spellings.map((text, i) => `S → ${i + 1} → 1 →  → ${i} → ${text}`),
  )
  assert.deepEqual(
    Object.values(rows(families[0])).map(([value]) => value),
    [NaN, NaN, Infinity, -Infinity, 1e308, -0, 5e-324, 2 ** 53, NaN],
  )
})

test('escaped label values are decoded to valid UTF-8, and different bytes result in different label values', () => {
  const texts: [string, string][] = [
    ['plain', 'plain'],
    ['a\\tb\\nc\\rd\\\\e\\x1b', 'a\tb\\nc\rd\\\\e\x1b'],
    ['\\\\x41', '\\\\x41'],
    ['\\xc3\\xa9', 'é'],
    ['\\xef\\xbf\\xbf', '\uFFFF'],
    ['\\xff', '\uFFFDff'],
    ['\uFFFDff', '\uFFFDef\uFFFDbf\uFFFDbdff'],
    ['\\xef\\xbf\\xbd\\xff', '\uFFFDef\uFFFDbf\uFFFDbd\uFFFDff'],
    ['\\xed\\xa0\\x80', '\uFFFDed\uFFFDa0\uFFFD80'],
    ['é\\xff\\xf0\\x9f\\x98\\x80', 'é\uFFFDff😀'],
    ['quote"', 'quote\\"'],
  ]
  const { families, invalid } = read(
    'F → 1 → gauge → g →  →  → 1 → n',
    ...texts.map(([text], i) => `S → ${i + 1} → 1 →  → ${text} → ${i}`),
  )
  const expected = Object.fromEntries(texts.map(([, shown], i) => [`n="${shown}"`, [i]]))
  assert.deepEqual(rows(families[0]), expected)
  assert.deepEqual(invalid, {})
})

test('a series that cannot be exported is omitted and counted as invalid', () => {
  const { families, invalid } = read(
    GAUGE,
    'S → 1 → 1 →  → a → b → ',
    'S → 2 → 1 →  → a → c → 1',
    'S → 3 → 1 →  → a → c → 2',
    'X → 4 → 1',
    'F → 2 → gauge → twice →  →  → 2 → a-b → a_b',
    'S → 5 → 2 →  → 1 → 2 → 3',
  )
  assert.deepEqual(rows(families[0]), { 'host="a",type="c"': [1] })
  assert.equal(families.length, 1)
  assert.deepEqual(invalid, { prosody_mod_c2s__connections: 3, twice: 1 })
})

test('a series whose value was not a number is exported when its value becomes a number', () => {
  const { tables } = read(GAUGE, 'S → 1 → 1 →  → a → b → ')
  tables.apply('1\t7\n', 1, 1)
  assert.deepEqual(rows([...tables.sources()][0]!.table.snapshot()), { 'host="a",type="b"': [7] })
  assert.deepEqual([...tables.invalid()], [])
})

for (const [what, line] of Object.entries({
  'an id out of range': 'S → 101 → 1 →  → a → b → 1',
  'an id that skips ids': 'S → 99 → 1 →  → a → b → 1',
  'an omitted series with an id that skips ids': 'X → 99 → 1',
  'an id that is not a number': 'S → x → 1 →  → a → b → 1',
  'a prototype name as id': '__proto__ → 1',
  'a series of an unknown family': 'S → 1 → 9 →  → a → b → 1',
  'values of an unknown series': '7 → 1',
  'too few fields': 'S → 1 → 1 →  → a',
  'too many values': 'S → 1 → 1 →  → a → b → 1 → 2',
  'a value of blanks': 'S → 1 → 1 →  → a → b →  ',
  'a value in hexadecimal': 'S → 1 → 1 →  → a → b → 0x10',
  'an unknown type': 'F → 3 → stateset → s →  →  → 0',
  'a number of labels that is not a number': 'F → 3 → gauge → s →  →  → many',
})) {
  test(`${what} in a line of mod_adhoc_statistics is an error that describes the line`, () => {
    assert.throws(
      () => read(GAUGE, line),
      (error) =>
        error instanceof DecodeError && /^statistics line: expected .*, got ./.test(error.message),
    )
  })
}

// `npm run fuzz` found that a backslash at the end of a text caused a TypeError.
test('a backslash at the end of a family name or a label value stands for itself', () => {
  const { families } = read(
    'F → 1 → gauge → load\\x41\\ →  →  → 1 → host',
    'S → 1 → 1 →  → \\x41\\ → 5',
  )
  assert.equal(families[0]!.name, 'loadA_')
  assert.deepEqual(rows(families[0]), { 'host="A\\\\"': [5] })
})

const TYPED = (type: string, name: string) => `F → ${type} → ${type} → ${name} →  →  → 1 → host`
const VALUES: Readonly<Record<string, string>> = { summary: '1 → 2' }
/**
 * Returns the lines of one family per entry of `names` (type and name), with one series for each host. Series ids
 * start at 1.
 */
function families(names: Readonly<Record<string, string>>, hosts: readonly string[] = ['a']) {
  let id = 0
  return Object.entries(names).flatMap(([type, name]) => [
    TYPED(type, name),
    ...hosts.map((host) => `S → ${++id} → ${type} →  → ${host} → ${VALUES[type] ?? '1'}`),
  ])
}
const namesOf = (list: readonly Family[]) =>
  list.filter(({ order }) => order.length > 0).map(({ name }) => name)

test('a drop rule without labels drops the whole family, and can name a counter with or without _total', () => {
  const all = families({ counter: 'logins', gauge: 'clients', summary: 'sizes' }, ['a', 'b'])
  const without = (family: RegExp) => {
    const drop = [{ family, labels: new Map<string, RegExp>() }]
    const { families, invalid } = readWith({ drop }, ...all)
    // Dropped series are not counted as invalid.
    assert.deepEqual(invalid, {})
    return namesOf(families)
  }
  assert.deepEqual(without(/^logins$/), ['clients', 'sizes'])
  assert.deepEqual(without(/^logins_total$/), ['clients', 'sizes'])
  assert.deepEqual(without(/^clients$/), ['logins', 'sizes'])
  assert.deepEqual(without(/^clients_total$/), ['logins', 'clients', 'sizes'])
  assert.deepEqual(without(/^(logins|sizes)$/), ['clients'])
  assert.deepEqual(without(/^other$/), ['logins', 'clients', 'sizes'])
})

test('a drop rule with labels drops the series whose labels all match, and treats a missing label as empty', () => {
  const all = families({ gauge: 'clients' }, ['a.example', 'b.example', ''])
  const shown = (labels: Readonly<Record<string, RegExp>>, family = /^clients$/) => {
    const drop = [{ family, labels: new Map(Object.entries(labels)) }]
    const { families, invalid, tables } = readWith({ drop }, ...all)
    assert.deepEqual(invalid, {})
    // A new value for the dropped series with the id 1 has no effect.
    tables.apply('1\t7\n', 1, 3)
    return Object.keys(rows(families[0]))
  }
  const everything = ['host=""', 'host="a.example"', 'host="b.example"']
  assert.deepEqual(shown({ host: /^a/ }), ['host=""', 'host="b.example"'])
  assert.deepEqual(shown({ host: /^$/ }), ['host="a.example"', 'host="b.example"'])
  assert.deepEqual(shown({ host: /^a/, type: /^c2s$/ }), everything)
  assert.deepEqual(shown({ host: /^a/, type: /^$/ }), ['host=""', 'host="b.example"'])
  assert.deepEqual(shown({ host: /^a/ }, /^other$/), everything)
})

test('a series with a label value that is too long for the exporter or for mod_adhoc_statistics is omitted and counted as invalid', () => {
  const lines = families({ gauge: 'g' }, ['12345', '123456', '😀😀', '😀😀😀'])
  const limited = readWith({ labelValueLength: 5 }, ...lines, 'X → 5 → gauge', 'X → 5 → gauge')
  assert.deepEqual(Object.keys(rows(limited.families[0])), ['host="12345"', 'host="😀😀"'])
  assert.deepEqual(limited.invalid, { g: 3 })
  const { tables } = limited
  tables.apply('2\t9\n5\t9\n1\t8\n', 1, 5)
  assert.deepEqual(Object.values(rows([...tables.sources()][0]!.table.snapshot())), [[8], [1]])
  assert.deepEqual(tables.describe(2), 'gauge g not shown')
  assert.deepEqual(tables.describe(5), 'gauge g not shown')
  // A series with a label value that is too long is not counted as invalid if its family is dropped.
  const drop = [{ family: /^g$/, labels: new Map<string, RegExp>() }]
  const dropped = readWith({ drop, labelValueLength: 5 }, ...lines, 'X → 5 → gauge')
  assert.deepEqual(dropped.invalid, {})
})

test('a family that would make Prometheus reject the scrape is omitted, and its series are counted as invalid', () => {
  for (const [what, family] of Object.entries({
    'no name': 'F → 1 → gauge →  →  →  → 1 → a',
    'a label without a name': 'F → 1 → gauge → g →  →  → 1 → ',
    'a label __name__': 'F → 1 → gauge → g →  →  → 1 → __name__',
    'a label le of a histogram': 'F → 1 → histogram → g →  →  → 1 → le → +Inf',
  })) {
    const isHistogram = family.includes('histogram')
    const { families, invalid } = read(
      family,
      `S → 1 → 1 →  → x → ${isHistogram ? '1 → 1 → 1' : '1'}`,
      TYPED('gauge', 'other'),
      'S → 2 → gauge →  → a → 5',
    )
    assert.deepEqual(namesOf(families), ['other'], what)
    assert.deepEqual(Object.values(invalid), [1], what)
  }
  for (const [what, family, values] of [
    ['no buckets', 'F → 1 → histogram → g →  →  → 1 → a', '1 → 1'],
    ['a bound that is not a number', 'F → 1 → histogram → g →  →  → 1 → a → nan', '1 → 1 → 1'],
    ['a quantile that is not a number', 'F → 1 → summary → g →  →  → 1 → a → nan', '1 → 1 → 1'],
  ] as const) {
    const { families, invalid } = read(family, `S → 1 → 1 →  → x → ${values}`)
    assert.deepEqual(namesOf(families), [], what)
    assert.deepEqual(invalid, { g: 1 }, what)
  }
  // A gauge or a summary can have a label `le`.
  assert.deepEqual(
    namesOf(
      read('F → 1 → gauge → g →  →  → 1 → le', 'S → 1 → 1 →  → x → 1').families.concat(
        read('F → 1 → summary → s →  →  → 1 → le', 'S → 1 → 1 →  → x → 1 → 1').families,
      ),
    ),
    ['g', 's'],
  )
})

test('a family can have more than ten labels', () => {
  const labels = Array.from({ length: 11 }, (_, i) => `l${i}`)
  const { families } = read(
    `F → 1 → gauge → g →  →  → 11 → ${labels.join(' → ')}`,
    `S → 1 → 1 →  → ${labels.join(' → ')} → 5`,
  )
  assert.deepEqual(rows(families[0]), {
    [labels.map((label) => `${label}="${label}"`).join(',')]: [5],
  })
})

test('5,000 series are defined, and then changed by their ids', () => {
  const tables = createRegistryTables()
  const last = 5000
  const ids = Array.from({ length: last }, (_, i) => i + 1)
  tables.apply(`F\t1\tgauge\tg\t\t\t1\tn\n${ids.map((id) => `S\t${id}\t1\t\t${id}\t0`).join('\n')}\n`, 1, last) // prettier-ignore
  tables.apply(ids.map((id) => `${id}\t${id * 2}\n`).join(''), 1, last)
  const shown = rows([...tables.sources()][0]!.table.snapshot())
  assert.equal(Object.keys(shown).length, last)
  for (const id of ids) assert.deepEqual(shown[`n="${id}"`], [id * 2])
})

test('of two histogram buckets with the same bound, the first count is stored, also when the values change', () => {
  const lines = ['F → 1 → histogram → h →  →  → 0 → 1 → 1 → +Inf']
  const { tables } = read(...lines, 'S → 1 → 1 →  → 9 → 3 → 1 → 2 → 3')
  tables.apply('1\t10\t5\t4\t77\t5\n', 1, 1)
  assert.deepEqual(rows([...tables.sources()][0]!.table.snapshot()), { '': [4, 5, 10, 5] })
})

test('the cached state of a series can be described as text for an audit', () => {
  const { tables } = read(GAUGE, 'S → 1 → 1 →  → a → b → 5', 'X → 2 → 1')
  const name = 'gauge prosody_mod_c2s__connections'
  assert.equal(tables.describe(1), `${name} {host="a",type="b"} NaN 5`)
  assert.equal(tables.describe(2), `${name} not shown`)
  assert.equal(tables.describe(3), 'unknown')
})

test('an error about an invalid line has the kind, the id and the number of fields of the line, but never the whole line', () => {
  const messageFor = (line: string) => {
    try {
      read(GAUGE, line)
    } catch (error) {
      return (error as Error).message
    }
    return undefined
  }
  assert.equal(
    messageFor('S → 9 → 1 →  → secret → b → 1'),
    'statistics line: expected an id from 1 to 1, got "S" "9" and 5 more fields',
  )
  assert.equal(
    messageFor('x'),
    'statistics line: expected an id from 1 to 100, got "x" "" and 0 more fields',
  )
  assert.equal(
    messageFor('S → 1 → 1 →  → a → b → secret'),
    'statistics line: expected a number, got "secret"',
  )
})

test('parseNumber accepts numbers in the notation of C, and throws DecodeError for every other text', () => {
  const numbers: readonly (readonly [string, number])[] = [
    ['', NaN],
    ['0', 0],
    ['+1', 1],
    ['-12', -12],
    ['1.', 1],
    ['1.25', 1.25],
    ['.5', 0.5],
    ['.25', 0.25],
    ['1e5', 1e5],
    ['1E5', 1e5],
    ['1e+15', 1e15],
    ['1.5e-15', 1.5e-15],
    ['inf', Infinity],
    ['+Inf', Infinity],
    ['-infinity', -Infinity],
    ['nan', NaN],
    ['-nan', NaN],
    ['NaN(0x8)', NaN],
    ['nan()', NaN],
  ]
  for (const [text, number] of numbers) assert.deepEqual(parseNumber(text), number, text)
  for (const text of [
    ' ',
    '.',
    '+',
    '-',
    'e5',
    '1e',
    '.x',
    '1 ',
    ' 1',
    '1x',
    'x1',
    '0x10',
    '1_0',
    '1.2.3',
    '--1',
    'xinf',
    'infx',
    'xnan',
    'nanx',
    'nan(',
    'nan(-)',
    'infinit',
  ]) {
    // prettier-ignore
    assert.throws(() => parseNumber(text), DecodeError, text)
  }
})

test('unescape decodes a text of mod_adhoc_statistics to the bytes that it has in Prosody', () => {
  const texts: readonly (readonly [string, string])[] = [
    ['', ''],
    ['plain é', 'plain é'],
    ['a\\tb\\nc\\rd\\\\e', 'a\tb\nc\rd\\e'],
    ['\\"', '"'],
    ['\\x41\\t\\x42', 'A\tB'],
    ['\uFFFD', '\uFFFDef\uFFFDbf\uFFFDbd'],
    ['\\t\uFFFD', '\t\uFFFDef\uFFFDbf\uFFFDbd'],
    ['\\xe2\\x82\\xac', '€'],
    ['\\xe2\\x82', '\uFFFDe2\uFFFD82'],
    ['\\xe2\\x82x', '\uFFFDe2\uFFFD82x'],
    ['\\xf0\\x9f\\x98\\x80\\xf0', '😀\uFFFDf0'],
    ['\\xf8\\x88\\x80\\x80\\x80', '\uFFFDf8\uFFFD88\uFFFD80\uFFFD80\uFFFD80'],
  ]
  for (const [text, bytes] of texts) assert.equal(unescape(text), bytes, text)
})

test('escapeName converts names as mod_http_openmetrics does', () => {
  const names: readonly (readonly [string, string])[] = [
    ['prosody_mod_c2s/connections', 'prosody_mod_c2s__connections'],
    ['a.b-c:d', 'a_b_c_d'],
    ['1a', '_1a'],
    ['/a', '__a'],
    ['é', '__'],
    ['\\x41\\t', 'A_'],
    ['', ''],
  ]
  for (const [name, shown] of names) assert.equal(escapeName(name), shown, name)
  assert.equal(escapeName('a/b/c', '_'), 'a_b_c')
})

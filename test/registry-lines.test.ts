import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRegistryTables } from '../src/collectors/registry-lines.js'
import { DecodeError } from '../src/errors.js'
import type { Family } from '../src/metrics/family.js'

/** Lines as the module writes them, with ` → ` for the tab. */
function read(...lines: string[]) {
  const tables = createRegistryTables()
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

test('a family and its series become what Prometheus calls them', () => {
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

test('values alone change the series told before', () => {
  const { tables } = read(GAUGE, 'S → 1 → 1 →  → a → b → 5')
  tables.apply('1\t7\n', 1, 1)
  assert.deepEqual(rows([...tables.sources()][0]!.table.snapshot()), { 'host="a",type="b"': [7] })
})

test('a histogram is sorted by its bounds, whatever order they come in, and one bound stays one', () => {
  const { families } = read(
    'F → 1 → histogram → h →  →  → 0 → 10 → 0.1 → 10 → +Inf',
    'S → 1 → 1 → 1700000000.5 → 12.5 → 4 → 3 → 1 → 3 → 4',
  )
  assert.deepEqual(families[0]!.bounds, [0.1, 10, Infinity])
  assert.deepEqual(rows(families[0]), { '': [1, 3, 4, 12.5, 4] })
  assert.equal(families[0]!.created![0], 1700000000.5)
})

test('numbers are read in every spelling of C', () => {
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

test('escapes give back the bytes, shown as valid UTF-8 and never two alike', () => {
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

test('what can not be shown is counted and not made up', () => {
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

test('a value that is a number again comes back', () => {
  const { tables } = read(GAUGE, 'S → 1 → 1 →  → a → b → ')
  tables.apply('1\t7\n', 1, 1)
  assert.deepEqual(rows([...tables.sources()][0]!.table.snapshot()), { 'host="a",type="b"': [7] })
  assert.deepEqual([...tables.invalid()], [])
})

for (const [what, line] of Object.entries({
  'an id out of range': 'S → 101 → 1 →  → a → b → 1',
  'an id with none before it': 'S → 99 → 1 →  → a → b → 1',
  'an id with none before it, left out': 'X → 99 → 1',
  'an id that is no number': 'S → x → 1 →  → a → b → 1',
  'a prototype name as id': '__proto__ → 1',
  'a series of an unknown family': 'S → 1 → 9 →  → a → b → 1',
  'values of an unknown series': '7 → 1',
  'too few fields': 'S → 1 → 1 →  → a',
  'too many values': 'S → 1 → 1 →  → a → b → 1 → 2',
  'a value of blanks': 'S → 1 → 1 →  → a → b →  ',
  'a value in hexadecimal': 'S → 1 → 1 →  → a → b → 0x10',
  'an unknown type': 'F → 3 → stateset → s →  →  → 0',
  'a number of labels that is none': 'F → 3 → gauge → s →  →  → many',
})) {
  test(`${what} is an error that shows the line`, () => {
    assert.throws(
      () => read(GAUGE, line),
      (error) => error instanceof DecodeError && /expected .*, got ./.test(error.message),
    )
  })
}

// Found by `npm run fuzz`: it was a TypeError.
test('an escape sign at the end of a name or of a value escapes nothing', () => {
  const { families } = read(
    'F → 1 → gauge → load\\x41\\ →  →  → 1 → host',
    'S → 1 → 1 →  → \\x41\\ → 5',
  )
  assert.equal(families[0]!.name, 'loadA_')
  assert.deepEqual(rows(families[0]), { 'host="A\\\\"': [5] })
})

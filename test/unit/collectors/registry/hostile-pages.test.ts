// These tests run the collector `registry` against a server that sends invalid replies instead of those of
// mod_adhoc_statistics. The collection fails with an error that names the reason. After the next valid reply, all
// series have the right values.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { reasonOf } from '../../../../src/collectors/failure.js'
import { KEEP_ALL } from '../../../../src/collectors/registry/registry-filter.js'
import { createRegistryTables } from '../../../../src/collectors/registry/registry-lines.js'
import {
  createRegistryCollector,
  REGISTRY_NODE,
} from '../../../../src/collectors/registry/registry.js'
import { DecodeError } from '../../../../src/errors.js'
import { render } from '../../../../src/exposition/exposition.js'
import { xml, type Element } from '../../../../src/xmpp/xml.js'
import { createRegistryModel } from '../../../support/registry-model.js'

/** Makes a valid reply invalid: changes its payload `statistics`. */
type Lie = (statistics: Element, request: Element) => void

const attr =
  (name: string, value: string | undefined): Lie =>
  ({ attrs }) => {
    if (value === undefined) Reflect.deleteProperty(attrs, name)
    else attrs[name] = value
  }
const lines =
  (change: (text: string) => string): Lie =>
  (statistics) => {
    const element = statistics.getChild('lines')!
    const text = change(element.text())
    element.children = [text]
  }
const line = (text: string): Lie => lines((before) => `${before}${text}\n`)
const F = 'F\t9\tgauge\tevil\t\t\t'

const lies: readonly (readonly [what: string, lie: Lie, expected: RegExp])[] = [
  ['no epoch', attr('epoch', undefined), /^statistics: expected an attribute epoch, got none$/],
  ['an empty epoch', attr('epoch', ''), /an attribute epoch/],
  ['no change number', attr('change', undefined), /an attribute change/],
  [
    'a fraction as change number',
    attr('change', '1.5'),
    /statistics change: expected a whole number, got 1\.5/,
  ],
  ['a negative size', attr('size', '-3'), /statistics size: expected a whole number/],
  ['a size with too many digits', attr('size', '9'.repeat(16)), /a whole number/],
  ['a last id in scientific notation', attr('last', '1e2'), /a whole number/],
  [
    'a page that ends after the last id',
    attr('last', '7'),
    /^statistics: expected the last id of the page from 1 to 6, got 7$/,
  ],
  [
    'a page that ends before it begins',
    attr('last', '0'),
    /the last id of the page from 1 to 6, got 0/,
  ],
  [
    'pages that go backwards',
    ({ attrs }, request) => {
      if (request.attrs['first'] !== '1') attrs['last'] = '1'
    },
    /the last id of the page from 4 to 6, got 1/,
  ],
  ['an id before the page', line('0\t1'), /an id from 1 to 3/],
  ['an id after the page', line('6\t1'), /an id from 1 to 3/],
  ['an id far above the page', line('S\t4000000000\t0\t\tz\t1'), /an id from 1 to 3/],
  ['an id that is a property name', line('toString\t1'), /an id from 1 to 3/],
  ['an id that is a fraction', line('1.5\t1'), /an id from 1 to 3/],
  [
    'a value of a series that was not defined',
    lines(() => '1\t5\n'),
    /the id of a series that an earlier line defines|an id from 4 to 6/,
  ],
  [
    'a series of a family that was not defined',
    line('S\t3\t77\t\tz\t1'),
    /the number of a family that an earlier line defines/,
  ],
  ['a family of an unknown type', line('F\t9\tnumber\tx\t\t\t0'), /a family line/],
  [
    'a family whose type is an inherited property name',
    line('F\t9\tconstructor\tx\t\t\t0'),
    /a family line/,
  ],
  ['a family of the type __proto__', line('F\t9\t__proto__\tx\t\t\t0'), /a family line/],
  ['a family line that is cut off', line('F\t9\tgauge\tx'), /a family line/],
  [
    'a family that announces more labels than its line has',
    line(`${F}3\ta`),
    /as many label names/,
  ],
  ['a family with a negative number of labels', line(`${F}-1\ta\tb`), /as many label names/],
  ['a family with a fraction as number of labels', line(`${F}0.5\ta`), /as many label names/],
  ['a family with a text as number of labels', line(`${F}x\ta`), /as many label names/],
  [
    'a long value that is not a number',
    line(`1\t${'1'.repeat(400_000)}x`),
    /a number, got "1{79}…/,
  ],
  [
    'a line of a megabyte',
    line(`S\t3\t0\t\t${'x'.repeat(1e6)}\t1`),
    /at most 524288 char.*1000009/,
  ],
  ['more series than the maximum', attr('size', '20000001'), /at most 20000000, got 20000001/],
  ['a series without its label value', line('S\t3\t0\t\t1'), /1 labels and 1 values/],
  ['a series with too many values', line('S\t3\t0\t\tz\t1\t2'), /1 labels and 1 values/],
  ['two values for a gauge', line('1\t1\t2'), /1 values/],
  ...['0x10', ' 1', '1 ', '1_000', '1,5', '--1', '٣', 'Infinit', 'nan()x', 'true', '1e', '.'].map(
    (text) => [`the value ${JSON.stringify(text)}`, line(`1\t${text}`), /a number/] as const,
  ),
]

const noPause = () => Promise.resolve()

function createLiar() {
  const model = createRegistryModel()
  for (const label of 'abcdef') model.set(label < 'd' ? 0 : 1, label, 1)
  const server = model.connect(() => 'answered')
  let lie: Lie | undefined
  const connection: Parameters<typeof createRegistryCollector>[0] = {
    ...server,
    async request(type, child, options) {
      const reply = await server.request(type, child, options)
      const request = child.getChild('statistics', REGISTRY_NODE)!
      lie?.(reply.getChild('command')!.getChild('statistics')!, request)
      return reply
    },
  }
  const collector = createRegistryCollector(connection)
  const collect = () => collector.collect({ timeoutMs: 1000 })
  const exporterFamilies = async () => (await collect()).exporterFamilies ?? []
  const samples = async () => {
    const { families } = await collect()
    const text = Buffer.from(render(families, 'text', { created: false })).toString()
    return text.split('\n').filter((each) => /^[^#]/.test(each))
  }
  return {
    model,
    samples,
    exporterFamilies,
    setLie: (next: Lie | undefined) => (lie = next),
  }
}

describe('invalid replies to the collector registry', () => {
  for (const [what, lie, expected] of lies) {
    for (const when of ['first', 'second'] as const) {
      test(`the ${when} collection fails if the server sends ${what}`, async () => {
        const { model, samples, setLie } = createLiar()
        if (when === 'second') {
          await samples()
          model.set(0, 'a', 2)
        }
        setLie(lie)
        await assert.rejects(samples(), (error) => {
          assert.ok(error instanceof DecodeError, String(error))
          assert.equal(reasonOf(error), 'decode')
          assert.match(error.message, expected)
          return true
        })
        setLie(undefined)
        const exported = await samples()
        assert.equal(exported.length, 6)
        assert.ok(exported.includes(`test_0_0{label="a"} ${when === 'second' ? 2 : 1}`))
      })
    }
  }
})

test('a collection fails if each page of the registry has another epoch', async () => {
  const { samples, setLie } = createLiar()
  let epoch = 100
  setLie(({ attrs }) => {
    attrs['epoch'] = String(epoch++)
  })
  await assert.rejects(
    samples(),
    /one epoch for all pages, got a change of the epoch in each of 4 attempts/,
  )
  assert.ok(epoch < 120, `${epoch - 100} pages`)
})

test('if the registry is replaced by a smaller one between two pages, the collector reads it again from the first series', async () => {
  const { samples, setLie } = createLiar()
  let times = 0
  setLie(({ attrs }, request) => {
    if (request.attrs['first'] === '1' || times++ > 0) return
    // If the requested ids do not exist, mod_adhoc_statistics sets `last` to the id before the first requested one.
    Object.assign(attrs, { epoch: 'another', size: '2', last: '3' })
  })
  assert.equal((await samples()).length, 6)
  assert.equal(times > 0, true)
})

test('the time when Prosody last collected its statistics is exported if the server reports it', async () => {
  const { setLie, exporterFamilies } = createLiar()
  const updated = async () =>
    (await exporterFamilies()).find(({ name }) => name.includes('_updated_'))?.values[0]
  setLie(attr('updated', '1700000000.5'))
  assert.equal(await updated(), 1700000000.5)
  setLie(attr('updated', undefined))
  assert.equal(await updated(), undefined)
})

test('a reply with a payload in another namespace makes the collection fail', async () => {
  const collector = createRegistryCollector({
    domain: 'stats.example',
    request: () => {
      const xmlns = 'http://jabber.org/protocol/commands'
      const attrs = { xmlns, node: REGISTRY_NODE, status: 'completed' }
      const other = xml('statistics', { xmlns: 'urn:example:other', epoch: '1' })
      return Promise.resolve(xml('iq', {}, xml('command', attrs, other)))
    },
  })
  await assert.rejects(
    collector.collect({ timeoutMs: 1000 }),
    /^DecodeError: statistics: expected a payload of urn:prosody-exporter:statistics:1, got none$/,
  )
})

test('a family name or label value that contains line feeds, or is a property name of all objects, results in one valid sample', async () => {
  const { samples, setLie } = createLiar()
  const names = [
    '__proto__',
    'constructor',
    'toString',
    'x 1\\nevil',
    'x{a=\\"b\\"} 1 #',
    'é/ü',
    '',
  ]
  const values = ['\\n evil 1', '\\"} 2 #', '\\\\', '__proto__', '\\x00\\xff', '\u2028']
  const inject = lines(() =>
    names
      .map((name, i) => `F\t${i}\tgauge\t${name}\t\thelp\\n# EOF\t1\tlabel\n`)
      .concat(values.map((value, i) => `S\t${i + 1}\t${i}\t\t${value}\t${i}\n`))
      .join(''),
  )
  setLie((statistics, request) => {
    inject(statistics, request)
    statistics.attrs['last'] = '6'
    statistics.attrs['epoch'] = 'hostile'
  })
  const exported = await samples()
  assert.equal(exported.length, 6)
  for (const sample of exported) {
    assert.match(sample, /^[A-Za-z_][A-Za-z0-9_]*\{label="(?:[^"\\\n]|\\[\\"n])*"\} [0-5]$/)
  }
})

test('if the server sends too many series, the largest families are not stored, and their series are counted by family name', async () => {
  const model = createRegistryModel()
  model.pageSize = 40_000
  model.set(1, 'small', 1)
  const filter = { ...KEEP_ALL, maxSeries: 1000 }
  const connection = model.connect(() => 'answered')
  const collector = createRegistryCollector(connection, { filter, auditEvery: 3, pause: noPause })
  const collect = async () => {
    const { families, omitted } = await collector.collect({ timeoutMs: 20_000 })
    const stored = families.map(({ name, length, labels }) => [name, length, labels.bytes.length])
    return { stored, omitted: [...omitted!] }
  }
  // These series are more than the 1,000 that may be exported, but fewer than the cache can store. The snapshot omits
  // families later, so the collector omits none.
  model.add(0, 80_000)
  assert.deepEqual((await collect()).omitted, [])
  model.add(0, 160_000)
  const expected = {
    stored: [
      ['test_1_0', 1, 64],
      ['test_0_0', 0, 64],
    ],
    omitted: [['test_0_0', 240_000]],
  }
  // Every third collection has an audit of the cache. The audit finds no mismatch in spite of the omitted family.
  for (let i = 1; i <= 3; i++) {
    model.move(0, i)
    model.move(100, i)
    assert.deepEqual(await collect(), expected)
  }
})

test('a registry with so many families that they exceed the memory limit without any series is an error', () => {
  const tables = createRegistryTables({ ...KEEP_ALL, maxSeries: 1000 })
  for (let id = 0; id < 30_000; id++) tables.apply(`F\t${id}\tgauge\tx${id}\t\t\t0`, 1, 1)
  assert.throws(() => {
    tables.settle()
  }, DecodeError)
})

// A server that lies in what mod_adhoc_statistics would answer: each lie is a failed collection with its
// reason, and the next honest answer is read right, from the beginning.

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

type Lie = (statistics: Element, asked: Element) => void

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
  ['no number of changes', attr('change', undefined), /an attribute change/],
  ['half a change', attr('change', '1.5'), /statistics change: expected a whole number, got 1\.5/],
  ['a negative size', attr('size', '-3'), /statistics size: expected a whole number/],
  ['a size of too many digits', attr('size', '9'.repeat(16)), /a whole number/],
  ['a last id in another notation', attr('last', '1e2'), /a whole number/],
  [
    'a page that ends after the last id',
    attr('last', '7'),
    /^statistics: expected the last id from 1 to 6, got 7$/,
  ],
  ['a page that ends before it begins', attr('last', '0'), /the last id from 1 to 6, got 0/],
  [
    'pages that go backwards',
    ({ attrs }, asked) => {
      if (asked.attrs['first'] !== '1') attrs['last'] = '1'
    },
    /the last id from 4 to 6, got 1/,
  ],
  ['an id before the page', line('0\t1'), /an id from 1 to 3/],
  ['an id after the page', line('6\t1'), /an id from 1 to 3/],
  ['an id far off', line('S\t4000000000\t0\t\tz\t1'), /an id from 1 to 3/],
  ['an id that is none', line('toString\t1'), /an id from 1 to 3/],
  ['an id of fractions', line('1.5\t1'), /an id from 1 to 3/],
  [
    'a value of a series never told',
    lines(() => '1\t5\n'),
    /the id of a series told before|an id from 4 to 6/,
  ],
  ['a series of a family never told', line('S\t3\t77\t\tz\t1'), /the id of a family told before/],
  ['a family of no type', line('F\t9\tnumber\tx\t\t\t0'), /a family line/],
  ['a family of an inherited type', line('F\t9\tconstructor\tx\t\t\t0'), /a family line/],
  ['a family of the type __proto__', line('F\t9\t__proto__\tx\t\t\t0'), /a family line/],
  ['a family that is cut off', line('F\t9\tgauge\tx'), /a family line/],
  ['more labels than there are', line(`${F}3\ta`), /names of labels/],
  ['minus one label', line(`${F}-1\ta\tb`), /names of labels/],
  ['half a label', line(`${F}0.5\ta`), /names of labels/],
  ['labels that are no number', line(`${F}x\ta`), /names of labels/],
  ['a value that is long to read', line(`1\t${'1'.repeat(400_000)}x`), /a number, got "1{79}…/],
  [
    'a line of a megabyte',
    line(`S\t3\t0\t\t${'x'.repeat(1e6)}\t1`),
    /at most 524288 char.*1000009/,
  ],
  ['more series than anybody has', attr('size', '20000001'), /at most 20000000, got 20000001/],
  ['a series without its label', line('S\t3\t0\t\t1'), /1 labels and 1 values/],
  ['a series with too many values', line('S\t3\t0\t\tz\t1\t2'), /1 labels and 1 values/],
  ['too many values', line('1\t1\t2'), /1 values/],
  ...['0x10', ' 1', '1 ', '1_000', '1,5', '--1', '٣', 'Infinit', 'nan()x', 'true', '1e', '.'].map(
    (text) => [`the value ${JSON.stringify(text)}`, line(`1\t${text}`), /a number/] as const,
  ),
]

const noPause = () => Promise.resolve()

function liar() {
  const model = createRegistryModel()
  for (const label of 'abcdef') model.set(label < 'd' ? 0 : 1, label, 1)
  const server = model.connect(() => 'answered')
  let lie: Lie | undefined
  const connection: Parameters<typeof createRegistryCollector>[0] = {
    ...server,
    async request(type, child, options) {
      const reply = await server.request(type, child, options)
      const asked = child.getChild('statistics', REGISTRY_NODE)!
      lie?.(reply.getChild('command')!.getChild('statistics')!, asked)
      return reply
    },
  }
  const collector = createRegistryCollector(connection)
  const collect = () => collector.collect({ timeoutMs: 1000 })
  const about = async () => (await collect()).about ?? []
  const samples = async () => {
    const { families } = await collect()
    const text = Buffer.from(render(families, 'text', { created: false })).toString()
    return text.split('\n').filter((each) => /^[^#]/.test(each))
  }
  return {
    model,
    samples,
    about,
    tell: (next: Lie | undefined) => (lie = next),
  }
}

describe('a server that tells', () => {
  for (const [what, lie, expected] of lies) {
    for (const when of ['at first', 'later'] as const) {
      test(`${what}, ${when}, has told nothing`, async () => {
        const { model, samples, tell } = liar()
        if (when === 'later') {
          await samples()
          model.set(0, 'a', 2)
        }
        tell(lie)
        await assert.rejects(samples(), (error) => {
          assert.ok(error instanceof DecodeError, String(error))
          assert.equal(reasonOf(error), 'decode')
          assert.match(error.message, expected)
          return true
        })
        tell(undefined)
        const told = await samples()
        assert.equal(told.length, 6)
        assert.ok(told.includes(`test_0_0{label="a"} ${when === 'later' ? 2 : 1}`))
      })
    }
  }
})

test('a server whose epoch is another one in each page is given up, not asked for ever', async () => {
  const { samples, tell } = liar()
  let epoch = 100
  tell(({ attrs }) => {
    attrs['epoch'] = String(epoch++)
  })
  await assert.rejects(samples(), /one epoch for a whole run, got a new one each time/)
  assert.ok(epoch < 120, `${epoch - 100} pages`)
})

test('a registry that became another and smaller one between two pages is read from its beginning', async () => {
  const { samples, tell } = liar()
  let times = 0
  tell(({ attrs }, asked) => {
    if (asked.attrs['first'] === '1' || times++ > 0) return
    // Of ids that there are not the module says how far it was asked.
    Object.assign(attrs, { epoch: 'another', size: '2', last: '3' })
  })
  assert.equal((await samples()).length, 6)
  assert.equal(times > 0, true)
})

test('when the server last collected is told where the server tells it', async () => {
  const { tell, about } = liar()
  const updated = async () =>
    (await about()).find(({ name }) => name.includes('_updated_'))?.values[0]
  tell(attr('updated', '1700000000.5'))
  assert.equal(await updated(), 1700000000.5)
  tell(attr('updated', undefined))
  assert.equal(await updated(), undefined)
})

test('a page of another payload is none', async () => {
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

test('names made to inject lines, and names of every object, come out as one sample each', async () => {
  const { samples, tell } = liar()
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
  tell((statistics, asked) => {
    inject(statistics, asked)
    statistics.attrs['last'] = '6'
    statistics.attrs['epoch'] = 'hostile'
  })
  const told = await samples()
  assert.equal(told.length, 6)
  for (const sample of told) {
    assert.match(sample, /^[A-Za-z_][A-Za-z0-9_]*\{label="(?:[^"\\\n]|\\[\\"n])*"\} [0-5]$/)
  }
})

test('of many more series than are served the largest families are not kept, and are told by name', async () => {
  const model = createRegistryModel()
  model.pageSize = 40_000
  model.set(1, 'small', 1)
  const filter = { ...KEEP_ALL, maxSeries: 1000 }
  const connection = model.connect(() => 'answered')
  const collector = createRegistryCollector(connection, { filter, auditEvery: 3, pause: noPause })
  const collect = async () => {
    const { families, leftOut } = await collector.collect({ timeoutMs: 20_000 })
    const kept = families.map(({ name, length, labels }) => [name, length, labels.bytes.length])
    return { kept, leftOut: [...leftOut!] }
  }
  // Not yet twice what is served, and what is to spare: whoever serves them looks for the largest.
  model.add(0, 80_000)
  assert.deepEqual((await collect()).leftOut, [])
  model.add(0, 160_000)
  const told = {
    kept: [
      ['test_1_0', 1, 64],
      ['test_0_0', 0, 64],
    ],
    leftOut: [['test_0_0', 240_000]],
  }
  // The third compares with a reading from nothing, and finds nothing wrong.
  for (let i = 1; i <= 3; i++) {
    model.move(0, i)
    model.move(100, i)
    assert.deepEqual(await collect(), told)
  }
})

test('families for which there is no room, even without series, are no registry', () => {
  const tables = createRegistryTables({ ...KEEP_ALL, maxSeries: 1000 })
  for (let id = 0; id < 30_000; id++) tables.apply(`F\t${id}\tgauge\tx${id}\t\t\t0`, 1, 1)
  assert.throws(() => {
    tables.settle()
  }, DecodeError)
})

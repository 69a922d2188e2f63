import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { metricsDocument } from '../../../src/catalogue/metrics-document.js'
import {
  findDocumented,
  headingOf,
  chooseHelp,
  hasSameShape,
  type ReportedFamily,
} from '../../../src/catalogue/index.js'
import { AREAS } from '../../../src/collectors/documentation.js'
import { COLLECTORS } from '../../../src/collectors/index.js'
import { getExposedName } from '../../../src/exposition/metric-names.js'
import { getLabels } from '../../../src/metrics/labels.js'
import {
  createProcessFamilies,
  createServerFamilies,
  createUpFamily,
} from '../../../src/metrics/own-families.js'
import { getWebConfigFamilies } from '../../../src/access/access-gate.js'

const documented = AREAS.flatMap(({ families }) => families)

test('docs/metrics.md has a heading for each family, by which a page can link to it', () => {
  const headings = Array.from(
    metricsDocument(AREAS).matchAll(/^### `(.*)`$/gm),
    ([, name]) => name!,
  )
  assert.deepEqual(headings, documented.map(headingOf))
  assert.equal(new Set(headings).size, headings.length, 'each once')
  for (const family of documented) assert.equal(headingOf(family), getExposedName(family, 'text'))
})

test('the meaning of a family is one line that ends with a period and has no Markdown, so it can be the HELP text', () => {
  for (const { name, meaning } of documented) assert.match(meaning, /^[A-Z][^`\n]*\.$/, name)
  const notes = documented.flatMap(({ watch = 'X.', defect = 'X.' }) => [watch, defect])
  for (const note of notes) assert.match(note, /^[A-Z`][^\n]*\.$/)
})

test('every family of the exporter itself is documented with its HELP text as the meaning', () => {
  const families = [
    ...createServerFamilies(
      {
        up: true,
        endedAtSeconds: 1,
        collectors: [{ name: 'ping', success: true, durationSeconds: 1 }],
        invalid: new Map([['x', 1]]),
        omitted: new Map([['x', 1]]),
        series: 1,
      },
      { connected: true, connects: 1 },
      { collections: 1, failures: new Map([['timeout', 1]]) },
    ),
    ...getWebConfigFamilies({ isSuccessful: true, lastSuccessSeconds: 0 }),
    ...createProcessFamilies(
      '1.0.0',
      {
        cpuSeconds: 1,
        residentMemoryBytes: 1,
        startTimeSeconds: 1,
        openFds: 1,
        maxFds: 1,
      },
      { isSuccessful: true, lastSuccessSeconds: 1 },
    ),
  ]
  assert.ok(families.length > 15)
  for (const { name, type, help, labels } of families) {
    const known = findDocumented(name)
    assert.ok(known, `${name}: document it in src/catalogue/exporter-families.ts`)
    const names = Array.from(getLabels(labels, 0).matchAll(/(\w+)="/g), ([, label]) => label!)
    assert.ok(hasSameShape(known, { type, labels: names }), `${name}: ${type} of ${names.join()}`)
    assert.equal(known.meaning, help, name)
  }
  assert.ok(findDocumented(createUpFamily([]).name))
})

test('each family of a collector is documented once', () => {
  const names = documented.map(({ name }) => name)
  for (const { name } of COLLECTORS.flatMap(({ families }) => families)) {
    assert.equal(names.filter((each) => each === name).length, 1, name)
  }
})

describe('the HELP text of a family of the server', () => {
  const family = (changes: Partial<ReportedFamily> = {}): ReportedFamily => ({
    name: 'prosody_mod_muc__room_hit',
    type: 'counter',
    unit: '',
    help: 'mod_muc/room_hit counter',
    labels: ['host'],
    ...changes,
  })
  const MEANING = 'Number of room lookups that found the room in memory.'
  const bytes = { name: 'prosody_mod_http_file_share__upload_bytes', unit: 'bytes' }

  test('is the meaning in the catalogue if the server has no text, or only repeats the name', () => {
    for (const help of [
      ...['', ' ', 'mod_muc/room_hit counter', 'mod_muc/room_hit', 'room_hit', 'room_hit counter'],
      ...['mod_muc__room_hit.', 'mod_muc/room_hit rate'],
    ]) {
      assert.equal(chooseHelp(family({ help })), MEANING, JSON.stringify(help))
    }
    const sizes = { ...bytes, type: 'histogram', help: 'mod_http_file_share/upload sizes' }
    assert.equal(chooseHelp(family(sizes)), 'Size of the uploaded files.')
  })

  test('is the text of the server if it says anything else', () => {
    for (const help of [
      ...['Rooms found', 'room_hit of all rooms', 'mod_muc/room_miss counter', 'counter of rooms'],
      'mod_muc/room_hit times; the sum is an estimate',
    ]) {
      assert.equal(chooseHelp(family({ help })), help)
    }
  })

  test('stays the same if the name is not documented, or has another type or other labels', () => {
    for (const changes of [
      { name: 'prosody_mod_mine__room_hit', help: 'mod_mine/room_hit counter' },
      { name: 'constructor', help: '' },
      { type: 'gauge' },
      { labels: [] },
      { labels: ['host', 'room'] },
    ]) {
      assert.equal(chooseHelp(family(changes)), family(changes).help)
    }
  })

  test('is the meaning in the catalogue also for a name with a variable part', () => {
    const name = 'prosody_mod_measure_storage__accounts_keyval_get_seconds'
    const changes = { name, type: 'histogram', unit: 'seconds', help: '' }
    assert.equal(
      chooseHelp(family(changes)),
      'Duration of one operation on one store of Prosody (mod_measure_storage).',
    )
  })
})

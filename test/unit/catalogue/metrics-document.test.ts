import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { metricsDocument } from '../../../src/catalogue/metrics-document.js'
import {
  findDocumented,
  headingOf,
  helpFor,
  isSame,
  type Described,
} from '../../../src/catalogue/index.js'
import { AREAS } from '../../../src/collectors/documentation.js'
import { COLLECTORS } from '../../../src/collectors/index.js'
import { exposedName } from '../../../src/exposition/metric-names.js'
import { labelsOf } from '../../../src/metrics/family.js'
import { processFamilies, serverFamilies, upFamily } from '../../../src/metrics/own-families.js'
import { webFamilies } from '../../../src/access/access-gate.js'

const documented = AREAS.flatMap(({ families }) => families)

test('docs/metrics.md has a heading for each family, by which a page can link to it', () => {
  const headings = Array.from(
    metricsDocument(AREAS).matchAll(/^### `(.*)`$/gm),
    ([, name]) => name!,
  )
  assert.deepEqual(headings, documented.map(headingOf))
  assert.equal(new Set(headings).size, headings.length, 'each once')
  for (const family of documented) assert.equal(headingOf(family), exposedName(family, 'text'))
})

test('what a family means is a sentence on one line, without Markdown, so that it can be its HELP', () => {
  for (const { name, meaning } of documented) assert.match(meaning, /^[A-Z][^`\n]*\.$/, name)
  const notes = documented.flatMap(({ watch = 'X.', defect = 'X.' }) => [watch, defect])
  for (const note of notes) assert.match(note, /^[A-Z`][^\n]*\.$/)
})

test('every family about ourselves is documented, in the words of its HELP', () => {
  const families = [
    ...serverFamilies(
      {
        up: true,
        endedAtSeconds: 1,
        collectors: [{ name: 'ping', success: true, durationSeconds: 1 }],
        invalid: new Map([['x', 1]]),
        leftOut: new Map([['x', 1]]),
        series: 1,
      },
      { connected: true, connects: 1 },
      { collections: 1, failures: new Map([['timeout', 1]]) },
    ),
    ...webFamilies({ isSuccessful: true, lastSuccessSeconds: 0 }),
    ...processFamilies(
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
    const names = Array.from(labelsOf(labels, 0).matchAll(/(\w+)="/g), ([, label]) => label!)
    assert.ok(isSame(known, { type, labels: names }), `${name}: ${type} of ${names.join()}`)
    assert.equal(known.meaning, help, name)
  }
  assert.ok(findDocumented(upFamily([]).name))
})

test('each family of a collector is documented once', () => {
  const names = documented.map(({ name }) => name)
  for (const { name } of COLLECTORS.flatMap(({ families }) => families)) {
    assert.equal(names.filter((each) => each === name).length, 1, name)
  }
})

describe('the HELP that is served', () => {
  const family = (changes: Partial<Described> = {}): Described => ({
    name: 'prosody_mod_muc__room_hit',
    type: 'counter',
    unit: '',
    help: 'mod_muc/room_hit counter',
    labels: ['host'],
    ...changes,
  })
  const OURS = 'Rooms that were looked for and were in memory.'
  const bytes = { name: 'prosody_mod_http_file_share__upload_bytes', unit: 'bytes' }

  test('is ours where the server has none, or only the name again', () => {
    for (const help of [
      ...['', ' ', 'mod_muc/room_hit counter', 'mod_muc/room_hit', 'room_hit', 'room_hit counter'],
      ...['mod_muc__room_hit.', 'mod_muc/room_hit rate'],
    ]) {
      assert.equal(helpFor(family({ help })), OURS, JSON.stringify(help))
    }
    const sizes = { ...bytes, type: 'histogram', help: 'mod_http_file_share/upload sizes' }
    assert.equal(helpFor(family(sizes)), 'Size of files that were uploaded.')
  })

  test('is the server’s where it says anything else', () => {
    for (const help of [
      ...['Rooms found', 'room_hit of all rooms', 'mod_muc/room_miss counter', 'counter of rooms'],
      'mod_muc/room_hit times; the sum is an estimate',
    ]) {
      assert.equal(helpFor(family({ help })), help)
    }
  })

  test('is left as it is for a name that we do not know, or another family of a name that we know', () => {
    for (const changes of [
      { name: 'prosody_mod_mine__room_hit', help: 'mod_mine/room_hit counter' },
      { name: 'constructor', help: '' },
      { type: 'gauge' },
      { labels: [] },
      { labels: ['host', 'room'] },
    ]) {
      assert.equal(helpFor(family(changes)), family(changes).help)
    }
  })

  test('finds a family whose name has a part that others choose', () => {
    const name = 'prosody_mod_measure_storage__accounts_keyval_get_seconds'
    const changes = { name, type: 'histogram', unit: 'seconds', help: '' }
    assert.equal(
      helpFor(family(changes)),
      'Time that this operation on this store took (mod_measure_storage).',
    )
  })
})

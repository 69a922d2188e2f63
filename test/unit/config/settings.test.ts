import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { listKeysAt } from '../../../src/config/config-file-schema.js'
import { SETTINGS } from '../../../src/config/settings.js'

describe('each setting of the table', () => {
  for (const { name, kind, key, defaults, hasFlag, isListOptional, isRepeatable } of SETTINGS) {
    test(`${name} has valid defaults`, () => {
      const from = 'default'
      for (const text of defaults) kind.parse({ from, source: from, text })
      assert.ok(isRepeatable || defaults.length < 2)
    })

    test(`${name} can be set`, () => {
      if (kind.type === 'action') assert.deepEqual([hasFlag, key], [undefined, undefined])
      if (isListOptional) assert.ok(isRepeatable && key !== undefined)
    })

    if (key === undefined) continue
    test(`${name} is in the schema of the configuration file`, () => {
      const path = key
        .split('.')
        .flatMap((step) => (step === 'servers[]' ? ['servers', 0] : [step]))
      const known = listKeysAt(path.slice(0, -1)).split(/, | or /)
      assert.ok(known.includes(String(path.at(-1))), known.join(' '))
    })
  }
})

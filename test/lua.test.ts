import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { root } from '../scripts/process.js'
import { luacheck } from '../scripts/installation.js'

test('luacheck finds nothing in the companion module', async () => {
  const modules = join(root, 'prosody-modules')
  const config = join(modules, '.luacheckrc')
  const { code, output } = await luacheck(['--config', config, '--no-color', modules])
  assert.match(output, /8 files/)
  assert.equal(code, 0, output)
})

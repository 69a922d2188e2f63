import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { luacheck } from '../support/setup/installation.js'
import { filesIn } from '../support/setup/programs.js'
import { root } from '../support/setup/process.js'

test('luacheck finds no problem in mod_adhoc_statistics', async () => {
  const modules = join(root, 'prosody-modules')
  const config = join(modules, '.luacheckrc')
  const { code, output } = await luacheck(['--config', config, '--no-color', modules])
  const files = await filesIn(join(modules, 'mod_adhoc_statistics'), '.lua')
  assert.ok(output.includes(` in ${files.length} files`), output)
  assert.equal(code, 0, output)
})

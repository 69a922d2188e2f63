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

test('luacheck finds no problem in the script with which setup reads the configuration of Prosody', async () => {
  const config = join(root, 'prosody-modules', '.luacheckrc')
  const script = join(root, 'src/cli/setup/read-configuration.lua')
  const globals = ['--read-globals', 'CFG_PLUGINDIR']
  const { code, output } = await luacheck(['--config', config, '--no-color', script, ...globals])
  assert.equal(code, 0, output)
})

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { root } from '../../support/setup/process.js'

const read = (path: string) => readFileSync(join(root, path), 'utf8')
const example = read('prosody-example.cfg.lua')
const { dependencies, devDependencies } = JSON.parse(read('package.json')) as Record<
  string,
  Record<string, string>
>

test('the README has at most 150 lines and 10 KB', () => {
  const readme = read('README.md')
  assert.ok(readme.split('\n').length <= 150)
  assert.ok(Buffer.byteLength(readme) <= 10_000)
})

test('docs/architecture.md has the reason for every dependency', () => {
  const page = read('docs/architecture.md')
  const names = Object.keys({ ...dependencies, ...devDependencies })
  assert.deepEqual(
    names.filter((name) => !name.startsWith('@types/') && !page.includes(`\`${name}\``)),
    [],
  )
})

test('each package that is installed with the exporter is locked by a hash and has no install script', () => {
  type Locked = { dev?: true; hasInstallScript?: true; integrity?: string }
  const { packages } = JSON.parse(read('package-lock.json')) as {
    packages: Record<string, Locked>
  }
  const others = Object.entries(packages).filter(([path, { dev }]) => path !== '' && !dev)
  for (const [path, { hasInstallScript, integrity }] of others) {
    assert.equal(hasInstallScript, undefined, path)
    assert.match(integrity ?? '', /^sha512-/, path)
  }
  assert.match(read('docs/threat-model.md'), new RegExp(`, ${others.length} with their own,`))
})

test('the lines for Prosody in docs/install.md are in the example', () => {
  const [, block = ''] = /```lua\n([^]*?)```/.exec(read('docs/install.md')) ?? []
  const lines = block.split('\n').map((line) => line.trim())
  const given = lines.filter((line) => line && !line.startsWith('--'))
  assert.ok(given.length >= 6)
  for (const line of given.filter((text) => !text.startsWith('component_secret'))) {
    assert.ok(
      example.split('\n').some((text) => text.trim() === line),
      line,
    )
  }
})

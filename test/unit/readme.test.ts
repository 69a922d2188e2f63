import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { root } from '../../scripts/process.js'
import { COLLECTORS } from '../../src/collectors/index.js'
import { helpText } from '../../src/settings.js'

const readme = readFileSync(join(root, 'README.md'), 'utf8')
const example = readFileSync(join(root, 'prosody-example.cfg.lua'), 'utf8')

test('the README names every flag and environment variable that --help names', () => {
  const names = helpText().match(/--[a-z][a-z.-]+|PROSODY_EXPORTER_[A-Z_]+/g)
  assert.ok(names && names.length > 10)
  assert.deepEqual(
    [...new Set(names)].filter((name) => !readme.includes(`\`${name}`)),
    [],
  )
})

test('the README tells of every collector whether it is on', () => {
  const [, table = ''] = /<!-- collectors -->([^]*)<!-- \/collectors -->/.exec(readme) ?? []
  const rows = Array.from(table.matchAll(/^\| `(\w+)` +\| (on|off) /gm), ([, name, state]) => [
    name,
    state === 'on',
  ])
  assert.deepEqual(
    rows,
    COLLECTORS.map(({ name, isOn }) => [name, isOn]),
  )
})

test('the README names every dependency with its reason', () => {
  const { dependencies, devDependencies } = JSON.parse(
    readFileSync(join(root, 'package.json'), 'utf8'),
  ) as Record<string, Record<string, string>>
  const names = Object.keys({ ...dependencies, ...devDependencies })
  assert.deepEqual(
    names.filter((name) => !name.startsWith('@types/') && !readme.includes(`\`${name}\``)),
    [],
  )
})

test('what runs with us is locked by its hash, runs nothing when it is installed, and is as much as SECURITY.md says', () => {
  type Locked = { dev?: true; hasInstallScript?: true; integrity?: string }
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, Locked>
  }
  const others = Object.entries(packages).filter(([path, { dev }]) => path !== '' && !dev)
  for (const [path, { hasInstallScript, integrity }] of others) {
    assert.equal(hasInstallScript, undefined, path)
    assert.match(integrity ?? '', /^sha512-/, path)
  }
  const security = readFileSync(join(root, 'SECURITY.md'), 'utf8')
  assert.match(security, new RegExp(`, ${others.length} with their own,`))
})

test("the lines that the README gives for Prosody are the example's", () => {
  const lines = /```lua\n([^]*?)```/.exec(readme)![1]!.split('\n')
  const given = lines.map((line) => line.trim()).filter((line) => line && !line.startsWith('--'))
  assert.ok(given.length >= 6)
  for (const line of given.filter((text) => !text.startsWith('component_secret'))) {
    assert.ok(
      example.split('\n').some((text) => text.trim() === line),
      line,
    )
  }
})

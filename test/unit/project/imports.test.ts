import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { test } from 'node:test'

const SRC = join(import.meta.dirname, '../../../src')

/**
 * The folders from which the files of each folder may import, besides their own; a file in `src/` counts
 * as a folder. A folder appears after all folders that it may import from, so there are no cycles.
 */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  errors: [],
  'task-queue': [],
  log: ['errors'],
  metrics: [],
  catalogue: [],
  xmpp: ['errors', 'log'],
  exposition: ['metrics'],
  collectors: ['catalogue', 'errors', 'metrics', 'xmpp'],
  config: ['collectors', 'errors', 'log'],
  scrape: ['collectors', 'errors', 'exposition', 'log', 'metrics'],
  history: ['log', 'metrics', 'scrape', 'task-queue'],
  servers: ['collectors', 'config', 'exposition', 'history', 'log', 'metrics', 'scrape', 'xmpp'],
  http: ['config', 'exposition', 'log'],
  access: ['config', 'errors', 'http', 'log', 'metrics'],
  outside: [
    'access',
    'catalogue',
    'config',
    'errors',
    'exposition',
    'history',
    'http',
    'log',
    'metrics',
    'scrape',
    'servers',
    'xmpp',
  ],
  page: ['catalogue', 'config', 'errors', 'exposition', 'history', 'http', 'outside'],
  control: ['http', 'log', 'xmpp'],
  messaging: [
    'collectors',
    'config',
    'errors',
    'history',
    'http',
    'log',
    'metrics',
    'page',
    'servers',
    'task-queue',
    'xmpp',
  ],
  cli: [
    'access',
    'catalogue',
    'collectors',
    'config',
    'control',
    'errors',
    'log',
    'messaging',
    'metrics',
    'outside',
    'servers',
    'xmpp',
  ],
  exporter: [
    'access',
    'cli',
    'collectors',
    'config',
    'control',
    'errors',
    'exposition',
    'history',
    'http',
    'log',
    'messaging',
    'metrics',
    'outside',
    'page',
    'scrape',
    'servers',
    'task-queue',
    'xmpp',
  ],
  main: ['access', 'cli', 'config', 'errors', 'exporter', 'log', 'metrics'],
}

const FOLDERS = Object.keys(MAY_IMPORT)

const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'))
  .map((file) => ({ file, text: readFileSync(join(SRC, file), 'utf8') }))

const folderOf = (file: string) =>
  dirname(file) === '.' ? basename(file, '.ts') : dirname(file).split('/')[0]!

const importsOf = (text: string) =>
  Array.from(text.matchAll(/(?:\bfrom|\bimport)\s*\(?'([^']+)'/g), (match) => match[1]!)

/** The files in `src/` that a file imports, types included. */
const localImports = ({ file, text }: { file: string; text: string }) =>
  importsOf(text)
    .filter((name) => name.startsWith('.'))
    .map((name) => relative(SRC, join(SRC, dirname(file), name)).replace(/\.js$/, '.ts'))

/** Template literals hold the source of worker threads, whose state is their own. */
const withoutTemplates = (text: string) => text.replace(/`[^`]*`/g, '``')

const duplicatesOf = (names: readonly string[]) =>
  names.filter((name, i) => names.indexOf(name) !== i).sort()

for (const each of files) {
  test(`src/${each.file} imports only from the folders that its folder may use`, () => {
    const folder = folderOf(each.file)
    const allowed = MAY_IMPORT[folder]
    assert.ok(allowed, `src/${folder} is new: add to this test what it may import`)
    const used = localImports(each).map(folderOf)
    assert.deepEqual(
      used.filter((name) => name !== folder && !allowed.includes(name)),
      [],
    )
  })
}

test('each folder imports only from folders above it in the list', () => {
  for (const [i, folder] of FOLDERS.entries()) {
    assert.deepEqual(
      MAY_IMPORT[folder]!.filter((name) => FOLDERS.indexOf(name) >= i),
      [],
      folder,
    )
  }
})

test('each import that the list allows exists', () => {
  const used = new Set(
    files.flatMap((each) =>
      localImports(each).map((to) => `${folderOf(each.file)} → ${folderOf(to)}`),
    ),
  )
  const allowed = FOLDERS.flatMap((from) => MAY_IMPORT[from]!.map((to) => `${from} → ${to}`))
  assert.deepEqual(
    allowed.filter((edge) => !used.has(edge)),
    [],
  )
})

test('no import cycle between files', () => {
  const imports = new Map(files.map((each) => [each.file, localImports(each)]))
  const done = new Set<string>()
  const visit = (file: string, path: readonly string[]) => {
    assert.ok(!path.includes(file), `cycle: ${[...path, file].join(' → ')}`)
    if (done.has(file)) return
    for (const next of imports.get(file) ?? []) visit(next, [...path, file])
    done.add(file)
  }
  for (const { file } of files) visit(file, [])
})

test('no two files have the same name', () => {
  const names = files.map(({ file }) => basename(file)).filter((name) => name !== 'index.ts')
  assert.deepEqual(duplicatesOf(names), [])
})

test('no two exported types have the same name', () => {
  const types = files.flatMap(({ text }) =>
    Array.from(text.matchAll(/^export (?:type|interface|class) (\w+)/gm), (match) => match[1]!),
  )
  assert.ok(types.length > 100)
  assert.deepEqual(duplicatesOf(types), [])
})

test('no module but main.ts has mutable state of its own', () => {
  // State at the top level of a module is shared by all servers of a process, and by all tests.
  const mutable =
    /^(?:export )?(?:let\b.*|const \w+(?:: [^=]+)? = new (?:Map|Set|WeakMap|WeakSet|Array)\b.*)/gm
  const found = files.flatMap(({ file, text }) =>
    file === 'main.ts'
      ? []
      : Array.from(withoutTemplates(text).matchAll(mutable), ([line]) => `${file}: ${line}`).filter(
          // A set or map that is typed as read-only is a constant.
          (line) => !/: Readonly(?:Map|Set)</.test(line),
        ),
  )
  assert.deepEqual(found, [])
})

test('only two files import the XMPP library', () => {
  const importers = files.filter(({ text }) =>
    importsOf(text).some((from) => from.startsWith('@xmpp/')),
  )
  assert.deepEqual(importers.map(({ file }) => file).sort(), ['xmpp/stream.ts', 'xmpp/xml.ts'])
})

test('only main.ts uses `process`', () => {
  const users = files.filter(
    ({ text }) =>
      /\bprocess\.\w/.test(text.replace(/^\s*(\/?\*|\/\/).*$/gm, '')) ||
      importsOf(text).includes('node:process'),
  )
  assert.deepEqual(
    users.map(({ file }) => file),
    ['main.ts'],
  )
})

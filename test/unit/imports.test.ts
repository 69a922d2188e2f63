import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { test } from 'node:test'

const SRC = join(import.meta.dirname, '../../src')

/** What each room may import from, besides itself. A file at the top is a room of its own. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  metrics: [],
  web: ['config-yaml', 'errors', 'file', 'flags', 'http', 'log', 'metrics'],
  catalogue: [],
  xmpp: ['errors', 'log', 'log-limit'],
  collectors: ['catalogue', 'errors', 'own', 'metrics', 'xmpp'],
  http: ['errors', 'history', 'log', 'metrics', 'reading'],
  errors: [],
  log: [],
  mask: ['errors', 'log'],
  mount: [],
  'log-limit': ['log'],
  scrape: ['collectors', 'errors', 'log-limit', 'metrics', 'snapshot'],
  reading: ['mask', 'collectors', 'errors', 'metrics', 'scrape'],
  history: ['reading'],
  snapshot: ['collectors', 'errors', 'log', 'log-limit', 'metrics'],
  server: [
    'mask',
    'collectors',
    'config',
    'history',
    'log',
    'metrics',
    'reading',
    'scrape',
    'xmpp',
  ],
  servers: ['config', 'server'],
  debug: ['mask', 'metrics', 'server'],
  bridge: [
    'collectors',
    'config',
    'config-text',
    'control',
    'debug',
    'doctor',
    'errors',
    'history',
    'http',
    'log',
    'log-limit',
    'metrics',
    'prometheus-job',
    'server',
    'servers',
    'snapshot',
    'web',
  ],
  control: ['http', 'log', 'xmpp'],
  compare: ['errors'],
  doctor: [
    'mask',
    'collectors',
    'config',
    'control',
    'http',
    'metrics',
    'prometheus-job',
    'server',
    'web',
    'xmpp',
  ],
  main: [
    'bridge',
    'compare',
    'config',
    'doctor',
    'errors',
    'flags',
    'log',
    'logger',
    'metrics',
    'settings',
  ],
  config: [
    'collectors',
    'config-file',
    'config-proxy',
    'config-servers',
    'config-socket',
    'config-values',
    'duration',
    'errors',
    'flags',
    'http',
    'web',
  ],
  'config-servers': [
    'collectors',
    'config-file',
    'config-values',
    'errors',
    'flags',
    'secret',
    'settings',
  ],
  'config-socket': ['config-values', 'flags', 'http'],
  'config-proxy': ['config-values', 'errors', 'flags'],
  'config-text': ['collectors', 'config', 'http'],
  'config-values': ['duration', 'errors', 'flags'],
  'config-file': [
    'collectors',
    'config-schema',
    'config-values',
    'config-yaml',
    'errors',
    'file',
    'flags',
  ],
  'config-schema': ['collectors'],
  'config-yaml': ['errors', 'flags'],
  duration: [],
  own: [],
  'prometheus-job': ['config', 'http'],
  file: ['errors', 'flags', 'mount'],
  flags: ['collectors', 'errors', 'settings'],
  logger: ['config', 'log'],
  secret: ['errors', 'file', 'flags'],
  settings: ['collectors'],
}

const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'))
  .map((file) => ({ file, text: readFileSync(join(SRC, file), 'utf8') }))

function room(file: string): string {
  return file.includes('/') ? dirname(file).split('/')[0]! : file.replace(/\.[jt]s$/, '')
}

function imports(text: string): string[] {
  return Array.from(text.matchAll(/(?:from|import)\s+'([^']+)'/g), (match) => match[1]!)
}

for (const { file, text } of files) {
  test(`src/${file} imports only where the data flows`, () => {
    const allowed = MAY_IMPORT[room(file)]
    assert.ok(allowed, `${room(file)} is a new room: say in this test what it may import`)
    for (const name of imports(text).filter((from) => from.startsWith('.'))) {
      const target = room(relative(SRC, join(SRC, dirname(file), name)))
      assert.ok(target === room(file) || allowed.includes(target), `${file} imports ${name}`)
    }
  })
}

test('only one file imports the XMPP library', () => {
  const importers = files.filter(({ text }) =>
    imports(text).some((from) => from.startsWith('@xmpp/')),
  )
  assert.deepEqual(
    importers.map(({ file }) => file),
    ['xmpp/stream.ts'],
  )
})

test('only main.ts touches the process', () => {
  const touching = files.filter(
    ({ text }) =>
      /\bprocess\.\w/.test(text.replace(/^\s*(\/?\*|\/\/).*$/gm, '')) ||
      imports(text).includes('node:process'),
  )
  assert.deepEqual(
    touching.map(({ file }) => file),
    ['main.ts'],
  )
})

test('a file is read in one sitting', () => {
  const long = files.filter(({ text }) => text.split('\n').length > 260)
  assert.deepEqual(
    long.map(({ file }) => file),
    [],
  )
})

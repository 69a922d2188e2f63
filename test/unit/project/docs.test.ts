// The documentation agrees with the program: generated tables, links, names and quoted messages.

import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { describe, test } from 'node:test'
import { parse } from 'yaml'
import { generatedPages, keysOf } from '../../../tools/generated-docs.js'
import { root } from '../../support/setup/process.js'
import { COMMANDS } from '../../../src/cli/commands.js'
import { findDocumented } from '../../../src/catalogue/index.js'
import { configSchema, formatJsonSchema } from '../../../src/config/config-file-schema.js'
import { isFlag, SETTINGS, toVariableName } from '../../../src/config/settings.js'
import { COLLECTORS } from '../../../src/collectors/index.js'
import { explain } from '../../../src/xmpp/advice.js'
import { blocksOf, withoutBlocks } from '../../support/pages.js'

const read = (path: string) => readFileSync(join(root, path), 'utf8')

const PAGES = [
  ...['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md'],
  ...['docs', 'docs/recipes'].flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((name) => name.endsWith('.md'))
      .map((name) => `${folder}/${name}`),
  ),
  'prosody-modules/mod_adhoc_statistics/README.md',
]
/** Pages whose names must exist. The changelog names removed things, and metrics.md the metrics of other modules. */
const CURRENT = PAGES.filter((page) => !/CHANGELOG|docs\/metrics/.test(page))

for (const [page, text] of await generatedPages()) {
  test(`${page} is up to date (npm run docs writes it)`, () => {
    assert.equal(read(page), text)
  })
}

describe('links', () => {
  for (const page of PAGES) {
    test(`of ${page} lead to existing files and headings`, () => {
      for (const link of linksOf(read(page))) {
        const [path = '', anchor] = link.split('#')
        const target = path === '' ? page : relative(root, resolve(root, dirname(page), path))
        assert.ok(existsSync(join(root, target)), `${link}: no such file`)
        if (anchor === undefined || statSync(join(root, target)).isDirectory()) continue
        assert.ok(anchorsOf(read(target)).has(anchor), `${link}: no such heading`)
      }
    })
  }

  test('of the README reach every page of docs/', () => {
    const links = linksOf(read('README.md'))
    const pages = PAGES.filter((page) => /^docs\/[^/]+$/.test(page))
    assert.deepEqual(
      pages.filter((page) => !links.includes(page)),
      [],
    )
  })

  test('of docs/install.md reach every recipe', () => {
    const links = linksOf(read('docs/install.md')).map((link) => `docs/${link}`)
    const recipes = PAGES.filter((page) => page.startsWith('docs/recipes/'))
    assert.deepEqual(
      recipes.filter((page) => !links.includes(page)),
      [],
    )
  })
})

describe('names', () => {
  const flags = new Set([
    ...SETTINGS.filter(isFlag).map(({ name }) => name),
    ...SETTINGS.filter(({ kind }) => kind.type === 'boolean').map(({ name }) => `no-${name}`),
    ...COMMANDS.flatMap(({ flags }) =>
      flags.flatMap(({ term }) => term.match(/(?<=--)[\w.-]+/g) ?? []),
    ),
    ...['collector.NAME', 'no-collector.NAME'],
  ])
  const variables = new Set([
    ...SETTINGS.map(({ name }) => toVariableName(name)),
    'PROSODY_EXPORTER_COLLECTOR_NAME',
  ])
  const keys = new Set(
    keysOf(JSON.parse(formatJsonSchema()) as Parameters<typeof keysOf>[0]).map(({ key }) => key),
  )
  const collected = new Set(COLLECTORS.flatMap(({ families }) => families.map(({ name }) => name)))
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }

  for (const page of CURRENT) {
    const text = read(page)
    const inline = Array.from(withoutBlocks(text).matchAll(/`([^`]+)`/g), ([, code]) => code!)

    test(`of flags and variables in ${page} exist`, () => {
      // Flags of other programs do not start with these sections.
      const named = text.matchAll(/--((?:no-)?(?:config|xmpp|web|collector|log|show)\.[\w.-]*\w)/g)
      for (const [, flag] of named) assert.ok(flags.has(flag!), `--${flag}`)
      for (const [variable] of text.matchAll(/PROSODY_EXPORTER_[A-Z\d_]*[A-Z]/g)) {
        assert.ok(variables.has(variable), variable)
      }
    })

    test(`of keys in ${page} exist, and its YAML is a valid configuration`, () => {
      const groups =
        /^(?:servers\[\]|collection|exposition|registry|web|page|limits|alerts|chat|alertmanager)\.(?!yml|conf|example)\w+/
      for (const code of inline) {
        const [key] = groups.exec(code) ?? []
        if (key !== undefined) assert.ok(keys.has(key), key)
      }
      for (const block of blocksOf(text, 'yaml')) {
        const isConfiguration =
          /^(servers|collection|exposition|registry|web|page|limits|alerts|chat):/.test(block)
        if (!isConfiguration) continue
        configSchema.parse(parse(block))
      }
    })

    test(`of npm commands in ${page} exist`, () => {
      for (const [, name] of text.matchAll(/\bnpm run (?:--silent )?([a-z][\w:-]*)/g)) {
        assert.ok(Object.hasOwn(scripts, name!), `npm run ${name}`)
      }
    })

    test(`of metrics in ${page} exist`, () => {
      for (const code of inline) {
        const [name] = /^(?:prosody_exporter|xmpp)_\w+[a-z]/.exec(code) ?? []
        if (name === undefined || code.includes('*') || code.endsWith('_')) continue
        const isKnown = [name, name.replace(/_total$/, '')].some((one) => findDocumented(one))
        assert.ok(isKnown || collected.has(name) || name === 'xmpp_entity_time_seconds', name)
      }
    })
  }
})

test('every endpoint of docs/http-api.md is a route', () => {
  const [, table = ''] = /## Endpoints\n([^]*?)\n## /.exec(read('docs/http-api.md')) ?? []
  const paths = Array.from(table.matchAll(/^\| `(\/[\w/-]*)/gm), ([, path]) => path!)
  assert.ok(paths.length >= 8)
  const source = sourceText()
  for (const path of paths) assert.ok(source.includes(`'${path}'`), path)
})

describe('the messages under Troubleshooting', () => {
  const page = read('docs/operations.md')
  const [, part = ''] = /<!-- messages -->([^]*)<!-- \/messages -->/.exec(page) ?? []
  const quotes = Array.from(part.matchAll(/^#### (`+) ?(.*?) ?\1$/gm), ([, , quote]) => quote!)
  const escaped = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  /** In a quoted message, `…` stands for any text. */
  const patternOf = (quote: string, between: string) =>
    quote
      .split('…')
      .map((words) => escaped(words.trim()))
      .join(between)
  const source = sourceText()

  test('exist in the source', () => {
    assert.ok(quotes.length > 35)
    for (const quote of quotes) {
      const pattern = patternOf(quote.replaceAll('`', ''), '[^\\n]{0,150}?')
      assert.match(source, new RegExp(pattern), quote)
    }
  })

  test('have a cause and a remedy', () => {
    for (const section of part.split(/^#### /m).slice(1)) {
      assert.match(section, /^Cause: [^]*^Remedy:/m, section.split('\n')[0])
    }
  })

  test('include every explanation of the end of a stream', () => {
    const known = quotes.map((quote) => new RegExp(`^${patternOf(quote, '.*?')}`))
    for (const end of streamEnds()) {
      for (const wasOnline of [true, false]) {
        const { kind, condition } = end
        const at = { service: 'xmpp://127.0.0.1:5347', domain: 'stats.example.com', wasOnline }
        const message = explain(end, at)
        if (kind === 'stopped') continue
        const isKnown = known.some((pattern) => pattern.test(message))
        assert.ok(isKnown, `${kind} ${condition}: ${message}`)
      }
    }
  })
})

/** The relative links of a page, except links in code. */
function linksOf(page: string): string[] {
  const text = withoutBlocks(page).replace(/`[^`]*`/g, '')
  return [
    ...text.matchAll(/\]\(([^)\s]+)\)/g),
    ...text.matchAll(/^\[[^\]]+\]: (\S+)$/gm),
    ...text.matchAll(/(?:src|srcset)="([^"]+)"/g),
  ]
    .map(([, link]) => link!)
    .filter((link) => !/^\w+:/.test(link))
}

/** The anchors that GitHub creates for the headings of a page. */
function anchorsOf(page: string): Set<string> {
  const anchors = new Map<string, number>()
  const found = new Set<string>()
  for (const [, heading = ''] of withoutBlocks(page).matchAll(/^#{1,6} (.+)$/gm)) {
    const anchor = heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-')
    const times = anchors.get(anchor) ?? 0
    anchors.set(anchor, times + 1)
    found.add(times === 0 ? anchor : `${anchor}-${times}`)
  }
  return found
}

/** The source of src/, with concatenated strings joined. */
function sourceText(): string {
  const files = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  return files
    .filter((file) => file.endsWith('.ts'))
    .map((file) => read(`src/${file}`))
    .join('\n')
    .replace(/(['"`])\s*\+\s*(['"`])/g, '')
    .replace(/\\?`/g, '')
    .replaceAll("\\'", "'")
}

/** Each end of a stream that has its own explanation. */
function streamEnds(): Parameters<typeof explain>[0][] {
  const conditions = {
    refused: [
      ...['not-authorized', 'host-unknown', 'conflict', 'invalid-from', 'invalid-namespace'],
      ...['system-shutdown', 'other'],
    ],
    network: ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'ETIMEDOUT', 'ECONNRESET'],
    timeout: ['connect', 'header', 'handshake', 'unread', 'lost', 'silence'],
    protocol: [''],
    closed: [''],
  } as const
  return Object.entries(conditions).flatMap(([kind, all]) =>
    all.map((condition) => ({ kind: kind as keyof typeof conditions, condition, text: 'text' })),
  )
}

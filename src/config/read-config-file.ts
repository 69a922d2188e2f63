import { dirname, resolve } from 'node:path'
import { removedCollector } from '../collectors/index.js'
import { ConfigError } from '../errors.js'
import { configSchema, listKeysAt } from './config-file-schema.js'
import type { Given } from './given.js'
import { describeExpected } from './kinds.js'
import { parseYaml, type Path, type YamlFile } from './parse-yaml.js'
import type { GivenValues } from './read-settings.js'
import { readTextFile } from './read-text-file.js'
import { SETTINGS, type Setting } from './settings.js'

// A configuration file of 4 MiB has room for about ten thousand servers.
const MAX_BYTES = 4_194_304

export type ConfigFile = {
  /** The settings in the file that are not in its section `servers`. */
  readonly values: GivenValues
  readonly servers: readonly FileServer[]
  readonly drop: readonly GivenDropRule[]
  /** The position of the file's start, for messages about a missing value: `FILE:1:1: the file`. */
  readonly source: string
}

export type FileServer = {
  readonly name: Given | undefined
  /** The settings of this server, by their names in `SETTINGS`. */
  readonly values: GivenValues
  /** The position of the server's section, for messages about a missing value. */
  readonly source: string
}

export type GivenDropRule = {
  readonly family: Given
  readonly labels: ReadonlyMap<string, Given>
}

/**
 * Reads the configuration file, and checks its keys and types. `readConfig` checks the values.
 *
 * @throws ConfigError for the first mistake: one line `FILE:LINE:COLUMN: KEY: expected …, got …`.
 */
export function readConfigFile(file: Given): ConfigFile {
  const yaml = parseYaml(file.text, readTextFile(file, { maxBytes: MAX_BYTES }))
  // A file without any value, for example with comments only, sets nothing.
  const result = configSchema.safeParse(yaml.value ?? {})
  if (!result.success) throw findFirstMistake(yaml, result.error.issues)
  const given = (path: Path, text: string): Given => ({
    from: 'file',
    source: yaml.place(path).source,
    text,
  })
  const directory = dirname(resolve(file.text))
  const { servers = [], registry } = result.data
  return {
    values: readValues(result.data, { prefix: '', path: [], directory, given }),
    servers: servers.map((server, i) => {
      const path = ['servers', i]
      return {
        name: server.name === undefined ? undefined : given([...path, 'name'], server.name),
        values: readValues(server, { prefix: 'servers[].', path, directory, given }),
        source: given(path, '').source,
      }
    }),
    drop: (registry?.drop ?? []).map(({ family, labels = {} }, i) => ({
      family: given(['registry', 'drop', i, 'family'], family),
      labels: new Map(
        Object.entries(labels).map(([name, value]) => [
          name,
          given(['registry', 'drop', i, 'labels', name], value),
        ]),
      ),
    })),
    source: given([], '').source,
  }
}

type Section = {
  /** What the keys in `SETTINGS` start with for this section: `servers[].` for the settings of a server. */
  readonly prefix: string
  /** The keys and indexes that lead to the section in the file. */
  readonly path: Path
  /** The directory of the configuration file, to which its paths are relative. */
  readonly directory: string
  readonly given: (path: Path, text: string) => Given
}

function readValues(section: unknown, { prefix, path, directory, given }: Section): GivenValues {
  const found = new Map<string, readonly Given[]>()
  for (const { name, key, kind } of SETTINGS) {
    if (!key?.startsWith(prefix)) continue
    const steps = key.slice(prefix.length).split('.')
    const value = steps.reduce(getValue, section)
    if (value === undefined) continue
    const place = [...path, ...steps]
    const toGiven = (each: unknown, at: Path) => {
      const text = String(each)
      // `resolve` would turn an empty path into the name of the directory.
      return given(at, kind.type === 'path' && text !== '' ? resolve(directory, text) : text)
    }
    const all = Array.isArray(value)
      ? value.map((each, i) => toGiven(each, [...place, i]))
      : [toGiven(value, place)]
    found.set(name, all)
  }
  return found
}

function getValue(section: unknown, key: string): unknown {
  const isSection = typeof section === 'object' && section !== null && Object.hasOwn(section, key)
  return isSection ? (section as Record<string, unknown>)[key] : undefined
}

type Issue = NonNullable<ReturnType<typeof configSchema.safeParse>['error']>['issues'][number]

function findFirstMistake(yaml: YamlFile, issues: readonly Issue[]): ConfigError {
  const mistakes = issues.map((issue) => {
    const isUnknown = issue.code === 'unrecognized_keys'
    const path = isUnknown ? [...issue.path, issue.keys[0]!] : findPath(issue)
    const isKey = isUnknown || issue.code === 'invalid_key'
    const { offset, source } = yaml.place(path, isKey ? 'key' : 'value')
    return { offset, message: `${source}: ${describeIssue(yaml, issue)}` }
  })
  mistakes.sort((a, b) => a.offset - b.offset)
  return new ConfigError(mistakes[0]!.message)
}

/** Returns the path of the invalid value. In a list that could also be a single value, that is the invalid element. */
function findPath(issue: Issue): Path {
  if (issue.code !== 'invalid_union') return issue.path
  const inner = issue.errors.flat().find(({ path }) => path.length > 0)
  return [...issue.path, ...(inner?.path ?? [])]
}

function describeIssue(yaml: YamlFile, issue: Issue): string {
  const { path } = issue
  if (issue.code === 'unrecognized_keys') return describeUnknownKey(issue.keys[0]!, path)
  if (issue.code === 'invalid_key')
    return 'expected a label name (letters, digits and _), got another name'
  const setting = findByPath(path)
  if (setting) return describeValue(yaml, issue, setting)
  if (issue.code === 'too_small') return 'expected at least one server, got an empty list'
  const expected = issue.code === 'invalid_type' ? issue.expected : issue.code
  return `expected ${STRUCTURES[expected] ?? expected}, got ${yaml.describe(path, true)}`
}

const STRUCTURES: Readonly<Record<string, string>> = {
  object: 'a mapping',
  record: 'a mapping',
  array: 'a list',
  string: 'text',
}

function describeValue(yaml: YamlFile, issue: Issue, setting: Setting): string {
  const { kind, isRepeatable, isListOptional } = setting
  const isElement = typeof issue.path.at(-1) === 'number'
  const canBeSecret = kind.type === 'text' || kind.type === 'path'
  if (isRepeatable && !isListOptional && !isElement) {
    return `expected a list, got ${yaml.describe(issue.path, canBeSecret)}`
  }
  const expected = `${describeExpected(kind)}${isListOptional ? ', or a list of them' : ''}`
  const isEmptyList = issue.code === 'too_small' && issue.origin === 'array'
  const got = isEmptyList ? 'an empty list' : yaml.describe(findPath(issue), canBeSecret)
  return `expected ${expected}, got ${got}`
}

/** Returns the setting at a path such as `['servers', 0, 'hosts', 1]`; `undefined` for the path of a section. */
function findByPath(path: readonly PropertyKey[]): Setting | undefined {
  const text = path.map((step) => (typeof step === 'number' ? '[]' : `.${String(step)}`)).join('')
  const key = text.replace(/^\./, '').replace(/\[\]$/, '')
  return SETTINGS.find((setting) => setting.key === key)
}

function describeUnknownKey(key: string, path: readonly PropertyKey[]): string {
  if (path[0] === 'alerts' && /token/i.test(key)) {
    return 'expected the key token_file with the name of a file, got a token in the configuration file'
  }
  if (/secret|passw|token/i.test(key)) {
    return 'expected the key secret_file with the name of a file, got a secret in the configuration file'
  }
  const isCollector = path[0] === 'servers' && path.at(-1) === 'collectors'
  const advice = isCollector ? removedCollector(key) : undefined
  return advice ?? `expected ${listKeysAt(path)}, got an unknown key`
}

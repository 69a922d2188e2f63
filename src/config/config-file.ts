import { dirname, resolve } from 'node:path'
import { COLLECTORS, removedCollector } from '../collectors/index.js'
import { NAME_SCHEMES } from '../collectors/registry/name-schemes.js'
import { configSchema, type ConfigFile } from './file-schema.js'
import { listed } from './values.js'
import { parseYaml, type Path, type YamlFile } from './yaml.js'
import { ConfigError } from '../errors.js'
import { readTextFile } from './text-file.js'
import type { Given, Settings } from './flags.js'

// Some ten thousand servers.
const MAX_BYTES = 4_194_304

export type GivenDropRule = {
  readonly family: Given
  readonly labels: ReadonlyMap<string, Given>
}

type Values = ReadonlyMap<string, readonly Given[]>

/** Settings of one server, by the names that they have with a single one. */
export type FileServer = {
  readonly name: Given | undefined
  readonly values: Values
  /** Where it begins, for what it lacks. */
  readonly source: string
}

export type FileSettings = {
  /** Single values, by the name that their setting has. */
  readonly values: Values
  readonly servers: readonly FileServer[]
  readonly drop: readonly GivenDropRule[]
  /** Where it begins, for what it lacks. */
  readonly source: string
}

/**
 * Reads the configuration file and checks its shape; what the values may be is left to `readConfig`.
 *
 * @throws ConfigError for the first mistake: one line `FILE:LINE:COLUMN: KEY: expected …, got …`.
 */
export function readConfigFile(file: Given): FileSettings {
  const yaml = parseYaml(file.text, readTextFile(file, { maxBytes: MAX_BYTES }))
  // A file of comments only sets nothing.
  const result = configSchema.safeParse(yaml.value ?? {})
  if (!result.success) throw firstProblem(yaml, result.error.issues)
  const given = (path: Path, text: string): Given => ({
    from: 'file',
    source: yaml.place(path).source,
    text,
  })
  const { servers = [], ...sections } = result.data
  return {
    source: given([], '').source,
    values: sectionValues(sections, given),
    servers: servers.map((server, i) =>
      readServer(server, ['servers', i], given, dirname(resolve(file.text))),
    ),
    drop: (result.data.registry?.drop ?? []).map(({ family, labels = {} }, i) => ({
      family: given(['registry', 'drop', i, 'family'], family),
      labels: new Map(
        Object.entries(labels).map(([name, value]) => [
          name,
          given(['registry', 'drop', i, 'labels', name], value),
        ]),
      ),
    })),
  }
}

/** The same settings, with values of the file in place of defaults. */
export function mergeFileSettings(
  settings: Settings,
  { values }: { readonly values: Values },
): Settings {
  const all = (name: string) => {
    const given = settings.all(name)
    const inFile = values.get(name)
    return inFile === undefined || given.some(({ from }) => from !== 'default') ? given : inFile
  }
  return { ...settings, all, get: (name) => all(name)[0] }
}

type Value = string | number | boolean | readonly string[]
type ToGiven = (path: Path, text: string) => Given

function sectionValues(
  { collection = {}, exposition = {}, web = {}, page = {}, limits = {} }: ConfigFile,
  given: ToGiven,
): Values {
  const values = new Map<string, readonly Given[]>()
  const section = (name: string, keys: Readonly<Record<string, Value | undefined>>) => {
    for (const [key, value] of Object.entries(keys)) {
      if (value === undefined) continue
      const all = Array.isArray(value)
        ? value.map((each, i) => given([name, key, i], String(each)))
        : [given([name, key], String(value))]
      values.set(`${name}.${key.replaceAll('_', '-')}`, all)
    }
  }
  section('collection', collection)
  section('exposition', exposition)
  section('web', web)
  section('page', page)
  section('limits', limits)
  return values
}

function readServer(
  server: NonNullable<ConfigFile['servers']>[number],
  path: Path,
  given: ToGiven,
  directory: string,
): FileServer {
  const values = new Map<string, readonly Given[]>()
  const set = (name: string, key: string, value: string | undefined) => {
    if (value !== undefined) values.set(name, [given([...path, key], value)])
  }
  const { name, secret_file: secretFile, hosts, collectors = {} } = server
  set('xmpp.service', 'service', server.service)
  set('xmpp.domain', 'domain', server.domain)
  // An empty path is not the directory.
  set('xmpp.secret-file', 'secret_file', secretFile && resolve(directory, secretFile))
  if (hosts) {
    values.set(
      'xmpp.host',
      hosts.map((host, i) => given([...path, 'hosts', i], host)),
    )
  }
  for (const [collector, isOn] of Object.entries(collectors)) {
    const place = [...path, 'collectors', collector]
    if (isOn !== undefined) values.set(`collector.${collector}`, [given(place, String(isOn))])
  }
  return {
    name: name === undefined ? undefined : given([...path, 'name'], name),
    values,
    source: given(path, '').source,
  }
}

type Issue = NonNullable<ReturnType<typeof configSchema.safeParse>['error']>['issues'][number]

function firstProblem(yaml: YamlFile, issues: readonly Issue[]): ConfigError {
  const problems = issues.map((issue) => {
    const isUnknown = issue.code === 'unrecognized_keys'
    const path = isUnknown ? [...issue.path, issue.keys[0]!] : pathOf(issue)
    const isKey = isUnknown || issue.code === 'invalid_key'
    const { offset, source } = yaml.place(path, isKey ? 'key' : 'value')
    return { offset, message: `${source}: ${describe(yaml, issue)}` }
  })
  problems.sort((a, b) => a.offset - b.offset)
  return new ConfigError(problems[0]!.message)
}

/** Of what may be one or a list of it: the member of the list. */
function pathOf(issue: Issue): Path {
  if (issue.code !== 'invalid_union') return issue.path
  const inner = issue.errors.flat().find(({ path }) => path.length > 0)
  return [...issue.path, ...(inner?.path ?? [])]
}

function describe(yaml: YamlFile, issue: Issue): string {
  const { path } = issue
  if (path.join('.') === 'exposition.names') {
    const got = issue.code === 'too_small' ? 'an empty list' : yaml.shown(pathOf(issue), false)
    return `expected ${listed(NAME_SCHEMES)}, or a list of them, got ${got}`
  }
  if (/^web\.socket_/.test(path.join('.'))) {
    return `expected text or a whole number, got ${yaml.shown(path, false)}`
  }
  if (issue.code === 'unrecognized_keys') return unknownKey(issue.keys[0]!, path)
  if (issue.code === 'invalid_key') return 'expected the name of a label, got another'
  if (issue.code === 'too_small' && issue.origin === 'array') return 'expected a server, got none'
  const expected = issue.code === 'invalid_type' ? issue.expected : issue.code
  return `expected ${KINDS[expected] ?? expected}, got ${yaml.shown(path, MAY_BE_SECRET.includes(expected))}`
}

const MAY_BE_SECRET = ['object', 'record', 'array', 'string']

const KINDS: Readonly<Record<string, string>> = {
  object: 'a mapping',
  record: 'a mapping',
  array: 'a list',
  string: 'text',
  boolean: 'true or false',
  int: 'a whole number, 0 for no limit',
  number: 'a whole number, 0 for no limit',
  too_small: 'a whole number, 0 for no limit',
  too_big: 'a whole number, 0 for no limit',
  invalid_union: 'a duration, e.g. 250ms or 1m30s',
}

const KEYS: Readonly<Record<string, string>> = {
  '': 'servers, collection, exposition, registry, web, page or limits',
  servers: 'name, service, domain, secret_file, hosts or collectors',
  'servers.collectors': listed(COLLECTORS.map(({ name }) => name)),
  collection: 'min_age, timeout or serve_stale_for',
  exposition: 'names, created or timestamps',
  registry: 'drop',
  'registry.drop': 'family or labels',
  web: 'fail_when_down, socket_mode or socket_group',
  page: 'interval',
  limits: 'series or label_value_length',
}

function unknownKey(key: string, path: readonly PropertyKey[]): string {
  if (/secret|passw|token/i.test(key)) {
    return 'expected secret_file, which names a file, got a secret in this one'
  }
  const section = path.filter((step) => typeof step === 'string').join('.')
  const removed = section === 'servers.collectors' ? removedCollector(key) : undefined
  if (removed !== undefined) return removed
  return `expected ${KEYS[section] ?? 'a known key'}, got an unknown key`
}

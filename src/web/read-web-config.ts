import { createHash } from 'node:crypto'
import { BlockList, isIP } from 'node:net'
import { dirname, resolve } from 'node:path'
import { parseYaml, type Path, type YamlFile } from '../config-yaml.js'
import { parseDuration } from '../duration.js'
import { ConfigError } from '../errors.js'
import { readTextFile } from '../file.js'
import type { Given } from '../flags.js'
import { keysOf, webSchema, type WebFile } from './schema.js'
import { readTls, type Read, type TlsConfig, type Wrong } from './read-tls.js'

export type WebConfig = {
  readonly tls: TlsConfig | undefined
  readonly http2: boolean
  readonly headers: readonly (readonly [name: string, value: string])[]
  /** Names and the bcrypt hashes of their passwords. */
  readonly users: ReadonlyMap<string, string>
  /** SHA-256 of each bearer token. */
  readonly tokens: readonly Buffer[]
  readonly networks: BlockList | undefined
  /** One request each interval, so many at once; 0: no limit. */
  readonly rateLimit: { readonly intervalMs: number; readonly burst: number }
  /** All that was read. */
  readonly files: readonly string[]
}

const MAX_BYTES = 1_048_576
const BCRYPT = /^\$2[aby]\$(?:0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}$/
const HEADERS: Readonly<Record<string, readonly string[] | undefined>> = {
  'Strict-Transport-Security': undefined,
  'X-Content-Type-Options': ['nosniff'],
  'X-Frame-Options': ['deny', 'sameorigin'],
  'X-XSS-Protection': undefined,
  'Content-Security-Policy': undefined,
}

/**
 * Reads the web configuration file and all that it names.
 *
 * @throws ConfigError for the first mistake: one line `FILE:LINE:COLUMN: KEY: expected …, got …`.
 */
export function readWebConfig(given: Given): WebConfig {
  const files = [resolve(given.text)]
  const yaml = parseYaml(given.text, readTextFile(given, { maxBytes: MAX_BYTES }))
  const result = webSchema.safeParse(yaml.value ?? {})
  if (!result.success) throw shapeProblem(yaml, result.error.issues)
  const file = result.data
  const wrong: Wrong = (path, what) => new ConfigError(`${yaml.place(path).source}: ${what}`)
  const read: Read = (path, name, isSecret = false) => {
    const text = resolve(dirname(resolve(given.text)), name)
    files.push(text)
    const source = yaml.place(path).source
    return readTextFile({ from: 'file', source, text }, { maxBytes: MAX_BYTES, isSecret })
  }
  return {
    tls: readTls(file, wrong, read),
    http2: file.http_server_config?.http2 ?? true,
    headers: headersOf(file, yaml),
    users: usersOf(file, wrong),
    tokens: (file.bearer_token_files ?? []).map((name, i) =>
      tokenOf(['bearer_token_files', i], name, wrong, read),
    ),
    networks: networksOf(file, wrong),
    rateLimit: rateLimitOf(file, wrong),
    files,
  }
}

function headersOf(file: WebFile, yaml: YamlFile): [string, string][] {
  return Object.entries(file.http_server_config?.headers ?? {}).flatMap(([name, value]) => {
    const path = ['http_server_config', 'headers', name]
    const wrong = (of: 'key' | 'value', what: string) =>
      new ConfigError(`${yaml.place(path, of).source}: ${what}`)
    if (!Object.hasOwn(HEADERS, name)) {
      throw wrong('key', `expected one of ${Object.keys(HEADERS).join(', ')}, got another header`)
    }
    const allowed = HEADERS[name]
    // As the toolkit has it: an empty one is left out.
    if (value === '') return []
    if (allowed && !allowed.includes(value.toLowerCase())) {
      throw wrong('value', `expected ${allowed.join(' or ')}, got another value`)
    }
    if (/[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]/.test(value)) {
      throw wrong('value', 'expected one line of printable characters, got others')
    }
    return [[name, value]]
  })
}

function usersOf(file: WebFile, wrong: Wrong): Map<string, string> {
  const users = new Map(Object.entries(file.basic_auth_users ?? {}))
  for (const [user, hash] of users) {
    if (!BCRYPT.test(hash)) {
      throw wrong(['basic_auth_users', user], 'expected a bcrypt hash ($2y$10$…), got another text')
    }
    // RFC 7617 §2: a colon ends the name.
    if (user.includes(':')) {
      throw wrong(['basic_auth_users', user], 'expected a name without a colon, got one with it')
    }
  }
  return users
}

function tokenOf(path: Path, name: string, wrong: Wrong, read: Read): Buffer {
  const token = read(path, name, true).replace(/\r?\n$/, '')
  // RFC 6750 §2.1, b64token.
  if (!/^[\w.~+/-]{8,4096}=*$/.test(token)) {
    throw wrong(path, 'expected a file with one token: 8 or more of A-Z a-z 0-9 . _ ~ + / -')
  }
  return digest(token)
}

export function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

function networksOf(file: WebFile, wrong: Wrong): BlockList | undefined {
  if (!file.allowed_networks) return undefined
  const list = new BlockList()
  for (const [i, text] of file.allowed_networks.entries()) {
    const [address = '', bits, rest] = text.split('/')
    const family = isIP(address)
    const most = family === 6 ? 128 : 32
    const prefix = bits === undefined ? most : /^\d{1,3}$/.test(bits) ? Number(bits) : NaN
    if (family === 0 || rest !== undefined || !(prefix <= most)) {
      throw wrong(['allowed_networks', i], 'expected an address or a network, e.g. 10.0.0.0/8')
    }
    list.addSubnet(address, prefix, family === 6 ? 'ipv6' : 'ipv4')
  }
  return list
}

function rateLimitOf(file: WebFile, wrong: Wrong): WebConfig['rateLimit'] {
  const { interval = '0', burst = 0 } = file.rate_limit ?? {}
  const intervalMs = parseDuration(String(interval))
  if (intervalMs === undefined) {
    throw wrong(['rate_limit', 'interval'], 'expected a duration, e.g. 100ms, got another text')
  }
  if (!Number.isInteger(burst) || burst < 0) {
    throw wrong(['rate_limit', 'burst'], 'expected a whole number, got another')
  }
  return { intervalMs, burst }
}

type Issues = NonNullable<ReturnType<typeof webSchema.safeParse>['error']>['issues']

function shapeProblem(yaml: YamlFile, issues: Issues): ConfigError {
  const [first] = issues
    .map((issue) => {
      const isUnknown = issue.code === 'unrecognized_keys'
      const path = isUnknown ? [...issue.path, issue.keys[0]!] : issue.path
      const { offset, source } = yaml.place(path, isUnknown ? 'key' : 'value')
      const what = isUnknown
        ? `expected one of ${keysOf(issue.path).join(', ')}, got an unknown key`
        : `expected ${kindOf(issue)}, got ${yaml.shown(issue.path, true)}`
      return { offset, message: `${source}: ${what}` }
    })
    .sort((a, b) => a.offset - b.offset)
  return new ConfigError(first!.message)
}

const KINDS: Readonly<Record<string, string>> = {
  object: 'a mapping',
  record: 'a mapping',
  array: 'a list',
  string: 'text',
  boolean: 'true or false',
  number: 'a number',
}

function kindOf(issue: Issues[number]): string {
  if (issue.code === 'invalid_union') return 'a duration, e.g. 100ms'
  return issue.code === 'invalid_type' ? (KINDS[issue.expected] ?? issue.expected) : 'another value'
}

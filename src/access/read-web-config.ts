import { createHash } from 'node:crypto'
import { BlockList, isIP } from 'node:net'
import { dirname, resolve } from 'node:path'
import { parseSource, type Path } from '../config/parse-yaml.js'
import { ConfigError } from '../errors.js'
import { readTextFile } from '../config/read-text-file.js'
import type { Given } from '../config/given.js'
import { decodeYaml } from './decode-fields.js'
import { testHandshake } from './tls-handshake.js'
import { webSchema, type WebFile } from './web-schema.js'
import { readTls, type ReadNamedFile, type TlsConfig, type CreateError } from './read-tls.js'

export type WebConfig = {
  readonly tls: TlsConfig | undefined
  readonly http2: boolean
  readonly headers: readonly (readonly [name: string, value: string])[]
  /** User names with the bcrypt hashes of their passwords. */
  readonly users: ReadonlyMap<string, string>
  /** SHA-256 of each bearer token. */
  readonly tokens: readonly Buffer[]
  /** The networks whose clients are allowed; `undefined` allows all. */
  readonly networks: BlockList | undefined
  /** Allows one request per interval, and up to `burst` requests at once. An interval of 0 means no limit. */
  readonly rateLimit: { readonly intervalMs: number; readonly burst: number }
  /** The web configuration file and all files that it names. A change of one of them causes a reload. */
  readonly files: readonly string[]
}

const MAX_BYTES = 1_048_576
/**
 * Matches a bcrypt hash that Go accepts. The minor version (`2a`, `2b`, `2y`) has no effect on the computed
 * hash, so any is allowed. Text after the hash, for example a newline, is ignored.
 */
const BCRYPT = /^\$2[a-z]?(\$(?:0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53})/
// The response headers that can be set, with their allowed values. `undefined` allows any value.
const HEADERS: Readonly<Record<string, readonly string[] | undefined>> = {
  'Strict-Transport-Security': undefined,
  'X-Content-Type-Options': ['nosniff'],
  'X-Frame-Options': ['deny', 'sameorigin'],
  'X-XSS-Protection': undefined,
  'Content-Security-Policy': undefined,
}

/**
 * Reads the web configuration file and the files that it names.
 *
 * @throws ConfigError for the first mistake: one line `FILE:LINE:COLUMN: KEY: expected …, got …`.
 */
export function readWebConfig(given: Given, handshake = testHandshake): WebConfig {
  const files = [resolve(given.text)]
  const yaml = parseSource(given.text, readTextFile(given, { maxBytes: MAX_BYTES }))
  const { value: file, place } = decodeYaml(yaml, webSchema)
  const wrong: CreateError = (path, what, of) => new ConfigError(`${place(path, of)}: ${what}`)
  const read: ReadNamedFile = (path, name, isSecret = false) => {
    const text = resolve(dirname(resolve(given.text)), name)
    files.push(text)
    const source = place(path)
    return readTextFile({ from: 'file', source, text }, { maxBytes: MAX_BYTES, isSecret })
  }
  const http2 = file.http_server_config?.http2 ?? true
  return {
    tls: readTls(file, http2, { wrong, read, handshake }),
    http2,
    headers: readHeaders(file, wrong),
    users: readUsers(file, wrong),
    tokens: (file.bearer_token_files ?? []).map((name, i) =>
      readToken(['bearer_token_files', i], name, wrong, read),
    ),
    networks: readNetworks(file, wrong),
    rateLimit: readRateLimit(file),
    files,
  }
}

function readHeaders(file: WebFile, wrong: CreateError): [string, string][] {
  return Array.from(file.http_server_config?.headers ?? []).flatMap(([name, text]) => {
    const path = ['http_server_config', 'headers', name]
    if (!Object.hasOwn(HEADERS, name)) {
      const known = Object.keys(HEADERS).join(', ')
      throw wrong(path, `expected one of ${known}, got another header`, 'key')
    }
    const allowed = HEADERS[name]
    if (allowed && !allowed.includes(text)) {
      throw wrong(path, `expected ${allowed.join(' or ')}, got another value`)
    }
    // Line breaks in a header value become spaces, like in Go.
    const value = text.replace(/[\r\n]/g, ' ').trim()
    if (value === '') return []
    if (/[\x00-\x08\x0a-\x1f\x7f]/.test(value)) {
      throw wrong(path, 'expected printable characters, got a control character')
    }
    // Node.js sends each character of a header value as one byte. So the value must have one character for each
    // byte of its UTF-8 encoding.
    return [[name, Buffer.from(value).toString('latin1')]]
  })
}

/**
 * Reads the users and the bcrypt hashes of their passwords. A user name with a colon is accepted, but no client
 * can log in with it (RFC 7617 §2).
 */
function readUsers(file: WebFile, wrong: CreateError): Map<string, string> {
  const users = new Map<string, string>()
  for (const [user, text] of file.basic_auth_users ?? []) {
    const [, hash] = BCRYPT.exec(text) ?? []
    if (hash === undefined) {
      throw wrong(['basic_auth_users', user], 'expected a bcrypt hash ($2y$10$…), got another text')
    }
    users.set(user, `$2b${hash}`)
  }
  return users
}

function readToken(path: Path, name: string, wrong: CreateError, read: ReadNamedFile): Buffer {
  const token = read(path, name, true).replace(/\r?\n$/, '')
  // These are the characters of a bearer token, `b64token` in RFC 6750 §2.1.
  if (!/^[\w.~+/-]{8,4096}=*$/.test(token)) {
    throw wrong(
      path,
      'expected a file with one token of at least 8 characters (A-Z a-z 0-9 . _ ~ + / -), got other content',
    )
  }
  return digest(token)
}

export function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

function readNetworks(file: WebFile, wrong: CreateError): BlockList | undefined {
  if (!file.allowed_networks) return undefined
  const list = new BlockList()
  for (const [i, text] of file.allowed_networks.entries()) {
    const [address = '', bits, rest] = text.split('/')
    const family = isIP(address)
    const most = family === 6 ? 128 : 32
    const prefix = bits === undefined ? most : /^\d{1,3}$/.test(bits) ? Number(bits) : NaN
    if (family === 0 || rest !== undefined || !(prefix <= most)) {
      throw wrong(
        ['allowed_networks', i],
        'expected an IP address or a network, for example 10.0.0.0/8, got another text',
      )
    }
    list.addSubnet(address, prefix, family === 6 ? 'ipv6' : 'ipv4')
  }
  return list
}

function readRateLimit({ rate_limit: limit }: WebFile): WebConfig['rateLimit'] {
  // Like in exporter-toolkit, a negative interval means no limit, and a burst below 1 rejects every request.
  return { intervalMs: Math.max(limit?.interval ?? 0, 0), burst: Math.max(limit?.burst ?? 0, 0) }
}

import { domainToASCII } from 'node:url'
import type { DropRule } from './collectors/registry-lines.js'
import { readConfigFile, withFile, type GivenDropRule } from './config-file.js'
import { parseDuration } from './duration.js'
import { ConfigError } from './errors.js'
import { quote, type Given, type Settings } from './flags.js'
import { addressText, parseListenAddress, type ListenAddress } from './http/listen-address.js'
import { readSecretFile } from './secret.js'
import { variableName } from './settings.js'

export type Config = {
  readonly xmpp: { readonly service: string; readonly domain: string; readonly secret: string }
  readonly web: {
    readonly listenAddresses: readonly ListenAddress[]
    readonly telemetryPath: string
  }
  readonly timeoutOffsetMs: number
  readonly collection: {
    readonly minAgeMs: number
    readonly timeoutMs: number
    /** 0: never. */
    readonly serveStaleForMs: number
  }
  readonly exposition: { readonly created: boolean; readonly timestamps: boolean }
  readonly registry: { readonly drop: readonly DropRule[] }
  /** 0 for no limit. */
  readonly limits: { readonly series: number; readonly labelValueLength: number }
  readonly log: { readonly level: LogLevel; readonly format: LogFormat }
}

const LEVELS = ['debug', 'info', 'warn', 'error'] as const
const FORMATS = ['logfmt', 'json'] as const
export type LogLevel = (typeof LEVELS)[number]
export type LogFormat = (typeof FORMATS)[number]

const MAX_MIN_AGE_MS = 5000
// With the samples' own time rate() is right all the same.
const MAX_STAMPED_AGE_MS = 240_000
// Prometheus forgets a series 5 minutes after its last sample.
const MAX_STALE_MS = 240_000
const MIN_COLLECTION_MS = 100
const MAX_COLLECTION_MS = 600_000
const RESERVED_PATHS = ['/-/healthy', '/-/ready']

/**
 * Reads the configuration file, if one is given, and the secret, and checks every setting.
 *
 * @param given From command line and environment: they win over the file.
 * @param env Where the secret may be, which has no flag.
 * @throws ConfigError for the first wrong one; its message is one line without the secret.
 */
export function readConfig(
  given: Settings,
  env: Readonly<Record<string, string | undefined>>,
): Config {
  const path = given.get('config.file')
  const file = path && readConfigFile(path)
  const settings = file ? withFile(given, file) : given
  const timestamps = bool(one(settings, 'exposition.timestamps'))
  return {
    xmpp: {
      service: service(one(settings, 'xmpp.service')),
      domain: domain(settings.get('xmpp.domain')),
      secret: secret(settings.get('xmpp.secret-file'), env),
    },
    web: {
      listenAddresses: listenAddresses(settings.all('web.listen-address')),
      telemetryPath: telemetryPath(one(settings, 'web.telemetry-path')),
    },
    timeoutOffsetMs: seconds(one(settings, 'timeout-offset')),
    collection: {
      minAgeMs: minAge(one(settings, 'collection.min-age'), timestamps),
      timeoutMs: collectionTimeout(one(settings, 'collection.timeout')),
      serveStaleForMs: serveStaleFor(one(settings, 'collection.serve-stale-for')),
    },
    exposition: { created: bool(one(settings, 'exposition.created')), timestamps },
    registry: { drop: (file?.drop ?? []).map(dropRule) },
    limits: {
      series: count(one(settings, 'limits.series')),
      labelValueLength: count(one(settings, 'limits.label-value-length')),
    },
    log: {
      level: oneOf(one(settings, 'log.level'), LEVELS),
      format: oneOf(one(settings, 'log.format'), FORMATS),
    },
  }
}

function one(settings: Settings, name: string): Given {
  const given = settings.get(name)
  if (given === undefined) throw new ConfigError(`--${name}: expected a value, got none`)
  return given
}

function wrong({ source, text }: Given, expected: string): ConfigError {
  return new ConfigError(`${source}: expected ${expected}, got ${quote(text)}`)
}

function service(given: Given): string {
  const { source, text } = given
  // A URL with a password in it is not shown.
  if (text.includes('@')) {
    throw new ConfigError(`${source}: expected xmpp://host[:port], got a URL with a user in it`)
  }
  if (/^xmpps:/i.test(text)) {
    throw wrong(given, 'xmpp://host[:port] (component streams have no TLS, XEP-0114)')
  }
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) {
    throw wrong(given, 'xmpp:// in front of host[:port]')
  }
  const url = URL.canParse(text) ? new URL(text) : undefined
  const bare = /^xmpp:\/\/(?:\[[\da-f:.]+\]|[\w.-]+)(?::\d{1,5})?\/?$/i.test(text)
  if (url?.protocol !== 'xmpp:' || !bare || url.port === '0') {
    throw wrong(given, 'xmpp://host[:port]')
  }
  return `xmpp://${url.host.toLowerCase()}`
}

// RFC 7622 §3.2, less the IP addresses: a component is always named.
function domain(given: Given | undefined): string {
  if (given === undefined) {
    throw new ConfigError(
      `--xmpp.domain (or ${variableName('xmpp.domain')}): ` +
        "expected the component's domain, e.g. stats.example.com, got none",
    )
  }
  const { text } = given
  const isDomain = /^[\p{L}\p{M}\p{N}_-]+(?:\.[\p{L}\p{M}\p{N}_-]+)*$/u.test(text)
  if (!isDomain || domainToASCII(text) === '' || Buffer.byteLength(text) > 1023) {
    throw wrong(given, "the component's domain, e.g. stats.example.com, without @ or /")
  }
  return text.normalize('NFC').toLowerCase()
}

function secret(
  file: Given | undefined,
  env: Readonly<Record<string, string | undefined>>,
): string {
  const variable = variableName('xmpp.secret')
  const inVariable = env[variable] ?? ''
  if (file === undefined || (file.from === 'file' && inVariable !== '')) {
    if (inVariable === '') {
      throw new ConfigError(
        `--xmpp.secret-file (or ${variable}): expected the component_secret, got none`,
      )
    }
    if (/[\r\n\0]/.test(inVariable)) {
      throw new ConfigError(`${variable}: expected one line, got several`)
    }
    return inVariable
  }
  if (inVariable !== '' && file.from === 'variable') {
    throw new ConfigError(`${variable}: expected this or ${file.source}, got both`)
  }
  return readSecretFile(file)
}

function listenAddresses(all: readonly Given[]): ListenAddress[] {
  const addresses = all.map((given) => {
    const address = parseListenAddress(given.text, given.from === 'default')
    if (address === undefined) {
      throw wrong(given, 'host:port, [IPv6]:port, :port or unix:/path')
    }
    return address
  })
  const texts = addresses.map(addressText)
  const twice = all.find((_, i) => !/:0$/.test(texts[i]!) && texts.indexOf(texts[i]!) !== i)
  if (twice !== undefined) throw wrong(twice, 'each address once')
  return addresses
}

// No character that a route pattern or a URL gives a meaning.
function telemetryPath(given: Given): string {
  if (!/^(?:\/|(?:\/[\w.~-]+)+)$/.test(given.text)) {
    throw wrong(given, 'a path that starts with / and has only letters, digits and . _ ~ - /')
  }
  if (RESERVED_PATHS.includes(given.text)) {
    throw wrong(given, `a path other than ${RESERVED_PATHS.join(' and ')}`)
  }
  return given.text
}

function seconds(given: Given): number {
  const plain = /^\d{1,9}(?:\.\d{1,9})?$/.test(given.text)
  const ms = plain ? Number(given.text) * 1000 : parseDuration(given.text)
  if (ms === undefined) throw wrong(given, 'seconds, e.g. 0.5, or a duration, e.g. 500ms')
  return ms
}

function duration(given: Given): number {
  const ms = parseDuration(given.text)
  if (ms === undefined) throw wrong(given, 'a duration, e.g. 250ms or 1m30s')
  return ms
}

function minAge(given: Given, timestamps: boolean): number {
  const ms = duration(given)
  if (ms > MAX_STAMPED_AGE_MS)
    throw wrong(given, 'at most 4m (Prometheus forgets a series after 5m)')
  if (ms > MAX_MIN_AGE_MS && !timestamps) {
    throw wrong(
      given,
      'at most 5s without exposition.timestamps (rate() errs by min_age divided by its window)',
    )
  }
  return ms
}

function serveStaleFor(given: Given): number {
  const ms = duration(given)
  if (ms > MAX_STALE_MS) throw wrong(given, 'at most 4m (Prometheus forgets a series after 5m)')
  return ms
}

function collectionTimeout(given: Given): number {
  const ms = duration(given)
  if (ms < MIN_COLLECTION_MS || ms > MAX_COLLECTION_MS) throw wrong(given, '100ms to 10m')
  return ms
}

function count(given: Given): number {
  const number = /^\d{1,15}$/.test(given.text) ? Number(given.text) : undefined
  if (number === undefined) throw wrong(given, 'a whole number, 0 for no limit')
  return number
}

function dropRule({ family, labels }: GivenDropRule): DropRule {
  return {
    family: wholeMatch(family),
    labels: new Map(Array.from(labels, ([name, given]) => [name, wholeMatch(given)])),
  }
}

// As Prometheus's relabeling has it: the whole text must match, and `.` is any character. RE2's
// `(?i)` is a flag in JavaScript.
function wholeMatch(given: Given): RegExp {
  const pattern = given.text.replace(/^\(\?i\)/, '')
  const flags = pattern === given.text ? 'su' : 'isu'
  try {
    new RegExp(pattern, flags) // `a)|(b` is none, but would be one between our brackets
    return new RegExp(`^(?:${pattern})$`, flags)
  } catch {
    throw wrong(given, 'a regular expression')
  }
}

function bool(given: Given): boolean {
  return oneOf(given, ['true', 'false']) === 'true'
}

function oneOf<T extends string>(given: Given, values: readonly T[]): T {
  const value = values.find((each) => each === given.text)
  if (value !== undefined) return value
  throw wrong(given, `${values.slice(0, -1).join(', ')} or ${values.at(-1) ?? ''}`)
}

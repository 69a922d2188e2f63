import type { DropRule } from '../collectors/registry/registry-filter.js'
import { NAME_SCHEMES, type NameScheme } from '../collectors/registry/name-schemes.js'
import { readConfigFile, mergeFileSettings, type GivenDropRule } from './config-file.js'
import { readReverseProxy, type ReverseProxy } from './reverse-proxy.js'
import { readServers, type ServerConfig } from './server-config.js'
import { readSocketAccess, type SocketAccess } from './socket-access.js'
import { isTrue, wholeNumber, durationMs, requiredSetting, oneOf, valueError } from './values.js'
import { parseDuration } from './duration.js'
import { ConfigError } from '../errors.js'
import { LOG_FORMATS, LOG_LEVELS, type LogLevel, type LogOptions } from '../log/log.js'
import type { Given, Settings } from './flags.js'
import {
  addressText,
  openSockets,
  parseListenAddress,
  type ListenAddress,
} from './listen-address.js'
import { PAGE_PATHS } from './page-paths.js'

export type { ServerConfig } from './server-config.js'

export type Config = {
  readonly servers: readonly ServerConfig[]
  readonly web: ReverseProxy & {
    readonly listenAddresses: readonly ListenAddress[]
    readonly telemetryPath: string
    /** 0 for no limit. */
    readonly maxRequests: number
    readonly disableExporterMetrics: boolean
    /** Status 503 while the server is down. */
    readonly failWhenDown: boolean
    readonly socketAccess: SocketAccess
    readonly enableLifecycle: boolean
    /** The web configuration file; `main.ts` checks its contents. */
    readonly configFile: Given | undefined
  }
  readonly timeoutOffsetMs: number
  readonly collection: {
    readonly minAgeMs: number
    readonly timeoutMs: number
    /** 0: never. */
    readonly serveStaleForMs: number
  }
  readonly exposition: {
    readonly names: readonly NameScheme[]
    readonly created: boolean
    readonly timestamps: boolean
  }
  readonly registry: { readonly drop: readonly DropRule[] }
  /** 0: nothing is collected for the page. */
  readonly page: { readonly intervalMs: number }
  /** 0 for no limit. */
  readonly limits: { readonly series: number; readonly labelValueLength: number }
  readonly log: LogOptions
}

type Env = Readonly<Record<string, string | undefined>>

const MAX_MIN_AGE_MS = 5000
// With the samples' own time rate() is right all the same.
const MAX_STAMPED_AGE_MS = 240_000
// Prometheus forgets a series 5 minutes after its last sample.
const MAX_STALE_MS = 240_000
const MIN_COLLECTION_MS = 100
const MAX_COLLECTION_MS = 600_000
const MIN_PAGE_MS = 1000
const MAX_PAGE_MS = 3_600_000
const RESERVED_PATHS = ['/-/healthy', '/-/ready', '/-/reload', '/config', '/probe', '/sd']

/**
 * Reads the configuration file, if one is given, and the secret, and checks every setting.
 *
 * @param given From command line and environment: they win over the file.
 * @param env Where the secret may be, which has no flag.
 * @param pid Of a process that listens, and so may need the sockets of systemd.
 * @throws ConfigError for the first wrong one; its message is one line without the secret.
 */
export function readConfig(given: Settings, env: Env, pid?: number): Config {
  const path = given.get('config.file')
  const file = path && readConfigFile(path)
  const settings = file ? mergeFileSettings(given, file) : given
  const timestamps = isTrue(requiredSetting(settings, 'exposition.timestamps'))
  return {
    servers: readServers(settings, file, env),
    web: {
      listenAddresses: addresses(settings, env, pid),
      telemetryPath: telemetryPath(requiredSetting(settings, 'web.telemetry-path')),
      ...readReverseProxy(settings.get('web.external-url'), settings.get('web.route-prefix')),
      maxRequests: wholeNumber(requiredSetting(settings, 'web.max-requests')),
      disableExporterMetrics: isTrue(requiredSetting(settings, 'web.disable-exporter-metrics')),
      failWhenDown: isTrue(requiredSetting(settings, 'web.fail-when-down')),
      socketAccess: readSocketAccess(
        settings.get('web.socket-mode'),
        settings.get('web.socket-group'),
      ),
      enableLifecycle: isTrue(requiredSetting(settings, 'web.enable-lifecycle')),
      configFile: settings.get('web.config.file'),
    },
    timeoutOffsetMs: seconds(requiredSetting(settings, 'timeout-offset')),
    collection: {
      minAgeMs: minAge(requiredSetting(settings, 'collection.min-age'), timestamps),
      timeoutMs: collectionTimeout(requiredSetting(settings, 'collection.timeout')),
      serveStaleForMs: serveStaleFor(requiredSetting(settings, 'collection.serve-stale-for')),
    },
    exposition: {
      names: nameSchemes(settings.all('exposition.names')),
      created: isTrue(requiredSetting(settings, 'exposition.created')),
      timestamps,
    },
    registry: { drop: (file?.drop ?? []).map(dropRule) },
    page: { intervalMs: pageInterval(requiredSetting(settings, 'page.interval')) },
    limits: {
      series: wholeNumber(requiredSetting(settings, 'limits.series')),
      labelValueLength: wholeNumber(requiredSetting(settings, 'limits.label-value-length')),
    },
    log: {
      level: logLevel(requiredSetting(settings, 'log.level')),
      format: oneOf(requiredSetting(settings, 'log.format'), LOG_FORMATS),
    },
  }
}

/** In any case: Prometheus 3 writes levels in capitals. */
function logLevel(given: Given): LogLevel {
  const level = LOG_LEVELS.find((each) => each === given.text.toLowerCase())
  return level ?? oneOf(given, LOG_LEVELS)
}

/** Those of systemd in place of ours, if it is asked for. */
function addresses(
  settings: Settings,
  env: Env,
  pid: number | undefined,
): readonly ListenAddress[] {
  const isAsked = requiredSetting(settings, 'web.systemd-socket')
  if (!isTrue(isAsked) || pid === undefined)
    return listenAddresses(settings.all('web.listen-address'))
  const sockets = openSockets(env, pid)
  if (!sockets) {
    const got = 'got none: start it by its socket unit (LISTEN_FDS, LISTEN_PID)'
    throw new ConfigError(`${isAsked.source}: expected sockets of systemd, ${got}`)
  }
  return sockets
}

function nameSchemes(all: readonly Given[]): NameScheme[] {
  const schemes = all.map((given) => oneOf(given, NAME_SCHEMES))
  const twice = all.find((_, i) => schemes.indexOf(schemes[i]!) !== i)
  if (twice !== undefined) throw valueError(twice, 'each way of naming once')
  return schemes
}

function listenAddresses(all: readonly Given[]): ListenAddress[] {
  const addresses = all.map((given) => {
    const address = parseListenAddress(given.text, given.from === 'default')
    if (address === undefined) {
      throw valueError(given, 'host:port, [IPv6]:port, :port or unix:/path')
    }
    return address
  })
  const texts = addresses.map(addressText)
  const twice = all.find((_, i) => !/:0$/.test(texts[i]!) && texts.indexOf(texts[i]!) !== i)
  if (twice !== undefined) throw valueError(twice, 'each address once')
  return addresses
}

// No character that a route pattern or a URL gives a meaning.
function telemetryPath(given: Given): string {
  if (!/^(?:\/|(?:\/[\w.~-]+)+)$/.test(given.text)) {
    throw valueError(given, 'a path that starts with / and has only letters, digits and . _ ~ - /')
  }
  if (RESERVED_PATHS.includes(given.text)) {
    throw valueError(given, `a path other than ${RESERVED_PATHS.join(', ')}`)
  }
  if (PAGE_PATHS.includes(given.text))
    throw valueError(given, 'a path that is none of the page at /')
  return given.text
}

function seconds(given: Given): number {
  const plain = /^\d{1,9}(?:\.\d{1,9})?$/.test(given.text)
  const ms = plain ? Number(given.text) * 1000 : parseDuration(given.text)
  if (ms === undefined) throw valueError(given, 'seconds, e.g. 0.5, or a duration, e.g. 500ms')
  return ms
}

function minAge(given: Given, timestamps: boolean): number {
  const ms = durationMs(given)
  if (ms > MAX_STAMPED_AGE_MS)
    throw valueError(given, 'at most 4m (Prometheus forgets a series after 5m)')
  if (ms > MAX_MIN_AGE_MS && !timestamps) {
    throw valueError(
      given,
      'at most 5s without exposition.timestamps (rate() errs by min_age divided by its window)',
    )
  }
  return ms
}

function serveStaleFor(given: Given): number {
  const ms = durationMs(given)
  if (ms > MAX_STALE_MS)
    throw valueError(given, 'at most 4m (Prometheus forgets a series after 5m)')
  return ms
}

function collectionTimeout(given: Given): number {
  const ms = durationMs(given)
  if (ms < MIN_COLLECTION_MS || ms > MAX_COLLECTION_MS) throw valueError(given, '100ms to 10m')
  return ms
}

function pageInterval(given: Given): number {
  const ms = durationMs(given)
  if (ms !== 0 && (ms < MIN_PAGE_MS || ms > MAX_PAGE_MS)) throw valueError(given, '0, or 1s to 1h')
  return ms
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
    throw valueError(given, 'a regular expression')
  }
}

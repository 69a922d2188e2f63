import type { DropRule } from '../collectors/registry/registry-filter.js'
import type { NameScheme } from '../collectors/registry/name-schemes.js'
import { ConfigError } from '../errors.js'
import type { LogOptions } from '../log/log.js'
import { valueError, type Given } from './given.js'
import { formatAddress, findOpenSockets, type ListenAddress } from './listen-address.js'
import type { ConfigFile, GivenDropRule } from './read-config-file.js'
import { readServers, type ServerConfig } from './read-servers.js'
import { findGiven, mergeFileValues, readValue, type Env, type Settings } from './read-settings.js'
import { combineProxySettings, type ReverseProxy } from './reverse-proxy.js'
import type { SettingName } from './settings.js'
import type { SocketAccess } from './socket-access.js'

export type { ServerConfig } from './read-servers.js'

export type Config = {
  readonly servers: readonly ServerConfig[]
  readonly web: ReverseProxy & {
    readonly listenAddresses: readonly ListenAddress[]
    readonly telemetryPath: string
    /** 0 means no limit. */
    readonly maxRequests: number
    readonly disableExporterMetrics: boolean
    readonly failWhenDown: boolean
    readonly socketAccess: SocketAccess
    readonly enableLifecycle: boolean
    /** The name of the web configuration file. `readConfig` does not read it. */
    readonly configFile: Given | undefined
  }
  readonly timeoutOffsetMs: number
  readonly collection: {
    readonly minAgeMs: number
    readonly timeoutMs: number
    /** 0 means never. */
    readonly serveStaleForMs: number
  }
  readonly exposition: {
    readonly names: readonly NameScheme[]
    readonly created: boolean
    readonly timestamps: boolean
  }
  readonly registry: { readonly drop: readonly DropRule[] }
  /** 0 means that nothing is collected for the page. */
  readonly page: { readonly intervalMs: number }
  /** 0 means no limit. */
  readonly limits: { readonly series: number; readonly labelValueLength: number }
  readonly log: LogOptions
}

/** Without timestamps, the error of rate() is the age of a snapshot divided by the window. */
const MAX_AGE_WITHOUT_TIMESTAMPS_MS = 5000

const NO_VALUES: ReadonlyMap<string, readonly Given[]> = new Map()

/**
 * Checks all settings, and reads the secret files.
 *
 * @param given The settings of the command line and the environment, which override the file.
 * @param sources.file The configuration file, as `readConfigFile` returns it.
 * @param sources.env For the sockets that systemd opened.
 * @param sources.pid The process that will listen. Default: none, and the sockets of systemd are not used.
 * @throws ConfigError for the first mistake: one line, without the secret.
 */
export function readConfig(
  given: Settings,
  { file, env, pid }: { file: ConfigFile | undefined; env: Env; pid?: number | undefined },
): Config {
  const settings = mergeFileValues(given, file?.values ?? NO_VALUES)
  return {
    servers: readServers(settings, file),
    web: readWeb(settings, env, pid),
    timeoutOffsetMs: readValue(settings, 'timeout-offset'),
    collection: {
      minAgeMs: readMinAge(settings),
      timeoutMs: readValue(settings, 'collection.timeout'),
      serveStaleForMs: readValue(settings, 'collection.serve-stale-for'),
    },
    exposition: {
      names: readNames(settings),
      created: readValue(settings, 'exposition.created'),
      timestamps: readValue(settings, 'exposition.timestamps'),
    },
    registry: { drop: (file?.drop ?? []).map(readDropRule) },
    page: { intervalMs: readValue(settings, 'page.interval') },
    limits: {
      series: readValue(settings, 'limits.series'),
      labelValueLength: readValue(settings, 'limits.label-value-length'),
    },
    log: {
      level: readValue(settings, 'log.level'),
      format: readValue(settings, 'log.format'),
    },
  }
}

function readWeb(settings: Settings, env: Env, pid: number | undefined): Config['web'] {
  return {
    listenAddresses: readListenAddresses(settings, env, pid),
    telemetryPath: readValue(settings, 'web.telemetry-path'),
    ...combineProxySettings(
      readValue(settings, 'web.external-url'),
      readValue(settings, 'web.route-prefix'),
    ),
    maxRequests: readValue(settings, 'web.max-requests'),
    disableExporterMetrics: readValue(settings, 'web.disable-exporter-metrics'),
    failWhenDown: readValue(settings, 'web.fail-when-down'),
    socketAccess: {
      mode: readValue(settings, 'web.socket-mode'),
      group: readValue(settings, 'web.socket-group'),
    },
    enableLifecycle: readValue(settings, 'web.enable-lifecycle'),
    configFile: findGiven(settings, 'web.config.file'),
  }
}

/** Reads the listen addresses, or with `--web.systemd-socket` finds the sockets that systemd opened. */
function readListenAddresses(
  settings: Settings,
  env: Env,
  pid: number | undefined,
): readonly ListenAddress[] {
  if (readValue(settings, 'web.systemd-socket') && pid !== undefined) {
    const sockets = findOpenSockets(env, pid)
    if (sockets) return sockets
    const { source } = findGiven(settings, 'web.systemd-socket')!
    throw new ConfigError(
      `${source}: expected sockets of systemd, got none: start the exporter with its socket unit ` +
        '(LISTEN_FDS, LISTEN_PID)',
    )
  }
  const addresses = readValue(settings, 'web.listen-address')
  const texts = addresses.map(formatAddress)
  // Port 0 is any free port, so the same text can be two addresses.
  const comparable = texts.map((text, i) => (text.endsWith(':0') ? i : text))
  refuseDuplicate(settings, 'web.listen-address', comparable, 'each address once')
  return addresses
}

function readNames(settings: Settings): readonly NameScheme[] {
  const names = readValue(settings, 'exposition.names')
  refuseDuplicate(settings, 'exposition.names', names, 'each naming scheme once')
  return names
}

function refuseDuplicate(
  settings: Settings,
  name: SettingName,
  values: readonly unknown[],
  expected: string,
): void {
  const i = values.findIndex((value, i) => values.indexOf(value) !== i)
  if (i >= 0) throw valueError(settings.all(name)[i]!, expected)
}

function readMinAge(settings: Settings): number {
  const ms = readValue(settings, 'collection.min-age')
  const hasTimestamps = readValue(settings, 'exposition.timestamps')
  if (ms <= MAX_AGE_WITHOUT_TIMESTAMPS_MS || hasTimestamps) return ms
  throw valueError(
    findGiven(settings, 'collection.min-age')!,
    'at most 5s without exposition.timestamps (the error of rate() is min_age divided by its window)',
  )
}

function readDropRule({ family, labels }: GivenDropRule): DropRule {
  return {
    family: parsePattern(family),
    labels: new Map(Array.from(labels, ([name, given]) => [name, parsePattern(given)])),
  }
}

// As in Prometheus's relabeling, the whole text must match, and `.` is any character. `(?i)` at the start is a
// flag in JavaScript.
function parsePattern(given: Given): RegExp {
  const pattern = given.text.replace(/^\(\?i\)/, '')
  const flags = pattern === given.text ? 'su' : 'isu'
  try {
    new RegExp(pattern, flags) // `a)|(b` is invalid, but would be valid in the group below
    return new RegExp(`^(?:${pattern})$`, flags)
  } catch {
    throw valueError(given, 'a regular expression')
  }
}

import type { DropRule } from '../collectors/registry/registry-filter.js'
import type { NameScheme } from '../collectors/registry/name-schemes.js'
import { ConfigError } from '../errors.js'
import type { LogOptions } from '../log/log.js'
import { valueError, type Given } from './given.js'
import { formatAddress, findOpenSockets, type ListenAddress } from './listen-address.js'
import type { ConfigFile, GivenDropRule } from './read-config-file.js'
import { readMessaging, type MessagingConfig } from './read-messaging.js'
import { readOutside, type OutsideConfig } from './read-outside.js'
import { readServers, type ServerConfig } from './read-servers.js'
import {
  findGiven,
  mergeFileValues,
  readValue,
  refuseDuplicate,
  type Env,
  type Settings,
} from './read-settings.js'
import { combineProxySettings, type ReverseProxy } from './reverse-proxy.js'
import type { SocketAccess } from './socket-access.js'

export type { AlertsConfig, ChatConfig, MessagingConfig } from './read-messaging.js'
export type { OutsideConfig } from './read-outside.js'
export type { ServerConfig } from './read-servers.js'

export type Config = MessagingConfig & {
  /** Empty if the exporter only checks domains from outside. */
  readonly servers: readonly ServerConfig[]
  readonly web: ReverseProxy & {
    readonly listenAddresses: readonly ListenAddress[]
    readonly telemetryPath: string
    /** Maximum number of waiting scrapes from one client address. 0 means no limit. */
    readonly maxRequests: number
    readonly disableExporterMetrics: boolean
    readonly failWhenDown: boolean
    readonly socketAccess: SocketAccess
    readonly enableLifecycle: boolean
    /** The name of the web configuration file, which `readConfig` does not read. */
    readonly configFile: Given | undefined
  }
  readonly timeoutOffsetMs: number
  readonly collection: {
    readonly minAgeMs: number
    readonly timeoutMs: number
    /** 0 means that the series of a server that does not answer are never served. */
    readonly serveStaleForMs: number
  }
  readonly exposition: {
    readonly names: readonly NameScheme[]
    readonly created: boolean
    readonly timestamps: boolean
  }
  readonly registry: { readonly drop: readonly DropRule[] }
  /** 0 means that the exporter never collects for the page. */
  readonly page: { readonly intervalMs: number }
  /** `undefined` if the exporter checks no domain from outside. */
  readonly outside: OutsideConfig | undefined
  /** The directory of the history files. A reload does not change it. */
  readonly stateDirectory: string | undefined
  /** For each of the two limits, 0 means no limit. */
  readonly limits: { readonly series: number; readonly labelValueLength: number }
  readonly log: LogOptions
}

/**
 * The largest `collection.min_age` without `exposition.timestamps`. Without timestamps, an old snapshot makes the
 * result of PromQL's rate() wrong, by up to the age of the snapshot divided by the window of rate().
 */
const MAX_AGE_WITHOUT_TIMESTAMPS_MS = 5000

const NO_VALUES: ReadonlyMap<string, readonly Given[]> = new Map()

/**
 * Checks all settings, and reads the secret files.
 *
 * @param given The settings of the command line and the environment, which override the configuration file.
 * @param sources.file The configuration file, as `readConfigFile` returns it.
 * @param sources.env The environment, whose LISTEN_FDS and LISTEN_PID describe the sockets that systemd opened.
 * @param sources.pid The ID of the process that will listen. Without it, the sockets of systemd are not used.
 * @throws ConfigError for the first mistake. The message is one line that never contains the secret.
 */
export function readConfig(
  given: Settings,
  { file, env, pid }: { file: ConfigFile | undefined; env: Env; pid?: number | undefined },
): Config {
  const settings = mergeFileValues(given, file?.values ?? NO_VALUES)
  const servers = readServers(settings, file)
  return {
    servers,
    ...readMessaging(settings, servers),
    outside: readOutside(settings, servers),
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
    stateDirectory: readValue(settings, 'state.directory') ?? findStateDirectory(env),
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

/** Returns the first directory of `StateDirectory=` in the systemd unit. See systemd.exec(5). */
function findStateDirectory(env: Env): string | undefined {
  return env['STATE_DIRECTORY']?.split(':')[0] || undefined
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

/** Returns the listen addresses. With `--web.systemd-socket`, these are the sockets that systemd opened. */
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
      `${source}: expected sockets of systemd, got none (LISTEN_FDS, LISTEN_PID). ` +
        'Start prosody-exporter.socket, or remove this setting',
    )
  }
  const addresses = readValue(settings, 'web.listen-address')
  const texts = addresses.map(formatAddress)
  // Port 0 stands for any free port, so `localhost:0` given twice means two ports and is no duplicate.
  const comparable = texts.map((text, i) => (text.endsWith(':0') ? i : text))
  refuseDuplicate(settings.all('web.listen-address'), comparable, 'each address once')
  return addresses
}

function readNames(settings: Settings): readonly NameScheme[] {
  const names = readValue(settings, 'exposition.names')
  refuseDuplicate(settings.all('exposition.names'), names, 'each naming scheme once')
  return names
}

function readMinAge(settings: Settings): number {
  const ms = readValue(settings, 'collection.min-age')
  const hasTimestamps = readValue(settings, 'exposition.timestamps')
  if (ms <= MAX_AGE_WITHOUT_TIMESTAMPS_MS || hasTimestamps) return ms
  throw valueError(
    findGiven(settings, 'collection.min-age')!,
    'at most 5s without exposition.timestamps (min_age divided by the window of rate() is the error of rate())',
  )
}

function readDropRule({ family, labels }: GivenDropRule): DropRule {
  return {
    family: parsePattern(family),
    labels: new Map(Array.from(labels, ([name, given]) => [name, parsePattern(given)])),
  }
}

// An expression works as in Prometheus's relabeling: it must match the whole text, and `.` matches any character.
// JavaScript does not know `(?i)` at the start of an expression, so it becomes the flag `i`.
function parsePattern(given: Given): RegExp {
  const pattern = given.text.replace(/^\(\?i\)/, '')
  const flags = pattern === given.text ? 'su' : 'isu'
  try {
    new RegExp(pattern, flags) // `a)|(b` is an invalid expression, but `^(?:a)|(b)$` would be valid
    return new RegExp(`^(?:${pattern})$`, flags)
  } catch {
    throw valueError(given, 'a regular expression')
  }
}

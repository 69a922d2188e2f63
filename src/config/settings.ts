/** The table of all settings. Flags, variables, YAML keys, `--help`, the schema and the docs come from it. */

import { COLLECTORS } from '../collectors/index.js'
import { NAME_SCHEMES } from '../collectors/registry/name-schemes.js'
import { LOG_FORMATS, LOG_LEVELS } from '../log/log.js'
import { ACTION, BOOLEAN, duration, FILE, LIMIT, oneOf, SECONDS, text } from './kinds.js'
import { textOrNumber, type Kind } from './kinds.js'
import { readListenAddress } from './listen-address.js'
import { parseSecret } from './read-secret-file.js'
import { parseExternalUrl, parseRoutePrefix } from './reverse-proxy.js'
import { parseSocketGroup, parseSocketMode } from './socket-access.js'
import { parseTelemetryPath } from './telemetry-path.js'
import { parseComponentDomain, parseHost, parseServiceAddress } from './xmpp-address.js'

type SettingDefinition = {
  /** The type of the value, with its range. */
  readonly kind: Kind
  readonly default?: string | readonly string[]
  /** For a default that depends on other settings: what `--help` and the docs say. */
  readonly defaultInWords?: string
  /** For `--help`, the JSON schema and the docs. These add the allowed values and the default. */
  readonly help: string
  /** Default: true. Without a flag, the setting has a variable. */
  readonly hasFlag?: false
  /**
   * The key in the configuration file. Below `servers[]` it is set for each server.
   * Default: the file cannot have the setting.
   */
  readonly key?: string
  /** Repeat the flag, separate the values in the variable with commas, or write a list in YAML. */
  readonly isRepeatable?: true
  /** In YAML, one value can stand alone, without a list. */
  readonly isListOptional?: true
}

const STALENESS = 'Prometheus forgets a series after 5m'

const DEFINITIONS = {
  'config.file': {
    kind: FILE,
    help: 'Configuration file (YAML). Variables override it, and flags override both.',
  },
  'config.check': {
    kind: ACTION,
    help: 'Check flags, variables and files, then exit with 0 (valid) or 1 (invalid).',
  },
  'xmpp.service': {
    kind: text('URL', parseServiceAddress, /^[xX][mM][pP][pP]:\/\/[^@]+$/),
    default: 'xmpp://127.0.0.1:5347',
    key: 'servers[].service',
    help: "Address of Prosody's component port: xmpp://host[:port].",
  },
  'xmpp.domain': {
    kind: text('JID', parseComponentDomain, /^[^@/\s]+$/),
    key: 'servers[].domain',
    help: 'Domain of the component, as in its Component line in prosody.cfg.lua. Required.',
  },
  'xmpp.secret-file': {
    kind: FILE,
    key: 'servers[].secret_file',
    help:
      'File with the component_secret. In YAML, the path is relative to the YAML file. ' +
      'PROSODY_EXPORTER_XMPP_SECRET can hold the secret instead.',
  },
  'xmpp.secret': {
    kind: text('SECRET', parseSecret),
    hasFlag: false,
    help: 'The component_secret itself.',
  },
  'xmpp.host': {
    kind: text('HOST', parseHost, /^[^@/\s]+$/),
    defaultInWords: "the domain's parent, with its components",
    isRepeatable: true,
    key: 'servers[].hosts',
    help: 'VirtualHosts to query with standard XMPP.',
  },
  'web.listen-address': {
    kind: text('ADDRESS', readListenAddress),
    default: ['127.0.0.1:9347', '[::1]:9347'],
    isRepeatable: true,
    help: 'Addresses to listen on: host:port, :port or unix:/path.',
  },
  'web.telemetry-path': {
    kind: text('PATH', parseTelemetryPath),
    default: '/metrics',
    help: 'Path of the metrics.',
  },
  'web.systemd-socket': {
    kind: BOOLEAN,
    default: 'false',
    help: 'Listen on the sockets that systemd opened, and on no others.',
  },
  'web.socket-mode': {
    kind: textOrNumber('MODE', parseSocketMode, { pattern: /^0?[67][0-7]{2}$/ }),
    defaultInWords: 'by the umask, or 0660 with a group',
    key: 'web.socket_mode',
    help: 'Permissions of the Unix sockets, octal, e.g. 0660. In YAML, write it in quotes.',
  },
  'web.socket-group': {
    kind: textOrNumber('GROUP', parseSocketGroup, { pattern: /./, minimum: 0 }),
    key: 'web.socket_group',
    help: 'Group of the Unix sockets: a name or a number.',
  },
  'web.config.file': {
    kind: FILE,
    help: 'Web configuration file (YAML): TLS, passwords, headers, rate limit.',
  },
  'web.external-url': {
    kind: text('URL', parseExternalUrl),
    help: 'Public URL behind a proxy, e.g. https://example.org/prosody.',
  },
  'web.route-prefix': {
    kind: text('PATH', parseRoutePrefix),
    defaultInWords: 'the path of --web.external-url',
    help: 'Prefix of every path.',
  },
  'web.max-requests': {
    kind: LIMIT,
    default: '40',
    help: 'Maximum waiting scrapes per client address; more get status 503. 0 means no limit.',
  },
  'web.disable-exporter-metrics': {
    kind: BOOLEAN,
    default: 'false',
    help: 'Omit the metrics about this process, prosody_exporter_process_*.',
  },
  'web.fail-when-down': {
    kind: BOOLEAN,
    default: 'false',
    key: 'web.fail_when_down',
    help: 'Respond with status 503 while the server is down: /metrics with one server, and /probe.',
  },
  'web.enable-lifecycle': {
    kind: BOOLEAN,
    default: 'false',
    help: 'Reload the configuration at POST /-/reload, as at SIGHUP.',
  },
  'timeout-offset': {
    kind: SECONDS,
    default: '0.5',
    help: 'Seconds to respond before the scrape timeout of Prometheus, capped at half of it.',
  },
  'log.level': {
    kind: oneOf('LEVEL', LOG_LEVELS, { isCaseIgnored: true }),
    default: 'info',
    help: 'Lowest level of the log.',
  },
  'log.format': {
    kind: oneOf('FORMAT', LOG_FORMATS),
    default: 'logfmt',
    help: 'Format of the log, on standard error.',
  },
  'collection.min-age': {
    kind: duration({ max: '4m', reason: STALENESS }),
    default: '250ms',
    hasFlag: false,
    key: 'collection.min_age',
    help:
      'Maximum age of a snapshot that is served again, since the start of its collection. ' +
      'More than 5s requires exposition.timestamps.',
  },
  'collection.timeout': {
    kind: duration({ min: '100ms', max: '10m' }),
    default: '10s',
    hasFlag: false,
    key: 'collection.timeout',
    help: 'Maximum duration of a collection.',
  },
  'collection.serve-stale-for': {
    kind: duration({ max: '4m', reason: STALENESS }),
    default: '0s',
    hasFlag: false,
    key: 'collection.serve_stale_for',
    help: 'Time to serve the last series while the server does not answer.',
  },
  'exposition.names': {
    kind: oneOf('SCHEME', NAME_SCHEMES),
    default: 'openmetrics',
    hasFlag: false,
    isRepeatable: true,
    isListOptional: true,
    key: 'exposition.names',
    help:
      "How to name the registry's families: as mod_http_openmetrics does (openmetrics), with single " +
      'underscores, or as Prosody 0.11 does (mod_prometheus). With several, a family has all names.',
  },
  'exposition.created': {
    kind: BOOLEAN,
    default: 'false',
    hasFlag: false,
    key: 'exposition.created',
    help: 'Add _created lines to OpenMetrics.',
  },
  'exposition.timestamps': {
    kind: BOOLEAN,
    default: 'false',
    hasFlag: false,
    key: 'exposition.timestamps',
    help: "Give the server's samples the time of their collection.",
  },
  'page.interval': {
    kind: duration({ min: '1s', max: '1h', isZeroAllowed: true }),
    default: '15s',
    hasFlag: false,
    key: 'page.interval',
    help: 'Collect for the history on the page if no scrape did so for this time. 0 means never.',
  },
  'limits.series': {
    kind: LIMIT,
    default: '2000000',
    hasFlag: false,
    key: 'limits.series',
    help: 'Maximum number of series; the largest families are omitted first. 0 means no limit.',
  },
  'limits.label-value-length': {
    kind: LIMIT,
    default: '0',
    hasFlag: false,
    key: 'limits.label_value_length',
    help: 'Maximum characters of a label value; longer series are omitted. 0 means no limit.',
  },
  version: { kind: ACTION, help: 'Print the name and the version.' },
  help: { kind: ACTION, help: 'Print this help.' },
} satisfies Readonly<Record<string, SettingDefinition>>

/** `log.level` is the flag `--log.level` and the variable `PROSODY_EXPORTER_LOG_LEVEL`. */
export type Setting = Omit<SettingDefinition, 'default'> & {
  readonly name: SettingName
  readonly defaults: readonly string[]
}

type DefinedName = keyof typeof DEFINITIONS
export type SettingName = DefinedName | `collector.${string}`

export const SETTINGS: readonly Setting[] = [
  ...Object.entries<SettingDefinition>(DEFINITIONS).map(([name, definition]) =>
    toSetting(name as DefinedName, definition),
  ),
  ...COLLECTORS.map(({ name, isOn, help }) =>
    toSetting(`collector.${name}`, {
      kind: BOOLEAN,
      default: String(isOn),
      key: `servers[].collectors.${name}`,
      help,
    }),
  ),
]

function toSetting(
  name: SettingName,
  { default: defaults = [], ...definition }: SettingDefinition,
): Setting {
  return { ...definition, name, defaults: [defaults].flat() }
}

const BY_NAME: ReadonlyMap<string, Setting> = new Map(
  SETTINGS.map((setting) => [setting.name, setting]),
)

export function findSetting(name: string): Setting | undefined {
  return BY_NAME.get(name)
}

/** The type of a setting's value, for example `number` for a duration. */
export type ValueOf<N extends SettingName> = N extends DefinedName
  ? DefinedValue<(typeof DEFINITIONS)[N]>
  : boolean

type DefinedValue<D> = D extends { readonly kind: Kind<infer T> }
  ? D extends { readonly isRepeatable: true }
    ? readonly T[]
    : D extends { readonly default: unknown }
      ? T
      : T | undefined
  : never

/** @returns The variable of a setting: `PROSODY_EXPORTER_LOG_LEVEL` for `log.level`. */
export function toVariableName(name: string): string {
  return `PROSODY_EXPORTER_${name.replace(/[.-]/g, '_').toUpperCase()}`
}

/** @returns Whether the setting is a flag. */
export const isFlag = ({ hasFlag }: Setting) => hasFlag !== false

/** @returns Whether the flag needs a value, as in `--log.level=info`. */
export const takesValue = ({ kind }: Setting) => kind.type !== 'action' && kind.type !== 'boolean'

/** @returns Whether an environment variable can set it. */
export const hasVariable = ({ kind }: Setting) => kind.type !== 'action'

/** @returns Whether it is the switch of a collector, which `--help` and the docs list separately. */
export const isCollectorSwitch = ({ name }: Setting) => name.startsWith('collector.')

/** The table of all settings. Flags, variables, YAML keys, `--help`, the schema and the docs come from it. */

import { COLLECTORS } from '../collectors/index.js'
import { NAME_SCHEMES } from '../collectors/registry/name-schemes.js'
import { LOG_FORMATS, LOG_LEVELS } from '../log/log.js'
import {
  ACTION,
  BOOLEAN,
  DIRECTORY,
  duration,
  FILE,
  LIMIT,
  oneOf,
  SECONDS,
  text,
  textOrNumber,
  type Kind,
} from './kinds.js'
import { readListenAddress } from './listen-address.js'
import { parseAlertmanagerUrl, parseBareJid, parseNick, parseTemplate } from './messaging-values.js'
import { parseHostName, parseNameServer, parseNetwork, parseRemote } from './outside-values.js'
import { parseSecret } from './read-secret-file.js'
import { parseExternalUrl, parseRoutePrefix } from './reverse-proxy.js'
import { parseSocketGroup, parseSocketMode } from './socket-access.js'
import { parseTelemetryPath } from './telemetry-path.js'
import { parseComponentDomain, parseHost, parseServiceAddress } from './xmpp-address.js'

type SettingDefinition = {
  /** The type and the range of the setting's value. */
  readonly kind: Kind
  readonly default?: string | readonly string[]
  /** The default in words, if it depends on other settings. `--help` and the docs show this text. */
  readonly defaultInWords?: string
  /** The description in `--help`, the JSON schema and the docs, which add the allowed values and the default. */
  readonly help: string
  /** False for a setting that only an environment variable or the configuration file can set. */
  readonly hasFlag?: false
  /**
   * The key in the configuration file. A key that starts with `servers[].` belongs to one server.
   * A setting without `key` cannot be in the configuration file.
   */
  readonly key?: string
  /**
   * Whether the setting has several values: in repeated flags, separated by commas in the environment variable,
   * or in a YAML list.
   */
  readonly isRepeatable?: true
  /** Whether a repeatable setting with one value can be written in YAML without a list. */
  readonly isListOptional?: true
}

const STALENESS = 'Prometheus forgets a series after 5m'

const DEFINITIONS = {
  'config.file': {
    kind: FILE,
    help: 'Configuration file (YAML). Environment variables override the file, and flags override both.',
  },
  'config.check': {
    kind: ACTION,
    help: 'Check flags, environment variables and all files, then exit with 0 (valid) or 1 (invalid).',
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
    help: 'Domain of the component, as in the Component line of prosody.cfg.lua. Required.',
  },
  'xmpp.secret-file': {
    kind: FILE,
    key: 'servers[].secret_file',
    help:
      'File that contains the component_secret of prosody.cfg.lua. In the configuration file, the path is ' +
      'relative to the directory of that file. The environment variable PROSODY_EXPORTER_XMPP_SECRET can ' +
      'contain the secret itself instead.',
  },
  'xmpp.secret': {
    kind: text('SECRET', parseSecret),
    hasFlag: false,
    help: 'The component_secret of prosody.cfg.lua itself, instead of the name of a file.',
  },
  'xmpp.host': {
    kind: text('HOST', parseHost, /^[^@/\s]+$/),
    defaultInWords: "the parent of the component's domain",
    isRepeatable: true,
    key: 'servers[].hosts',
    help: 'VirtualHosts that the exporter queries with standard XMPP, together with the components that they list.',
  },
  'web.listen-address': {
    kind: text('ADDRESS', readListenAddress),
    default: ['127.0.0.1:9347', '[::1]:9347'],
    isRepeatable: true,
    help: 'Addresses on which the exporter listens for HTTP: host:port, :port or unix:/path.',
  },
  'web.telemetry-path': {
    kind: text('PATH', parseTelemetryPath),
    default: '/metrics',
    help: 'HTTP path of the metrics.',
  },
  'web.systemd-socket': {
    kind: BOOLEAN,
    default: 'false',
    help: 'Listen on the sockets that systemd opened for the exporter, and ignore --web.listen-address.',
  },
  'web.socket-mode': {
    kind: textOrNumber('MODE', parseSocketMode, { pattern: /^0?[67][0-7]{2}$/ }),
    defaultInWords: '0660 with a socket group, else decided by the umask',
    key: 'web.socket_mode',
    help: 'Octal permissions of the Unix sockets on which the exporter listens, e.g. 0660. In YAML, write the number in quotes.',
  },
  'web.socket-group': {
    kind: textOrNumber('GROUP', parseSocketGroup, { pattern: /./, minimum: 0 }),
    key: 'web.socket_group',
    help: 'Group of the Unix sockets on which the exporter listens: a name or a number.',
  },
  'web.config.file': {
    kind: FILE,
    help: 'Web configuration file (YAML) with TLS, passwords, HTTP headers and the rate limit.',
  },
  'web.external-url': {
    kind: text('URL', parseExternalUrl),
    help: 'Public URL of the exporter behind a reverse proxy, e.g. https://example.org/prosody.',
  },
  'web.route-prefix': {
    kind: text('PATH', parseRoutePrefix),
    defaultInWords: 'the path of --web.external-url',
    help: 'Prefix of every HTTP path of the exporter.',
  },
  'web.max-requests': {
    kind: LIMIT,
    default: '40',
    help: 'Maximum number of scrapes from one client address that wait for a collection. Further scrapes get status 503. 0 means no limit.',
  },
  'web.disable-exporter-metrics': {
    kind: BOOLEAN,
    default: 'false',
    help: "Omit the metrics about the exporter's own process, prosody_exporter_process_*.",
  },
  'web.fail-when-down': {
    kind: BOOLEAN,
    default: 'false',
    key: 'web.fail_when_down',
    help: 'Respond to /probe, and with a single server also to /metrics, with status 503 while the XMPP server does not answer.',
  },
  'web.enable-lifecycle': {
    kind: BOOLEAN,
    default: 'false',
    help: 'Allow HTTP clients to reload the configuration with POST /-/reload, as SIGHUP does.',
  },
  'timeout-offset': {
    kind: SECONDS,
    default: '0.5',
    help: 'Number of seconds before the scrape timeout of Prometheus at which the exporter responds, at most half of that timeout.',
  },
  'log.level': {
    kind: oneOf('LEVEL', LOG_LEVELS, { isCaseIgnored: true }),
    default: 'info',
    help: 'Lowest level of the lines that are logged.',
  },
  'log.format': {
    kind: oneOf('FORMAT', LOG_FORMATS),
    default: 'logfmt',
    help: 'Format of the log, which the exporter writes to standard error.',
  },
  'collection.min-age': {
    kind: duration({ max: '4m', reason: STALENESS }),
    default: '250ms',
    hasFlag: false,
    key: 'collection.min_age',
    help:
      'The exporter serves a snapshot again if its collection started at most this long ago. ' +
      'A value above 5s requires exposition.timestamps.',
  },
  'collection.timeout': {
    kind: duration({ min: '100ms', max: '10m' }),
    default: '10s',
    hasFlag: false,
    key: 'collection.timeout',
    help: 'Maximum duration of one collection from an XMPP server.',
  },
  'collection.serve-stale-for': {
    kind: duration({ max: '4m', reason: STALENESS }),
    default: '0s',
    hasFlag: false,
    key: 'collection.serve_stale_for',
    help: 'How long the exporter serves the last collected series of an XMPP server that does not answer.',
  },
  'exposition.names': {
    kind: oneOf('SCHEME', NAME_SCHEMES),
    default: 'openmetrics',
    hasFlag: false,
    isRepeatable: true,
    isListOptional: true,
    key: 'exposition.names',
    help:
      "Naming scheme of the metric families from Prosody's registry: the names of mod_http_openmetrics " +
      '(openmetrics), the same names with single underscores, or the names of mod_prometheus. With several ' +
      'schemes, the exporter serves each series under each name.',
  },
  'exposition.created': {
    kind: BOOLEAN,
    default: 'false',
    hasFlag: false,
    key: 'exposition.created',
    help: 'Add the creation time of each counter, histogram and summary to OpenMetrics responses, as _created lines.',
  },
  'exposition.timestamps': {
    kind: BOOLEAN,
    default: 'false',
    hasFlag: false,
    key: 'exposition.timestamps',
    help: 'Add to each sample of an XMPP server the time when its collection started.',
  },
  'page.interval': {
    kind: duration({ min: '1s', max: '1h', isZeroAllowed: true }),
    default: '15s',
    hasFlag: false,
    key: 'page.interval',
    help: 'If no scrape starts a collection for this long, the exporter collects for the charts of its page. 0 means that it never collects for the page.',
  },
  'state.directory': {
    kind: DIRECTORY,
    defaultInWords: 'StateDirectory= of the systemd unit, or else none',
    key: 'state.directory',
    help: 'Directory in which the exporter stores the history of its page, in one file for each XMPP server.',
  },
  'limits.series': {
    kind: LIMIT,
    default: '2000000',
    hasFlag: false,
    key: 'limits.series',
    help: 'Maximum number of series of one XMPP server. Above it, the exporter omits whole families, the largest first. 0 means no limit.',
  },
  'limits.label-value-length': {
    kind: LIMIT,
    default: '0',
    hasFlag: false,
    key: 'limits.label_value_length',
    help: "Maximum number of characters in a label value of Prosody's statistics (collector registry). The exporter omits series with longer values. 0 means no limit.",
  },
  'alerts.server': {
    kind: text('NAME', ({ text }) => text),
    defaultInWords: 'the only server',
    hasFlag: false,
    key: 'alerts.server',
    help: 'Name of the XMPP server that delivers the alerts. Required with several servers.',
  },
  'alerts.to': {
    kind: text('JID', parseBareJid, /^[^@/\s]+@[^@/\s]+$/),
    isRepeatable: true,
    hasFlag: false,
    key: 'alerts.to',
    help: 'People (bare JIDs) to whom the exporter sends the alerts that Alertmanager posts to /alerts.',
  },
  'alerts.rooms': {
    kind: text('JID', parseBareJid, /^[^@/\s]+@[^@/\s]+$/),
    isRepeatable: true,
    hasFlag: false,
    key: 'alerts.rooms',
    help: 'Rooms (MUC) that the exporter joins, and to which it sends the alerts.',
  },
  'alerts.nick': {
    kind: text('NICK', parseNick, /./),
    default: 'alerts',
    hasFlag: false,
    key: 'alerts.nick',
    help: 'Nickname of the exporter in the rooms.',
  },
  'alerts.token-file': {
    kind: FILE,
    hasFlag: false,
    key: 'alerts.token_file',
    help: 'File that contains the token with which Alertmanager posts to /alerts. Required with alerts.to or alerts.rooms.',
  },
  'alerts.template': {
    kind: text('TEMPLATE', parseTemplate),
    hasFlag: false,
    key: 'alerts.template',
    help: 'Text of an alert, with fields such as {{ labels.severity }}. docs/alerts.md lists the fields.',
  },
  'alerts.correct-resolved': {
    kind: BOOLEAN,
    default: 'false',
    hasFlag: false,
    key: 'alerts.correct_resolved',
    help: 'When an alert is resolved, correct its message (XEP-0308) instead of sending another one.',
  },
  'chat.server': {
    kind: text('NAME', ({ text }) => text),
    defaultInWords: 'the only server',
    hasFlag: false,
    key: 'chat.server',
    help: 'Name of the XMPP server whose users can ask the exporter. Required with several servers.',
  },
  'chat.allow': {
    kind: text('JID', parseBareJid, /^[^@/\s]+@[^@/\s]+$/),
    isRepeatable: true,
    hasFlag: false,
    key: 'chat.allow',
    help: 'People (bare JIDs) whose questions the exporter answers in chat. They must be users of this server.',
  },
  'alertmanager.url': {
    kind: text('URL', parseAlertmanagerUrl, /^https?:\/\//),
    hasFlag: false,
    key: 'alertmanager.url',
    help: 'URL of the Alertmanager whose alerts people in chat.allow can read and silence.',
  },
  'outside.domains': {
    kind: text('DOMAIN', parseHostName, /^[^@/\s]+$/),
    isRepeatable: true,
    key: 'outside.domains',
    help: 'XMPP domains that the exporter checks from outside, as clients and other servers find them: DNS, connections, TLS and certificates.',
  },
  'outside.client-domains': {
    kind: text('DOMAIN', parseHostName, /^[^@/\s]+$/),
    isRepeatable: true,
    key: 'outside.client_domains',
    help: 'Domains that only clients connect to, for example of a server without connections to other servers. The exporter checks them from outside as clients find them.',
  },
  'outside.server-domains': {
    kind: text('DOMAIN', parseHostName, /^[^@/\s]+$/),
    isRepeatable: true,
    key: 'outside.server_domains',
    help: 'Domains that only other servers connect to, for example of chat rooms. The exporter checks them from outside as other servers find them.',
  },
  'outside.interval': {
    kind: duration({ min: '1m', max: '1d', isZeroAllowed: true }),
    default: '5m',
    key: 'outside.interval',
    help: 'How often the exporter checks each domain, and pings each remote domain. 0 means that it checks a domain only when a client requests it at /probe, and pings none.',
  },
  'outside.timeout': {
    kind: duration({ min: '1s', max: '60s' }),
    default: '10s',
    key: 'outside.timeout',
    help: 'Maximum duration of each connection of a check, and of each DNS query.',
  },
  'outside.name-servers': {
    kind: text('ADDRESS', parseNameServer, /^[[\]\da-fA-F:.]+$/),
    defaultInWords: 'those of the system',
    isRepeatable: true,
    key: 'outside.name_servers',
    help: 'IP addresses of the DNS servers that the checks query, with an optional port.',
  },
  'outside.allow-private': {
    kind: BOOLEAN,
    default: 'false',
    key: 'outside.allow_private',
    help: 'Also connect to addresses of private networks, if DNS names them. By default, such an address is a problem, and the exporter does not connect to it.',
  },
  'outside.own-addresses': {
    kind: text('NETWORK', parseNetwork, /^[\da-fA-F:.]+(\/\d{1,3})?$/),
    isRepeatable: true,
    key: 'outside.own_addresses',
    help: 'IP addresses and networks (CIDR) of your servers, to which the number of connections is not limited. The addresses of this machine always belong to them. To each other address, the exporter makes at most two connections per minute.',
  },
  'outside.s2s-from': {
    kind: text('DOMAIN', parseHostName, /^[^@/\s]+$/),
    key: 'outside.s2s_from',
    help: 'Domain that the checks name as their own when they connect like a server. By default, they name none.',
  },
  'outside.web': {
    kind: BOOLEAN,
    default: 'true',
    key: 'outside.web',
    help: 'Also check host-meta of the domains that clients connect to, and the BOSH and WebSocket endpoints that it announces.',
  },
  'outside.remotes': {
    kind: text('DOMAIN', parseRemote, /^[^@/\s]+$/),
    isRepeatable: true,
    key: 'outside.remotes',
    help: "Domains of other XMPP servers that the exporter pings through its own XMPP server, from the component's domain.",
  },
  'outside.server': {
    kind: text('NAME', ({ text }) => text),
    defaultInWords: 'the only server',
    key: 'outside.server',
    help: 'Name of the XMPP server through which the exporter pings outside.remotes. Required with several servers.',
  },
  version: { kind: ACTION, help: 'Print the name and the version of the exporter.' },
  help: { kind: ACTION, help: 'Print the commands and the flags.' },
} satisfies Readonly<Record<string, SettingDefinition>>

/** A setting of the exporter. Its name `log.level` stands for `--log.level` and `PROSODY_EXPORTER_LOG_LEVEL`. */
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

/** The TypeScript type of a setting's value, for example `number` for a duration. */
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

/** @returns The environment variable of a setting: `PROSODY_EXPORTER_LOG_LEVEL` for `log.level`. */
export function toVariableName(name: string): string {
  return `PROSODY_EXPORTER_${name.replace(/[.-]/g, '_').toUpperCase()}`
}

export const isFlag = ({ hasFlag }: Setting) => hasFlag !== false

/** @returns Whether the flag of the setting needs a value, as in `--log.level=info`. */
export const takesValue = ({ kind }: Setting) => kind.type !== 'action' && kind.type !== 'boolean'

/** @returns Whether the setting has an environment variable. */
export const hasVariable = ({ kind }: Setting) => kind.type !== 'action'

/** @returns Whether the setting turns a collector on or off. `--help` and the docs list such settings separately. */
export const isCollectorSwitch = ({ name }: Setting) => name.startsWith('collector.')

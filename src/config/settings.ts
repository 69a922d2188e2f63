/** Every setting that is a single value: its name, default and help. */

import { COLLECTORS } from '../collectors/index.js'

export type Setting = {
  readonly name: string
  /** What stands for the value in the help; a switch has none. */
  readonly value?: string
  readonly defaults?: readonly string[]
  readonly help: string
  readonly repeatable?: boolean
  /** A switch that `--no-NAME` turns off; its variable is true or false. */
  readonly negatable?: boolean
  /** Has an environment variable and no flag. */
  readonly variableOnly?: boolean
}

export const SETTINGS: readonly Setting[] = [
  {
    name: 'config.file',
    value: 'FILE',
    help: 'Configuration file (YAML). Variables win over it, and flags win over both.',
  },
  {
    name: 'config.check',
    help: 'Check files, flags and variables, and exit with 0 (valid) or 1.',
  },
  {
    name: 'xmpp.service',
    value: 'URL',
    defaults: ['xmpp://127.0.0.1:5347'],
    help: "Address of Prosody's component port: xmpp://host[:port].",
  },
  {
    name: 'xmpp.domain',
    value: 'JID',
    help: 'Name of the component, as in its Component line. Required.',
  },
  {
    name: 'xmpp.secret-file',
    value: 'FILE',
    help: 'File with the component_secret; or set PROSODY_EXPORTER_XMPP_SECRET to it.',
  },
  {
    name: 'xmpp.host',
    value: 'HOST',
    repeatable: true,
    help: "VirtualHost to query; repeatable. Default: the domain's parent, with its components.",
  },
  ...COLLECTORS.map(({ name, isOn, help }) => ({
    name: `collector.${name}`,
    negatable: true,
    defaults: [String(isOn)],
    help,
  })),
  {
    name: 'web.listen-address',
    value: 'ADDRESS',
    defaults: ['127.0.0.1:9347', '[::1]:9347'],
    repeatable: true,
    help: 'host:port, :port or unix:/path; repeatable.',
  },
  {
    name: 'web.telemetry-path',
    value: 'PATH',
    defaults: ['/metrics'],
    help: 'Path of the metrics.',
  },
  {
    name: 'web.systemd-socket',
    negatable: true,
    defaults: ['false'],
    help: 'Use the sockets that systemd opened, and no others.',
  },
  {
    name: 'web.socket-mode',
    value: 'MODE',
    help: 'Permissions of unix: sockets, octal, e.g. 0660. Default: by the umask.',
  },
  {
    name: 'web.socket-group',
    value: 'GROUP',
    help: 'Group of unix: sockets: a name or a number. The default mode is then 0660.',
  },
  {
    name: 'web.config.file',
    value: 'FILE',
    help: 'Web configuration file (YAML): TLS, passwords, headers, rate limit.',
  },
  {
    name: 'web.external-url',
    value: 'URL',
    help: 'Public URL behind a proxy, e.g. https://example.org/prosody.',
  },
  {
    name: 'web.route-prefix',
    value: 'PATH',
    help: 'Prefix of every path. Default: the path of --web.external-url.',
  },
  {
    name: 'web.max-requests',
    value: 'NUMBER',
    defaults: ['40'],
    help: 'Maximum waiting scrapes per client address; more get status 503. 0: no limit.',
  },
  {
    name: 'web.disable-exporter-metrics',
    negatable: true,
    defaults: ['false'],
    help: 'Omit the metrics about this process, prosody_exporter_process_*.',
  },
  {
    name: 'web.fail-when-down',
    negatable: true,
    defaults: ['false'],
    help: 'Status 503 while the server is down: /metrics with one server, and /probe.',
  },
  {
    name: 'web.enable-lifecycle',
    negatable: true,
    defaults: ['false'],
    help: 'Reload the configuration at POST /-/reload, as at SIGHUP.',
  },
  {
    name: 'timeout-offset',
    value: 'SECONDS',
    defaults: ['0.5'],
    help: "Seconds to respond before Prometheus's scrape time-out; at most half of it.",
  },
  {
    name: 'log.level',
    value: 'LEVEL',
    defaults: ['info'],
    help: 'Level of the log: debug, info, warn or error.',
  },
  {
    name: 'log.format',
    value: 'FORMAT',
    defaults: ['logfmt'],
    help: 'Format of the log, on standard error: logfmt or json.',
  },
  {
    name: 'collection.min-age',
    value: 'DURATION',
    defaults: ['250ms'],
    variableOnly: true,
    help: 'Maximum age of a snapshot to serve again; at most 5s, or 4m with timestamps.',
  },
  {
    name: 'collection.timeout',
    value: 'DURATION',
    defaults: ['10s'],
    variableOnly: true,
    help: 'Maximum duration of a collection; 100ms to 10m.',
  },
  {
    name: 'collection.serve-stale-for',
    value: 'DURATION',
    defaults: ['0s'],
    variableOnly: true,
    help: 'Time to serve the last series while the server is down; at most 4m.',
  },
  {
    name: 'exposition.names',
    value: 'SCHEME',
    defaults: ['openmetrics'],
    repeatable: true,
    variableOnly: true,
    help: 'openmetrics, single_underscore, mod_prometheus; or several with commas.',
  },
  {
    name: 'exposition.created',
    value: 'BOOL',
    defaults: ['false'],
    variableOnly: true,
    help: 'Whether to add _created lines to OpenMetrics.',
  },
  {
    name: 'exposition.timestamps',
    value: 'BOOL',
    defaults: ['false'],
    variableOnly: true,
    help: "Whether the server's samples have the time of their collection.",
  },
  {
    name: 'page.interval',
    value: 'DURATION',
    defaults: ['15s'],
    variableOnly: true,
    help: 'Collect for the page if no scrape did for this time; 1s to 1h, 0: never.',
  },
  {
    name: 'limits.series',
    value: 'NUMBER',
    defaults: ['2000000'],
    variableOnly: true,
    help: 'Maximum series; the largest families are omitted first. 0: no limit.',
  },
  {
    name: 'limits.label-value-length',
    value: 'NUMBER',
    defaults: ['0'],
    variableOnly: true,
    help: 'Maximum characters of a label value; longer series are omitted. 0: no limit.',
  },
  { name: 'version', help: 'Print the name and the version.' },
  { name: 'help', help: 'Print this help.' },
]

/** The environment variable of a flag: `--log.level` is `PROSODY_EXPORTER_LOG_LEVEL`. */
export function variableName(name: string): string {
  return `PROSODY_EXPORTER_${name.replace(/[.-]/g, '_').toUpperCase()}`
}

/** The table of flags, their defaults and variables, for a terminal. */
export function helpText(): string {
  const entry = ({ name, value, defaults, help, negatable, variableOnly }: Setting) => {
    if (name.startsWith('collector.'))
      return `  ${name.replace('collector.', '')}\n      ${help}${
        defaults?.[0] === 'true' ? '' : ' Off by default.'
      }`
    const head = variableOnly === true ? `${variableName(name)}=${value ?? ''}` : `--${name}`
    const lines = [`  ${variableOnly !== true && value !== undefined ? `${head}=${value}` : head}`]
    lines.push(`      ${help}${defaults ? ` Default: ${defaults.join(' and ')}` : ''}`)
    const isValue = value !== undefined || negatable === true
    if (variableOnly !== true && isValue) lines.push(`      ${variableName(name)}`)
    return lines.join('\n')
  }
  const variables = SETTINGS.filter((setting) => setting.variableOnly === true)
  const switches = SETTINGS.filter(({ name }) => name.startsWith('collector.'))
  const flags = SETTINGS.filter(
    ({ name, variableOnly }) => variableOnly !== true && !name.startsWith('collector.'),
  )
  return [
    'Usage: prosody-exporter --xmpp.domain=JID --xmpp.secret-file=FILE [flags]',
    '',
    'Flags, each with its environment variable; the flag wins:',
    ...flags.map(entry),
    '',
    'Sources of statistics: --collector.NAME turns one on, --no-collector.NAME off, as does',
    'PROSODY_EXPORTER_COLLECTOR_NAME=true|false:',
    ...switches.map(entry),
    '',
    'Settings of the file, each with its environment variable; the variable wins:',
    '  PROSODY_EXPORTER_XMPP_SECRET=SECRET',
    '      The component_secret itself.',
    ...variables.map(entry),
    '',
  ].join('\n')
}

/** Every setting that is a single value: its name, default and help. */

import { COLLECTORS } from './collectors/index.js'

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
    help: 'YAML; an environment variable wins over it, a flag over both.',
  },
  {
    name: 'config.check',
    help: 'Check file, flags and variables and exit: 0, or 1 with what is wrong.',
  },
  {
    name: 'xmpp.service',
    value: 'URL',
    defaults: ['xmpp://127.0.0.1:5347'],
    help: "Prosody's component port, xmpp://host[:port].",
  },
  {
    name: 'xmpp.domain',
    value: 'JID',
    help: "The component's domain, as in its Component line. Required.",
  },
  {
    name: 'xmpp.secret-file',
    value: 'FILE',
    help: 'File with the component_secret; else PROSODY_EXPORTER_XMPP_SECRET holds it.',
  },
  {
    name: 'xmpp.host',
    value: 'HOST',
    repeatable: true,
    help: "A VirtualHost to ask; repeatable. Default: the domain's parent and its components.",
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
    help: 'Where the metrics are served.',
  },
  {
    name: 'web.systemd-socket',
    negatable: true,
    defaults: ['false'],
    help: 'Listen on the sockets that systemd hands over, and no others.',
  },
  {
    name: 'web.socket-mode',
    value: 'MODE',
    help: 'Permissions of unix: sockets, e.g. 0660. Default: by the umask.',
  },
  {
    name: 'web.socket-group',
    value: 'GROUP',
    help: 'Group of unix: sockets, a name or a number. Their mode is then 0660 if not set.',
  },
  {
    name: 'web.config.file',
    value: 'FILE',
    help: 'YAML of the Prometheus exporters: TLS, passwords, headers, rate limit.',
  },
  {
    name: 'web.external-url',
    value: 'URL',
    help: 'Where readers reach us, e.g. https://example.org/prosody behind a proxy.',
  },
  {
    name: 'web.route-prefix',
    value: 'PATH',
    help: 'In front of every path. Default: that of --web.external-url (or none).',
  },
  {
    name: 'web.max-requests',
    value: 'NUMBER',
    defaults: ['40'],
    help: 'Most waiting scrapes of a server for each client, 503 beyond; 0 for no limit.',
  },
  {
    name: 'web.disable-exporter-metrics',
    negatable: true,
    defaults: ['false'],
    help: 'Leave out what this process uses, prosody_exporter_process_*.',
  },
  {
    name: 'web.fail-when-down',
    negatable: true,
    defaults: ['false'],
    help: 'Status 503 while the server is down: /metrics of one server, and /probe.',
  },
  {
    name: 'web.enable-lifecycle',
    negatable: true,
    defaults: ['false'],
    help: 'Read the configuration anew at POST /-/reload, as at SIGHUP.',
  },
  {
    name: 'timeout-offset',
    value: 'SECONDS',
    defaults: ['0.5'],
    help: "Subtracted from Prometheus's scrape time-out, at most half of it.",
  },
  {
    name: 'log.level',
    value: 'LEVEL',
    defaults: ['info'],
    help: 'debug, info, warn or error.',
  },
  { name: 'log.format', value: 'FORMAT', defaults: ['logfmt'], help: 'logfmt or json; to stderr.' },
  {
    name: 'collection.min-age',
    value: 'DURATION',
    defaults: ['250ms'],
    variableOnly: true,
    help: 'A snapshot begun less than this ago is served; at most 5s, 4m with timestamps.',
  },
  {
    name: 'collection.timeout',
    value: 'DURATION',
    defaults: ['10s'],
    variableOnly: true,
    help: 'Longest time that a collection may take; 100ms to 10m.',
  },
  {
    name: 'collection.serve-stale-for',
    value: 'DURATION',
    defaults: ['0s'],
    variableOnly: true,
    help: 'How long the last series are served with no answer; at most 4m.',
  },
  {
    name: 'exposition.names',
    value: 'SCHEME',
    defaults: ['openmetrics'],
    repeatable: true,
    variableOnly: true,
    help: 'openmetrics, single_underscore or mod_prometheus; several with commas.',
  },
  {
    name: 'exposition.created',
    value: 'BOOL',
    defaults: ['false'],
    variableOnly: true,
    help: 'true: _created lines in OpenMetrics.',
  },
  {
    name: 'exposition.timestamps',
    value: 'BOOL',
    defaults: ['false'],
    variableOnly: true,
    help: "true: each of the server's samples has the time of its collection.",
  },
  {
    name: 'page.interval',
    value: 'DURATION',
    defaults: ['15s'],
    variableOnly: true,
    help: 'Collects for the page at / if nobody did for so long; 1s to 1h, 0: never.',
  },
  {
    name: 'limits.series',
    value: 'NUMBER',
    defaults: ['2000000'],
    variableOnly: true,
    help: 'Most series served, the largest families left out first; 0 for no limit.',
  },
  {
    name: 'limits.label-value-length',
    value: 'NUMBER',
    defaults: ['0'],
    variableOnly: true,
    help: 'Series with a label value of more characters are left out; 0: no limit.',
  },
  { name: 'version', help: 'Print name and version.' },
  { name: 'help', help: 'Print this.' },
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

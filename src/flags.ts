import { parseArgs } from 'node:util'
import { ConfigError } from './errors.js'

type Setting = {
  readonly name: string
  /** What stands for the value in the help; a switch has none. */
  readonly value?: string
  readonly defaults?: readonly string[]
  readonly help: string
  readonly repeatable?: boolean
  /** Has an environment variable and no flag. */
  readonly variableOnly?: boolean
}

const SETTINGS: readonly Setting[] = [
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
    help: 'A collection that started less than this ago is served again; at most 5s.',
  },
  {
    name: 'collection.timeout',
    value: 'DURATION',
    defaults: ['10s'],
    variableOnly: true,
    help: 'Longest time that a collection may take; 100ms to 10m.',
  },
  {
    name: 'exposition.created',
    value: 'BOOL',
    defaults: ['false'],
    variableOnly: true,
    help: 'true: _created lines in OpenMetrics.',
  },
  {
    name: 'limits.series',
    value: 'NUMBER',
    defaults: ['2000000'],
    variableOnly: true,
    help: 'Most series served, the largest families left out first; 0 for no limit.',
  },
  { name: 'version', help: 'Print name and version.' },
  { name: 'help', help: 'Print this.' },
]

const BY_NAME = new Map(SETTINGS.map((setting) => [setting.name, setting]))

/** A value and who gave it: `source` is `--flag`, a variable's name or `default`. */
export type Given = { readonly source: string; readonly text: string }

export type Settings = {
  isSet(name: 'help' | 'version'): boolean
  /** The flag's value, else the variable's, else the default; `undefined` where there is none. */
  get(name: string): Given | undefined
  all(name: string): readonly Given[]
}

/** The environment variable of a flag: `--log.level` is `PROSODY_EXPORTER_LOG_LEVEL`. */
export function variableName(name: string): string {
  return `PROSODY_EXPORTER_${name.replace(/[.-]/g, '_').toUpperCase()}`
}

/**
 * Reads command line and environment. An empty variable counts as unset; variables that we do not
 * know are left alone, since Kubernetes sets some of this prefix for a service of our name.
 *
 * @throws ConfigError for what is no flag of ours, lacks its value or is given twice.
 */
export function readSettings(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Settings {
  const flags = readFlags(args)
  const all = (name: string): readonly Given[] => {
    const given = flags.get(name)
    if (given !== undefined) return given
    const { repeatable, defaults = [] } = BY_NAME.get(name) ?? {}
    const text = env[variableName(name)] ?? ''
    if (text === '') return defaults.map((each) => ({ source: 'default', text: each }))
    const texts = repeatable === true ? text.split(',').map((each) => each.trim()) : [text]
    return texts.map((each) => ({ source: variableName(name), text: each }))
  }
  return { isSet: (name) => flags.has(name), get: (name) => all(name)[0], all }
}

function readFlags(args: readonly string[]): Map<string, Given[]> {
  const found = new Map<string, Given[]>()
  const flags = SETTINGS.filter((setting) => setting.variableOnly !== true)
  const { tokens } = parseArgs({
    // The Prometheus family takes -flag for --flag.
    args: args.map((arg) => (/^-[a-z]/i.test(arg) ? `-${arg}` : arg)),
    options: Object.fromEntries(
      flags.map(({ name, value }) => [name, { type: value === undefined ? 'boolean' : 'string' }]),
    ),
    strict: false,
    tokens: true,
  })
  for (const token of tokens) {
    if (token.kind === 'option-terminator') continue
    if (token.kind === 'positional') {
      throw new ConfigError(`unexpected argument ${quote(token.value)}: expected only flags`)
    }
    const name = token.name === 'h' ? 'help' : token.name
    const flag = flags.find((each) => each.name === name)
    if (flag === undefined) throw unknownFlag(name)
    const value = takeValue(flag, token.value, token.inlineValue === true)
    const given = found.get(name) ?? []
    if (given.length > 0 && flag.value !== undefined && flag.repeatable !== true) {
      throw new ConfigError(`--${name}: expected one value, got several`)
    }
    found.set(name, [...given, { source: `--${name}`, text: value }])
  }
  return found
}

function takeValue(flag: Setting, value: string | undefined, inline: boolean): string {
  if (flag.value === undefined) {
    if (value !== undefined) throw new ConfigError(`--${flag.name}: expected no value, got one`)
    return ''
  }
  // `--log.level --web.listen-address=:1`: the next flag is not a value.
  if (value === undefined || (!inline && /^--?[a-z]/i.test(value))) {
    throw new ConfigError(`--${flag.name}: expected a value (${flag.value}), got none`)
  }
  return value
}

// Names only: what follows an unknown flag may be a secret.
function unknownFlag(name: string): ConfigError {
  if (/secret|passw|token/i.test(name)) {
    return new ConfigError(
      `--${clip(name)}: a secret is never a flag, every user of the machine can see those; ` +
        'expected --xmpp.secret-file or PROSODY_EXPORTER_XMPP_SECRET',
    )
  }
  const variable = BY_NAME.get(name)
    ? `expected the environment variable ${variableName(name)}`
    : 'see --help'
  return new ConfigError(`--${clip(name)}: unknown flag, ${variable}`)
}

/** A value as an error message shows it: one line, quoted, not long. */
export function quote(text: string): string {
  return JSON.stringify(clip(text))
}

function clip(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}

/** The table of flags, their defaults and variables, for a terminal. */
export function helpText(): string {
  const entry = ({ name, value, defaults, help, variableOnly }: Setting) => {
    const head = variableOnly === true ? `${variableName(name)}=${value ?? ''}` : `--${name}`
    const lines = [`  ${variableOnly !== true && value !== undefined ? `${head}=${value}` : head}`]
    lines.push(`      ${help}${defaults ? ` Default: ${defaults.join(' and ')}` : ''}`)
    if (variableOnly !== true && value !== undefined) lines.push(`      ${variableName(name)}`)
    return lines.join('\n')
  }
  const variables = SETTINGS.filter((setting) => setting.variableOnly === true)
  const flags = SETTINGS.filter((setting) => setting.variableOnly !== true)
  return [
    'Usage: prosody-exporter --xmpp.domain=JID --xmpp.secret-file=FILE [flags]',
    '',
    'Flags, each with its environment variable; the flag wins:',
    ...flags.map(entry),
    '',
    'Environment variables without a flag:',
    '  PROSODY_EXPORTER_XMPP_SECRET=SECRET',
    '      The component_secret itself.',
    ...variables.map(entry),
    '',
  ].join('\n')
}

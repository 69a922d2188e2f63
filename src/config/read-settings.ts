import { parseArgs } from 'node:util'
import { removedCollector } from '../collectors/index.js'
import { ConfigError } from '../errors.js'
import { SETTINGS, variableName, type Setting } from './settings.js'

const BY_NAME: ReadonlyMap<string, Setting> = new Map(SETTINGS.map((setting) => [setting.name, setting]))

/** A value and who gave it: `source` is `--flag`, a variable's name, a place in the file or `default`. */
export type Given = {
  readonly from: 'flag' | 'variable' | 'file' | 'default'
  readonly source: string
  readonly text: string
}

export type Settings = {
  isSet(name: 'help' | 'version' | 'config.check'): boolean
  /** The flag's value, else the variable's, else the default; `undefined` where there is none. */
  get(name: string): Given | undefined
  all(name: string): readonly Given[]
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
  refuseRemoved(env)
  const all = (name: string): readonly Given[] => {
    const inFlags = flags.get(name)
    if (inFlags !== undefined) return inFlags
    const { repeatable, defaults = [] } = BY_NAME.get(name) ?? {}
    const text = env[variableName(name)] ?? ''
    if (text === '') return defaults.map((each) => given('default', 'default', each))
    const texts = repeatable === true ? text.split(',').map((each) => each.trim()) : [text]
    return texts.map((each) => given('variable', variableName(name), each))
  }
  return { isSet: (name) => flags.has(name), get: (name) => all(name)[0], all }
}

/** @throws ConfigError for the switch of a collector that earlier versions had. */
function refuseRemoved(env: Readonly<Record<string, string | undefined>>): void {
  const prefix = variableName('collector.')
  for (const [variable, text = ''] of Object.entries(env)) {
    if (text === '' || !variable.startsWith(prefix)) continue
    const removed = removedCollector(variable.slice(prefix.length).toLowerCase())
    if (removed !== undefined) throw new ConfigError(`${variable}: ${removed}`)
  }
}

function given(from: Given['from'], source: string, text: string): Given {
  return { from, source, text }
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
    const isNegative = BY_NAME.get(token.name.replace(/^no-/, ''))?.negatable === true
    const given = token.name === 'h' ? 'help' : token.name
    const name = isNegative ? given.replace(/^no-/, '') : given
    const flag = flags.find((each) => each.name === name)
    if (flag === undefined) throw unknownFlag(given)
    const value = takeValue(flag, token.value, token.inlineValue === true)
    const before = found.get(name) ?? []
    const isValue = flag.value !== undefined || flag.negatable === true
    if (before.length > 0 && isValue && flag.repeatable !== true) {
      throw new ConfigError(`--${name}: expected one value, got several`)
    }
    const text = flag.negatable === true ? String(given === name) : value
    found.set(name, [...before, { from: 'flag', source: `--${given}`, text }])
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
  const [, collector] = /^(?:no-)?collector\.(.*)$/.exec(name) ?? []
  const removed = collector && removedCollector(collector)
  if (removed) return new ConfigError(`--${name}: ${removed}`)
  if (collector !== undefined) {
    const known = SETTINGS.map((each) => each.name).filter((each) => each.startsWith('collector.'))
    return new ConfigError(`--${clip(name)}: unknown collector, expected --${known.join(', --')}`)
  }
  const variable = BY_NAME.get(name)
    ? `expected the file of --config.file or the environment variable ${variableName(name)}`
    : 'see --help'
  return new ConfigError(`--${clip(name)}: unknown flag, ${variable}`)
}

/** A value as an error message shows it: one line, quoted, not long. */
export function quote(text: string): string {
  return JSON.stringify(clip(text)).replace(UNSEEN, hexadecimal)
}

// What JSON leaves as it is and a terminal obeys: DEL, C1, ends of lines, changes of direction.
const UNSEEN = /[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g

function hexadecimal(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** Not longer than an error message can show. */
export function clip(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}

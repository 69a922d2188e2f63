import { parseArgs } from 'node:util'
import { removedCollector } from '../collectors/index.js'
import { ConfigError } from '../errors.js'
import { valueError, type Given } from './given.js'
import { clip, quote } from './quote.js'
import {
  findSetting,
  isCollectorSwitch,
  isFlag,
  SETTINGS,
  takesValue,
  toVariableName,
  type Setting,
  type SettingName,
  type ValueOf,
} from './settings.js'

export type Env = Readonly<Record<string, string | undefined>>

/** The texts that settings were given, by the name of the setting. A repeatable setting can have several. */
export type GivenValues = ReadonlyMap<string, readonly Given[]>

export type Settings = {
  /** Whether the flag is on the command line. */
  isSet(name: 'help' | 'version' | 'config.check'): boolean
  /**
   * Returns the texts of a setting from the first source that has any: the flag, the environment variable, the
   * configuration file, the defaults.
   */
  all(name: SettingName): readonly Given[]
}

/**
 * Reads the command line and the environment, without checking values. Empty environment variables are ignored.
 * Variables with an unknown name are ignored too, except for those of removed collectors, because Kubernetes sets
 * PROSODY_EXPORTER_PORT and others for a service that is named prosody-exporter.
 *
 * @throws ConfigError for example for an unknown flag, for a flag without its value, and for two values of a flag
 *   that is not repeatable.
 */
export function readSettings(args: readonly string[], env: Env): Settings {
  const flags = readFlags(args)
  refuseRemovedCollectors(env)
  return {
    isSet: (name) => flags.has(name),
    all: (name) => flags.get(name) ?? readVariable(name, env) ?? readDefaults(name),
  }
}

/** Adds the values of the configuration file. They override defaults, but neither flags nor environment variables. */
export function mergeFileValues(settings: Settings, values: GivenValues): Settings {
  const all = (name: SettingName) => {
    const given = settings.all(name)
    const hasOverride = given.some(({ from }) => from !== 'default')
    return hasOverride ? given : (values.get(name) ?? given)
  }
  return { ...settings, all }
}

/** Returns the text of a setting that is not repeatable; `undefined` if it is not set and has no default. */
export function findGiven(settings: Settings, name: SettingName): Given | undefined {
  return settings.all(name)[0]
}

/**
 * Reads and checks the value of a setting, or the list of values of a repeatable setting.
 *
 * @throws ConfigError for an invalid value.
 */
export function readValue<N extends SettingName>(settings: Settings, name: N): ValueOf<N> {
  const { kind, isRepeatable } = findSetting(name)!
  const values = settings.all(name).map(kind.parse)
  return (isRepeatable ? values : values[0]) as ValueOf<N>
}

/**
 * Refuses a list with two equal values.
 *
 * @param given The texts of the values, in the same order.
 * @throws ConfigError
 */
export function refuseDuplicate(
  given: readonly Given[],
  values: readonly unknown[],
  expected: string,
): void {
  const seen = new Set<unknown>()
  const i = values.findIndex((value) => seen.size === seen.add(value).size)
  if (i >= 0) throw valueError(given[i]!, expected)
}

function readVariable(name: string, env: Env): readonly Given[] | undefined {
  const source = toVariableName(name)
  const text = env[source] ?? ''
  if (text === '') return undefined
  const isRepeatable = findSetting(name)?.isRepeatable ?? false
  const texts = isRepeatable ? text.split(',').map((each) => each.trim()) : [text]
  return texts.map((each) => ({ from: 'variable', source, text: each }))
}

function readDefaults(name: string): readonly Given[] {
  const { defaults } = findSetting(name)!
  return defaults.map((text) => ({ from: 'default', source: 'default', text }))
}

function refuseRemovedCollectors(env: Env): void {
  const prefix = toVariableName('collector.')
  for (const [variable, text = ''] of Object.entries(env)) {
    if (text === '' || !variable.startsWith(prefix)) continue
    const advice = removedCollector(variable.slice(prefix.length).toLowerCase())
    if (advice !== undefined) throw new ConfigError(`${variable}: ${advice}`)
  }
}

function readFlags(args: readonly string[]): Map<string, Given[]> {
  const found = new Map<string, Given[]>()
  const { tokens } = parseArgs({
    // A flag can start with one dash, as in Prometheus and its exporters.
    args: args.map((arg) => (/^-[a-z]/i.test(arg) ? `-${arg}` : arg)),
    options: Object.fromEntries(
      SETTINGS.filter(isFlag).map((setting) => [
        setting.name,
        { type: takesValue(setting) ? 'string' : 'boolean' },
      ]),
    ),
    strict: false,
    tokens: true,
  })
  for (const token of tokens) {
    if (token.kind === 'option-terminator') continue
    if (token.kind === 'positional') {
      throw new ConfigError(
        `unexpected argument ${quote(token.value)}: expected only flags. A command comes before all flags.`,
      )
    }
    const { setting, given } = readFlag(token)
    const earlier = found.get(setting.name) ?? []
    if (earlier.length > 0 && setting.kind.type !== 'action' && !setting.isRepeatable) {
      throw new ConfigError(`--${setting.name}: expected one value, got several`)
    }
    found.set(setting.name, [...earlier, given])
  }
  return found
}

type FlagToken = {
  readonly name: string
  readonly value: string | undefined
  readonly inlineValue: boolean | undefined
}

function readFlag(token: FlagToken): { setting: Setting; given: Given } {
  const flag = token.name === 'h' ? 'help' : token.name
  const positive = flag.replace(/^no-/, '')
  const isNegated = positive !== flag && findSetting(positive)?.kind.type === 'boolean'
  const setting = findSetting(isNegated ? positive : flag)
  if (setting === undefined || !isFlag(setting)) throw unknownFlagError(flag)
  const value = takeValue(setting, token)
  const text = setting.kind.type === 'boolean' ? String(!isNegated) : value
  return { setting, given: { from: 'flag', source: `--${flag}`, text } }
}

function takeValue(setting: Setting, { value, inlineValue }: FlagToken): string {
  const { name, kind } = setting
  if (!takesValue(setting)) {
    if (value !== undefined) throw new ConfigError(`--${name}: expected no value, got one`)
    return ''
  }
  // In `--log.level --web.listen-address=:1`, the second flag is not the value of the first.
  if (value === undefined || (inlineValue !== true && /^--?[a-z]/i.test(value))) {
    throw new ConfigError(`--${name}: expected a value (${kind.placeholder}), got none`)
  }
  return value
}

// The message shows only the name of the unknown flag, because the value can be a secret.
function unknownFlagError(name: string): ConfigError {
  if (/secret|passw|token/i.test(name)) {
    return new ConfigError(
      `--${clip(name)}: a secret is never a flag, because every user of the machine can see flags; ` +
        'set --xmpp.secret-file or the environment variable PROSODY_EXPORTER_XMPP_SECRET',
    )
  }
  const [, collector] = /^(?:no-)?collector\.(.*)$/.exec(name) ?? []
  const advice = collector && removedCollector(collector)
  if (advice) return new ConfigError(`--${name}: ${advice}`)
  if (collector !== undefined) {
    const known = SETTINGS.filter(isCollectorSwitch).map((each) => `--${each.name}`)
    return new ConfigError(`--${clip(name)}: unknown collector, expected ${known.join(', ')}`)
  }
  const hint = findSetting(name)
    ? `set it in the configuration file, or with the environment variable ${toVariableName(name)}`
    : 'see --help'
  return new ConfigError(`--${clip(name)}: unknown flag, ${hint}`)
}

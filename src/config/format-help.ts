import {
  hasVariable,
  isCollectorSwitch,
  isFlag,
  SETTINGS,
  takesValue,
  toVariableName,
  type Setting,
} from './settings.js'

const WIDTH = 98
const INDENT = ' '.repeat(6)

/** The text of `--help`. */
export function formatHelp(): string {
  const collectors = SETTINGS.filter(isCollectorSwitch)
  const others = SETTINGS.filter((setting) => !isCollectorSwitch(setting))
  return [
    'Usage: prosody-exporter --xmpp.domain=JID --xmpp.secret-file=FILE [flags]',
    '       prosody-exporter --config.file=FILE [flags]',
    '',
    'Flags. The flag overrides the environment variable below it. In the variable of a repeatable',
    'flag, separate several values with commas:',
    ...others.filter(isFlag).map(formatFlag),
    '',
    'Collectors. --collector.NAME turns one on, and --no-collector.NAME turns it off. The variable',
    'PROSODY_EXPORTER_COLLECTOR_NAME is true or false:',
    ...collectors.map(formatCollector),
    '',
    'Settings without a flag. The variable overrides the configuration file:',
    ...others.filter((setting) => !isFlag(setting)).map(formatVariable),
    '',
  ].join('\n')
}

/** The help of a setting, with the allowed values and the default, for `--help` and the JSON schema. */
export function describeSetting({ help, kind, defaults, defaultInWords }: Setting): string {
  const byDefault = defaultInWords ?? defaults.join(' and ')
  return [help, describeAllowed(kind), byDefault && `Default: ${byDefault}.`]
    .filter(Boolean)
    .join(' ')
}

/** The allowed values as a sentence; empty for a kind that needs none. */
export function describeAllowed({ allowed }: Setting['kind']): string {
  return allowed === undefined ? '' : `Allowed: ${allowed}.`
}

function formatFlag(setting: Setting): string {
  const { name, kind, isRepeatable } = setting
  return [
    takesValue(setting) ? `  --${name}=${kind.placeholder}` : `  --${name}`,
    ...wrap(`${describeSetting(setting)}${isRepeatable ? ' Repeatable.' : ''}`),
    ...(hasVariable(setting) ? [`${INDENT}${toVariableName(name)}`] : []),
  ].join('\n')
}

function formatVariable(setting: Setting): string {
  const { name, kind, isRepeatable } = setting
  const several = isRepeatable ? ' Separate several values with commas.' : ''
  return [
    `  ${toVariableName(name)}=${kind.placeholder}`,
    ...wrap(`${describeSetting(setting)}${several}`),
  ].join('\n')
}

function formatCollector({ name, help, defaults }: Setting): string {
  const isOff = defaults[0] === 'false'
  return [
    `  ${name.replace('collector.', '')}`,
    ...wrap(`${help}${isOff ? ' Off by default.' : ''}`),
  ].join('\n')
}

function wrap(text: string): string[] {
  const lines: string[] = []
  // A default stays on the line of the word before it.
  for (const word of text.split(/(?<!Default:) /)) {
    const line = lines.at(-1)
    if (line === undefined || line.length + 1 + word.length > WIDTH) lines.push(`${INDENT}${word}`)
    else lines[lines.length - 1] = `${line} ${word}`
  }
  return lines
}

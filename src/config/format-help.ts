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
    'Flags. Each flag overrides the environment variable that is shown below its description. In the',
    'environment variable of a repeatable flag, separate the values with commas:',
    ...others.filter(isFlag).map(formatFlag),
    '',
    'Collectors, the sources of statistics. --collector.NAME turns a collector on, and',
    '--no-collector.NAME turns it off. So does the environment variable',
    'PROSODY_EXPORTER_COLLECTOR_NAME with the value true or false:',
    ...collectors.map(formatCollector),
    '',
    'Settings without a flag. The environment variable overrides the configuration file:',
    ...others.filter((setting) => !isFlag(setting)).map(formatVariable),
    '',
  ].join('\n')
}

/** Describes a setting for `--help` and the JSON schema: its help text, the allowed values and the default. */
export function describeSetting({ help, kind, defaults, defaultInWords }: Setting): string {
  const byDefault = defaultInWords ?? defaults.join(' and ')
  return [help, describeAllowed(kind), byDefault && `Default: ${byDefault}.`]
    .filter(Boolean)
    .join(' ')
}

/** Formats the allowed values as a sentence. The text is empty for a kind whose values need no list. */
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
  const several = isRepeatable ? ' Separate the values with commas.' : ''
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
  // A line break between "Default:" and the value would make the default hard to find.
  for (const word of text.split(/(?<!Default:) /)) {
    const line = lines.at(-1)
    if (line === undefined || line.length + 1 + word.length > WIDTH) lines.push(`${INDENT}${word}`)
    else lines[lines.length - 1] = `${line} ${word}`
  }
  return lines
}

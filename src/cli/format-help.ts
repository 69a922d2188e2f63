/** The texts of `--help`, `help COMMAND` and `COMMAND --help`. */

import { describeSetting } from '../config/describe-setting.js'
import {
  hasVariable,
  isCollectorSwitch,
  isFlag,
  SETTINGS,
  takesValue,
  toVariableName,
} from '../config/settings.js'
import { COMMANDS, EXPORTER, formatUsage, type CliCommand, type HelpEntry } from './commands.js'

const WIDTH = 98
const TERM_INDENT = ' '.repeat(2)
const TEXT_INDENT = ' '.repeat(6)

/** The text of `--help`: the usage, the commands, and the flags of the exporter. */
export function formatHelp(): string {
  return [
    ...formatUsageLines([...formatUsage(EXPORTER), 'prosody-exporter COMMAND [flags]']),
    '',
    'Commands. Without a command, prosody-exporter runs the exporter. For the flags of a command, run',
    '"prosody-exporter help COMMAND":',
    ...formatColumns(COMMANDS.map(({ name, summary }) => ({ term: name, text: summary }))),
    '',
    'Flags of the exporter, which doctor accepts too. Each flag overrides the environment variable that',
    'is shown below its description. In the environment variable of a repeatable flag, separate the',
    'values with commas:',
    ...listFlags().flatMap(({ variable, ...entry }) => [
      ...formatEntry(entry),
      ...(variable === undefined ? [] : [`${TEXT_INDENT}${variable}`]),
    ]),
    '',
    'Collectors, the sources of statistics. --collector.NAME turns a collector on, and',
    '--no-collector.NAME turns it off. So does the environment variable',
    'PROSODY_EXPORTER_COLLECTOR_NAME with the value true or false:',
    ...listCollectors().flatMap(formatEntry),
    '',
    'Settings without a flag. The environment variable overrides the configuration file:',
    ...listVariables().flatMap(formatEntry),
    '',
  ].join('\n')
}

/** The text of `help COMMAND` and `COMMAND --help`. */
export function formatCommandHelp(command: CliCommand): string {
  const { description, operands = [], flags, hasExporterFlags, exitCodes, examples } = command
  const more = 'For the flags of the exporter, run "prosody-exporter --help".'
  return [
    ...formatUsageLines(formatUsage(command)),
    ...description.flatMap((paragraph) => ['', ...wrap(paragraph, '')]),
    ...(operands.length > 0 ? ['', 'Arguments:', ...operands.flatMap(formatEntry)] : []),
    '',
    'Flags:',
    ...flags.flatMap(formatEntry),
    ...(hasExporterFlags ? ['', more] : []),
    '',
    'Exit codes:',
    ...formatColumns(exitCodes),
    '',
    'Examples:',
    ...examples.flatMap(formatEntry),
    '',
  ].join('\n')
}

/** Lists the flags of the exporter with their environment variables, without the flags of collectors. */
export function listFlags(): (HelpEntry & { readonly variable: string | undefined })[] {
  return SETTINGS.filter((setting) => isFlag(setting) && !isCollectorSwitch(setting)).map(
    (setting) => {
      const { name, kind, isRepeatable } = setting
      return {
        term: takesValue(setting) ? `--${name}=${kind.placeholder}` : `--${name}`,
        text: `${describeSetting(setting)}${isRepeatable ? ' Repeatable.' : ''}`,
        variable: hasVariable(setting) ? toVariableName(name) : undefined,
      }
    },
  )
}

export function listCollectors(): HelpEntry[] {
  return SETTINGS.filter(isCollectorSwitch).map(({ name, help, defaults }) => ({
    term: name.replace('collector.', ''),
    text: `${help}${defaults[0] === 'false' ? ' Off by default.' : ''}`,
  }))
}

/** Lists the environment variables of the settings that have no flag. */
export function listVariables(): HelpEntry[] {
  return SETTINGS.filter((setting) => !isFlag(setting)).map((setting) => {
    const { name, kind, isRepeatable } = setting
    return {
      term: `${toVariableName(name)}=${kind.placeholder}`,
      text: `${describeSetting(setting)}${isRepeatable ? ' Separate the values with commas.' : ''}`,
    }
  })
}

function formatUsageLines([first = '', ...more]: readonly string[]): string[] {
  return [`Usage: ${first}`, ...more.map((line) => `       ${line}`)]
}

function formatEntry({ term, text }: HelpEntry): string[] {
  return [`${TERM_INDENT}${term}`, ...wrap(text, TEXT_INDENT)]
}

/** Formats entries with short terms, each in one line. */
function formatColumns(entries: readonly HelpEntry[]): string[] {
  const width = Math.max(...entries.map(({ term }) => term.length))
  return entries.map(({ term, text }) => `${TERM_INDENT}${term.padEnd(width)}  ${text}`)
}

function wrap(text: string, indent: string): string[] {
  const lines: string[] = []
  // A line break between "Default:" and the value would make the default hard to find.
  for (const word of text.split(/(?<!Default:) /)) {
    const line = lines.at(-1)
    if (line === undefined || line.length + 1 + word.length > WIDTH) lines.push(`${indent}${word}`)
    else lines[lines.length - 1] = `${line} ${word}`
  }
  return lines
}

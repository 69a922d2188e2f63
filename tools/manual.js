/**
 * Generates the manual page deploy/man/prosody-exporter.1 from the tables of commands and settings.
 *
 * @see man-pages(7) for the order of the sections, and groff_man(7) for the macros.
 */

import { COMMANDS, EXPORTER, formatUsage } from '../src/cli/commands.js'
import { listCollectors, listFlags, listVariables } from '../src/cli/format-help.js'

/** @typedef {import('../src/cli/commands.js').HelpEntry} HelpEntry */

/** @type {readonly HelpEntry[]} */
const FILES = [
  {
    term: '/etc/prosody-exporter/prosody-exporter.yml',
    text: 'The configuration file of the service. doctor reads it too.',
  },
  {
    term: '/etc/prosody-exporter/xmpp.secret',
    text: 'The component_secret. Only root may read it.',
  },
  {
    term: '/etc/prosody/conf.d/prosody-exporter.cfg.lua',
    text: 'The lines that setup adds to the configuration of Prosody.',
  },
  {
    term: '/etc/systemd/system/prosody-exporter.service',
    text: 'The unit file of the service, if setup wrote it. The unit file of the Debian package is in /usr/lib/systemd/system.',
  },
  {
    term: '/usr/local/lib/prosody/modules/mod_adhoc_statistics/',
    text: 'The module for Prosody, if setup installed it there. Setup uses a directory of plugin_paths.',
  },
  { term: '/etc/default/prosody-exporter', text: 'Environment variables of the service.' },
  {
    term: '/run/prosody-exporter/',
    text: 'The control sockets of the service. Through them, doctor asks the service.',
  },
  {
    term: '/var/lib/prosody-exporter-state',
    text: 'The history of the page, in one file for each XMPP server, if systemd runs the exporter.',
  },
  {
    term: '/var/lib/prosody-exporter/setup.json',
    text: 'The list of the files that setup wrote, for setup --undo.',
  },
  {
    term: '/usr/share/prosody-exporter/',
    text: 'In the Debian package: rules and scrape jobs for Prometheus, a dashboard for Grafana, and the JSON Schema of the configuration file.',
  },
  {
    term: '/usr/share/doc/prosody-exporter/',
    text: 'In the Debian package: the complete documentation.',
  },
]

const CONTROL_SOCKET = {
  term: 'RUNTIME_DIRECTORY, XDG_RUNTIME_DIR',
  text: 'The exporter creates its control socket in one of these directories. Through it, doctor asks the exporter.',
}

const COLLECTORS = [
  'A collector is a source of statistics. The following collectors are on, unless their description says otherwise.',
]

const ENVIRONMENT = [
  'Most flags have an environment variable, which is listed with the flag. A flag overrides the variable, and the variable overrides the configuration file. Separate the values of a repeatable flag with commas. The following settings have no flag.',
]

/**
 * Returns the manual page.
 *
 * @param {string} version The version of the exporter.
 */
export function manualPage(version) {
  const collectorFlags = {
    term: '--collector.NAME, --no-collector.NAME',
    text: 'Turn the collector NAME on or off. COLLECTORS lists the names.',
    variable: 'PROSODY_EXPORTER_COLLECTOR_NAME',
  }
  const lines = [
    '.\\" "npm run docs" generates this file. Edit src/cli/commands.ts and src/config/settings.ts instead.',
    `.TH PROSODY\\-EXPORTER 1 "" "prosody\\-exporter ${escape(version)}" "User Commands"`,
    // The text is neither hyphenated nor justified, so that flags and URLs can be copied from the page.
    '.nh',
    '.ad l',
    '.SH NAME',
    escape('prosody-exporter - Prometheus exporter for the XMPP server Prosody'),
    '.SH SYNOPSIS',
    ...synopsis(EXPORTER),
    ...COMMANDS.flatMap(synopsis),
    '.SH DESCRIPTION',
    ...paragraphs([
      ...EXPORTER.description,
      'Without a command, prosody-exporter runs the exporter.',
    ]),
    '.SH COMMANDS',
    ...COMMANDS.flatMap(commandSection),
    '.SH OPTIONS',
    ...paragraphs(['These are the flags of the exporter. doctor accepts them too.']),
    ...[...listFlags(), collectorFlags].flatMap(flagEntry),
    '.SH COLLECTORS',
    ...paragraphs(COLLECTORS),
    ...listCollectors().flatMap(({ term, text }) => entry(bold(term), text)),
    '.SH ENVIRONMENT',
    ...paragraphs(ENVIRONMENT),
    ...[...listVariables(), CONTROL_SOCKET].flatMap(({ term, text }) => entry(markUp(term), text)),
    '.SH FILES',
    ...FILES.flatMap(({ term, text }) => entry(italic(term), text)),
    '.SH EXIT STATUS',
    ...paragraphs(['Without a command:']),
    ...exitStatus(EXPORTER),
    ...COMMANDS.flatMap((command) => ['.PP', `${bold(command.name)}:`, ...exitStatus(command)]),
    '.SH EXAMPLES',
    ...[EXPORTER, ...COMMANDS].flatMap(({ examples }) =>
      examples.flatMap(({ term, text }) => entry(bold(term), text)),
    ),
    '.SH SEE ALSO',
    `${bold('prosodyctl')}(8), ${bold('systemctl')}(1)`,
  ]
  return `${lines.join('\n')}\n`
}

/** @param {import('../src/cli/commands.js').CommandHelp & { name?: import('../src/cli/commands.js').CommandName }} help */
function synopsis(help) {
  return formatUsage(help).flatMap((line) => {
    const start = ['prosody-exporter', help.name].filter(Boolean).join(' ')
    // .SY writes its argument in bold, and indents the lines that follow.
    return [`.SY "${escape(start)}"`, markUp(line.slice(start.length + 1)), '.YS']
  })
}

/** @param {import('../src/cli/commands.js').CliCommand} command */
function commandSection({ name, description, operands = [], flags }) {
  return [
    `.SS ${name}`,
    ...paragraphs(description),
    ...[...operands, ...flags].flatMap(({ term, text }) => entry(markUp(term), text)),
  ]
}

/** @param {HelpEntry & { variable: string | undefined }} flag */
function flagEntry({ term, text, variable }) {
  const lines = entry(markUp(term), text)
  return variable === undefined ? lines : [...lines, '.br', `Environment: ${markUp(variable)}.`]
}

/** @param {import('../src/cli/commands.js').CommandHelp} help */
function exitStatus({ exitCodes }) {
  return exitCodes.flatMap(({ term, text }) => entry(bold(term), text))
}

/** @param {readonly string[]} texts */
function paragraphs(texts) {
  return texts.flatMap((text, i) => [...(i > 0 ? ['.PP'] : []), ...sentences(text)])
}

/**
 * @param {string} term A term with markup.
 * @param {string} text
 */
function entry(term, text) {
  return ['.TP', term, ...sentences(text)]
}

/**
 * Divides a text into lines, one for each sentence, because roff recognises the end of a sentence only at the end of a
 * line.
 *
 * @param {string} text
 */
function sentences(text) {
  return text.split(/(?<=(?<!e\.g)\.) /).map(escape)
}

/**
 * Writes flags and environment variables in bold, and placeholders such as FILE in italics.
 *
 * @param {string} text
 */
function markUp(text) {
  const literal = /PROSODY_EXPORTER_\w+|RUNTIME_DIRECTORY|XDG_RUNTIME_DIR|--?[a-z][a-z.-]*/
  const placeholder = /[A-Z]+(?:_[A-Z]+)*|flags(?: of the exporter)?/
  const parts = new RegExp(`(${literal.source})|(${placeholder.source})|([^])`, 'g')
  return Array.from(text.matchAll(parts), ([part, isLiteral, isPlaceholder]) => {
    if (isLiteral) return bold(part)
    return isPlaceholder ? italic(part) : escape(part)
  }).join('')
}

/** @param {string} text */
function bold(text) {
  return `\\fB${escape(text)}\\fR`
}

/** @param {string} text */
function italic(text) {
  return `\\fI${escape(text)}\\fR`
}

/**
 * Escapes the characters that have a meaning in roff. `\-` is the ASCII hyphen, so that flags can be copied from the page.
 *
 * @param {string} text
 * @see groff_char(7)
 */
function escape(text) {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('^', '\\(ha')
    .replaceAll('~', '\\(ti')
    .replaceAll('`', '\\(ga')
    .replace(/^(?=['.])/, '\\&')
}

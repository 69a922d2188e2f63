/**
 * The table of all commands. `--help`, `help`, the manual page and the docs come from it. This module imports nothing
 * large, so that a mistake in the name of a command is reported fast.
 */

import { joinWithOr } from '../config/kinds.js'
import { quote } from '../config/quote.js'
import { ConfigError } from '../errors.js'

/** A flag, an argument, an exit code or an example, with its description. */
export type HelpEntry = { readonly term: string; readonly text: string }

/** The help of a command, or of the exporter itself. */
export type CommandHelp = {
  /** What can follow the name of the command. Each text is one line of the usage. */
  readonly usage: readonly string[]
  /** The paragraphs of the description. */
  readonly description: readonly string[]
  readonly operands?: readonly HelpEntry[]
  readonly exitCodes: readonly HelpEntry[]
  readonly examples: readonly HelpEntry[]
}

export type CommandName = 'setup' | 'doctor' | 'outside' | 'compare' | 'help'

export type CliCommand = CommandHelp & {
  readonly name: CommandName
  /** One line for the list of commands. */
  readonly summary: string
  /** The flags of the command itself. The term is the flag as in the usage, for example `--domain=JID`. */
  readonly flags: readonly HelpEntry[]
  /** Whether the command also accepts the flags and environment variables of the exporter. */
  readonly hasExporterFlags?: true
}

/** The URL that `compare` reads if only the old URL is given: the default address of the exporter. */
export const DEFAULT_NEW_URL = 'http://127.0.0.1:9347/metrics'

/** The flag that every command has. */
export const HELP_FLAG: HelpEntry = { term: '-h, --help', text: 'Print the help of this command.' }

/** The exporter itself, which runs if there is no command. */
export const EXPORTER: CommandHelp = {
  usage: ['--xmpp.domain=JID --xmpp.secret-file=FILE [flags]', '--config.file=FILE [flags]'],
  description: [
    'prosody-exporter is a Prometheus exporter for the XMPP server Prosody. It connects to Prosody as an external ' +
      'component (XEP-0114), and requests the statistics from the module mod_adhoc_statistics. It serves them to ' +
      'Prometheus at /metrics, and to people on a status page at /.',
  ],
  exitCodes: [
    {
      term: '0',
      text: 'The exporter stopped after SIGTERM or SIGINT, or the configuration is valid.',
    },
    {
      term: '1',
      text: 'The exporter cannot start or ended with an error, or --config.check found a mistake.',
    },
    { term: '2', text: 'A flag, an environment variable or a file is wrong.' },
  ],
  examples: [
    {
      term: 'prosody-exporter --xmpp.domain=stats.example.com --xmpp.secret-file=stats.secret',
      text: 'Run the exporter in the foreground.',
    },
    {
      term: 'prosody-exporter --config.check --config.file=/etc/prosody-exporter/prosody-exporter.yml',
      text: 'Check the configuration file.',
    },
  ],
}

const SETUP: CliCommand = {
  name: 'setup',
  summary: 'Set up Prosody and the exporter on this machine, or undo it. Run it as root.',
  usage: [
    '[--domain=JID] [--alerts=JID] [--yes] [--restart] [--dry-run]',
    '--undo [--yes] [--restart] [--dry-run]',
  ],
  description: [
    'Sets up the exporter on the machine that runs Prosody. Run the command as root.',
    'setup reads the configuration of Prosody, creates a secret, and adds a file with the component of the exporter and ' +
      'with missing statistics options. It installs mod_adhoc_statistics if Prosody does not find this module yet. It ' +
      'writes the configuration of the exporter, starts the service and runs doctor. At the end, it prints the URL of ' +
      'the page and the scrape job for Prometheus.',
    'setup lists all files before it writes them. It never edits a file that it did not write. It asks before it restarts ' +
      'Prosody. You can run it again at any time.',
    'With --alerts, setup also configures alerts as XMPP messages, now or in a later run. It creates a token for ' +
      'Alertmanager, sends a test message, and prints the receiver for alertmanager.yml. It adds recipients and removes ' +
      'none. To correct or remove one, edit alerts.to or alerts.rooms in the configuration file.',
  ],
  flags: [
    {
      term: '--domain=JID',
      text: 'Domain of the component. Default: stats.<first VirtualHost>.',
    },
    {
      term: '--alerts=JID',
      text: 'Also send alerts to this user or room. Repeatable; commas separate several JIDs.',
    },
    { term: '--yes', text: 'Answer yes to every question, except whether to restart Prosody.' },
    {
      term: '--restart',
      text: 'Restart Prosody without a question. A restart disconnects every user.',
    },
    { term: '--dry-run', text: 'Print what setup would do, and change nothing.' },
    { term: '--undo', text: 'Remove everything that setup wrote.' },
    HELP_FLAG,
  ],
  exitCodes: [
    { term: '0', text: 'Done, or only the restart of Prosody is left.' },
    { term: '1', text: 'Something failed. The last line says what and why.' },
    { term: '2', text: 'A flag is wrong.' },
  ],
  examples: [
    { term: 'prosody-exporter setup --dry-run', text: 'Show what setup would do.' },
    {
      term: 'prosody-exporter setup --yes --restart',
      text: 'Set up everything and restart Prosody, without a question.',
    },
    {
      term: 'prosody-exporter setup --alerts=admin@example.com',
      text: 'Send alerts to a user. Also works if the exporter is already set up.',
    },
    { term: 'prosody-exporter setup --undo', text: 'Remove everything that setup wrote.' },
  ],
}

const DOCTOR: CliCommand = {
  name: 'doctor',
  summary: 'Check each step from the connection to the statistics, and say what to change.',
  usage: [
    '[--verbose] [flags of the exporter]',
    '--send-test [flags of the exporter]',
    '--show.prosody|--show.prometheus [flags of the exporter]',
  ],
  description: [
    'Checks each step from the connection to the statistics. For a step that fails, it says what to change in which file.',
    'Run the command as root or as the user of the exporter. While the exporter runs, doctor asks the exporter. Otherwise ' +
      'it logs in to Prosody itself.',
    'doctor accepts all flags and environment variables of the exporter. If none of them names a component or a ' +
      'configuration file, doctor reads /etc/prosody-exporter/prosody-exporter.yml if that file exists.',
  ],
  flags: [
    { term: '--verbose', text: 'List each collector, also those that are not used.' },
    {
      term: '--send-test',
      text: 'Only let the exporter send a test message to the recipients of alerts, and report the results.',
    },
    { term: '--show.prosody', text: 'Only print the lines for the configuration of Prosody.' },
    { term: '--show.prometheus', text: 'Only print the scrape job for Prometheus.' },
    HELP_FLAG,
  ],
  hasExporterFlags: true,
  exitCodes: [
    { term: '0', text: 'No step failed, or every recipient has the test message.' },
    { term: '1', text: 'A step failed, or not every recipient has the test message.' },
    { term: '2', text: 'A flag, an environment variable or a file is wrong.' },
  ],
  examples: [
    { term: 'prosody-exporter doctor', text: 'Check the service.' },
    {
      term: 'prosody-exporter doctor --xmpp.domain=stats.example.com --xmpp.secret-file=stats.secret',
      text: 'Check an exporter without a configuration file.',
    },
  ],
}

const OUTSIDE: CliCommand = {
  name: 'outside',
  summary: 'Check from outside whether clients and other servers can reach an XMPP domain.',
  usage: [
    'DOMAIN [--json] [--verbose] [--sides=SIDES] [--no-web]',
    'DOMAIN [--name-server=ADDRESS] [--allow-private]',
    'DOMAIN [--timeout=DURATION] [--s2s-from=DOMAIN]',
  ],
  description: [
    'Checks an XMPP domain as clients and other servers find it: the SRV records and addresses in DNS, and at each ' +
      'endpoint over IPv4 and IPv6 the connection, TLS, the certificate, and what the server offers. For each problem, ' +
      'the report says what to change in DNS, in a firewall, with the certificate, or in prosody.cfg.lua.',
    'The command needs neither Prosody nor a configuration. Run it on a machine outside the network of the server. A ' +
      'check on the server itself does not pass the firewall of the provider.',
    'The command never logs in. It opens at most 8 connections to an address without a pause. All flags can be combined.',
  ],
  operands: [
    {
      term: 'DOMAIN',
      text: 'The domain in the addresses of users, for example example.org for user@example.org.',
    },
  ],
  flags: [
    { term: '--json', text: 'Print the result as JSON. docs/outside.md describes the keys.' },
    { term: '--verbose', text: 'Also show the durations and the conversation with each endpoint.' },
    {
      term: '--sides=SIDES',
      text: 'What to check: client, server, or both separated by a comma. Default: client,server.',
    },
    {
      term: '--name-server=ADDRESS',
      text: 'Ask this DNS server, an IP address with an optional port. Repeatable. Default: those of the system.',
    },
    {
      term: '--timeout=DURATION',
      text: 'Maximum duration of each connection and of each DNS query, from 1s to 60s. Default: 10s.',
    },
    {
      term: '--s2s-from=DOMAIN',
      text: 'The domain in whose name to connect to the ports for servers. Default: none.',
    },
    {
      term: '--allow-private',
      text: 'Also connect to addresses of private networks, if DNS names them.',
    },
    {
      term: '--no-web',
      text: 'Do not check host-meta, and the BOSH and WebSocket services that it announces.',
    },
    HELP_FLAG,
  ],
  exitCodes: [
    { term: '0', text: 'The check found no error. Warnings are possible.' },
    { term: '1', text: 'The check found an error.' },
    { term: '2', text: 'An argument is wrong.' },
  ],
  examples: [
    { term: 'prosody-exporter outside example.org', text: 'Check a domain.' },
    {
      term: 'prosody-exporter outside example.org --sides=server --verbose',
      text: 'Check only what other servers find, and show the conversations.',
    },
    {
      term: 'prosody-exporter outside example.org --name-server=192.0.2.53 --no-web',
      text: 'Check the records of a name server before its zone goes public.',
    },
  ],
}

const COMPARE: CliCommand = {
  name: 'compare',
  summary: 'Show which series of another URL the exporter lacks, for example in a migration.',
  usage: ['OLD_METRICS_URL [NEW_METRICS_URL]'],
  description: [
    'Reads the metrics of two URLs, and shows for each metric family which series of the old URL are missing at the new ' +
      'URL. The command never prints a password in a URL.',
  ],
  operands: [
    {
      term: 'OLD_METRICS_URL',
      text: 'URL of the metrics to replace, for example of mod_http_openmetrics.',
    },
    {
      term: 'NEW_METRICS_URL',
      text: `URL of the exporter's metrics. Default: ${DEFAULT_NEW_URL}.`,
    },
  ],
  flags: [HELP_FLAG],
  exitCodes: [
    { term: '0', text: 'No series is missing.' },
    { term: '1', text: 'Series are missing.' },
    {
      term: '2',
      text: 'An argument is wrong, a URL does not return complete metrics, or a line cannot be read.',
    },
  ],
  examples: [
    {
      term: 'prosody-exporter compare http://127.0.0.1:5280/metrics',
      text: 'Compare mod_http_openmetrics with the exporter.',
    },
  ],
}

const HELP: CliCommand = {
  name: 'help',
  summary: 'Print the help of prosody-exporter, or of one command.',
  usage: ['[COMMAND]'],
  description: ['Prints the help of prosody-exporter, or of one command.'],
  operands: [{ term: 'COMMAND', text: 'The name of a command.' }],
  flags: [HELP_FLAG],
  exitCodes: [
    { term: '0', text: 'Done.' },
    { term: '2', text: 'There is no such command.' },
  ],
  examples: [{ term: 'prosody-exporter help setup', text: 'Print the help of setup.' }],
}

export const COMMANDS: readonly CliCommand[] = [SETUP, DOCTOR, OUTSIDE, COMPARE, HELP]

/** @throws ConfigError, which lists the commands, if there is no command with this name. */
export function findCommand(name: string): CliCommand {
  const command = COMMANDS.find((each) => each.name === name)
  if (command !== undefined) return command
  const known = joinWithOr(COMMANDS.map((each) => each.name))
  throw new ConfigError(`unknown command ${quote(name)}: expected ${known}. See --help.`)
}

/** Formats the usage of a command, or of the exporter itself. Each text is one line. */
export function formatUsage({ usage, name }: CommandHelp & { name?: CommandName }): string[] {
  const program = ['prosody-exporter', ...(name === undefined ? [] : [name])].join(' ')
  return usage.map((line) => `${program} ${line}`)
}

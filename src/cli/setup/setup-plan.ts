import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DEFAULT_CONFIG_FILE as CONFIG_FILE } from '../doctor/default-config-file.js'
import { isFile } from './is-file.js'
import { SetupFailure } from './setup-failure.js'
import { parseDomain } from '../../config/xmpp-address.js'
import {
  COMPONENT_FILE,
  resolveDirectory,
  type ProsodyConfiguration,
} from './prosody-installation.js'
import type { SetupRecord } from './setup-record.js'
import type { PlannedFile } from './write-files.js'

export const SECRET_FILE = join(dirname(CONFIG_FILE), 'xmpp.secret')
const MODULE = 'mod_adhoc_statistics'
/** The directory for the module if `plugin_paths` is not set, as in the configuration of Debian's Prosody. */
const DEFAULT_PLUGIN_PATH = '/usr/local/lib/prosody/modules'
/** Where the Debian package installs the module. */
const PACKAGED_MODULES = '/usr/lib/prosody/modules'

/** The domain that setup proposes: below the first VirtualHost, without the one that Debian's configuration has. */
export function proposeDomain({ hosts }: ProsodyConfiguration): string {
  const names = hosts.filter(({ component }) => component === undefined).map(({ name }) => name)
  const host = names.find((name) => name !== 'localhost') ?? names[0]
  if (host !== undefined) {
    const domain = parseDomain(`stats.${host}`)
    if (domain !== undefined) return domain
    throw new SetupFailure(
      `The name of the VirtualHost ${JSON.stringify(host)} is not a domain, so setup cannot propose a name for the ` +
        'component. Choose a name with --domain.',
    )
  }
  throw new SetupFailure(
    'Prosody has no VirtualHost yet. Add one to prosody.cfg.lua, for example VirtualHost "example.com", ' +
      'and run setup again.',
  )
}

/** @throws SetupFailure if Prosody already has a host with this name. */
export function checkDomain(domain: string, { hosts }: ProsodyConfiguration): void {
  const host = hosts.find(({ name }) => name === domain)
  if (host === undefined) return
  if (host.component === 'component' && host.has_secret) {
    throw new SetupFailure(
      `Prosody already has the external component "${domain}". If it is for the exporter, setup is not needed: ` +
        'run prosody-exporter doctor. Otherwise choose another name with --domain.',
    )
  }
  const kind = host.component === undefined ? 'VirtualHost' : 'Component'
  throw new SetupFailure(
    `Prosody already has a ${kind} "${domain}". Choose another name with --domain.`,
  )
}

/**
 * Chooses the address of Prosody's component port.
 *
 * @returns For example `xmpp://127.0.0.1:5347`.
 * @throws SetupFailure if Prosody accepts no component on loopback.
 */
export function chooseService(configuration: ProsodyConfiguration): string {
  const { component_ports: ports, component_interfaces: interfaces } = configuration
  const [port] = ports
  if (port === undefined) {
    throw new SetupFailure(
      'Prosody accepts no components, because component_ports is empty. Set component_ports = { 5347 } in ' +
        'prosody.cfg.lua, and run setup again.',
    )
  }
  const has = (...names: string[]) => interfaces.some((each) => names.includes(each))
  if (has('127.0.0.1', '*', '0.0.0.0', 'localhost')) return `xmpp://127.0.0.1:${port}`
  if (has('::1', '::')) return `xmpp://[::1]:${port}`
  throw new SetupFailure(
    `Prosody accepts components on ${interfaces.join(', ') || 'no address'} only, and the service can connect only to loopback. ` +
      'Add "127.0.0.1" to component_interfaces in prosody.cfg.lua, and run setup again.',
  )
}

/** The parts of the file for Prosody that depend on the machine. */
export type ComponentSettings = {
  readonly domain: string
  readonly secret: string
  /** The configuration of Prosody without the file of setup. */
  readonly configuration: ProsodyConfiguration
  readonly moduleFiles: readonly PlannedFile[]
}

/**
 * Renders the file that setup adds to the configuration of Prosody: the component, and the options of the statistics
 * that the configuration does not set yet. In an included file, options are global until the first section.
 */
export function renderComponentFile(settings: ComponentSettings): string {
  const { domain, secret, configuration, moduleFiles } = settings
  const { version, statistics, statistics_interval: interval, has_plugin_paths } = configuration
  // Before 0.12, Prosody does not know "manual".
  const missingInterval = /^0\.(9|1[01])\b/.test(version) ? '15' : '"manual"'
  const needsPluginPath = !has_plugin_paths && moduleFiles.length > 0
  const options = [
    ...(needsPluginPath ? [`plugin_paths = { "${DEFAULT_PLUGIN_PATH}" }`] : []),
    ...(statistics === undefined || statistics === false ? ['statistics = "internal"'] : []),
    ...(interval === undefined || interval === false
      ? [`statistics_interval = ${missingInterval}`]
      : []),
  ]
  return [
    '-- Written by prosody-exporter setup. To remove this file, run: prosody-exporter setup --undo',
    '',
    ...options,
    ...(options.length > 0 ? [''] : []),
    `Component "${domain}"`,
    `    component_secret = "${escapeForLua(secret)}"`,
    '    component_conflict_resolve = "kick_old"',
    '    modules_enabled = { "adhoc_statistics" }',
    '',
  ].join('\n')
}

/** Escapes text in a string of Lua. The operator may have replaced the secret. */
const escapeForLua = (text: string) =>
  text.replaceAll(/[\\"]/g, '\\$&').replaceAll('\n', '\\n').replaceAll('\r', '\\r')

/** @throws SetupFailure if Prosody sends its statistics somewhere else. */
export function checkStatistics({ statistics }: ProsodyConfiguration): void {
  if (statistics === undefined || statistics === false || statistics === 'internal') return
  throw new SetupFailure(
    `Prosody has statistics = ${JSON.stringify(statistics)}, and the exporter needs "internal". Change that line in ` +
      'the configuration of Prosody, or remove it, and run setup again.',
  )
}

/**
 * Checks what Prosody reads together with the file of setup.
 *
 * @throws SetupFailure if Prosody would not have the component or its statistics.
 */
export function checkComponent(
  domain: string,
  without: ProsodyConfiguration,
  together: ProsodyConfiguration,
): void {
  checkStatistics(together)
  if (together.statistics !== 'internal') {
    throw new SetupFailure(
      'The configuration of Prosody turns off the statistics again after it includes the file of setup. Remove the ' +
        `line statistics = ${String(together.statistics)}, and run setup again.`,
    )
  }
  if (together.hosts.some(({ name, component }) => name === domain && component)) return
  const added = together.hosts.find(({ name }) => without.hosts.every((each) => each.name !== name))
  throw new SetupFailure(
    added === undefined
      ? `Prosody does not read the component "${domain}" from ${COMPONENT_FILE}.`
      : `Prosody names the component "${added.name}" instead of "${domain}". Use that name: --domain=${added.name}.`,
  )
}

/** Returns where the component file belongs: in the directory that the configuration includes, or next to it. */
export const chooseComponentPath = ({ included, config_file: main }: ProsodyConfiguration) =>
  included ?? resolveDirectory(join(dirname(main), COMPONENT_FILE))

/**
 * Plans the files of the exporter's own configuration.
 *
 * @param alertsSection The section `alerts` of the configuration; empty without alerts.
 */
export function planExporterFiles(
  { domain, service, secret }: { domain: string; service: string; secret: string },
  alertsSection = '',
): PlannedFile[] {
  return [
    {
      path: CONFIG_FILE,
      mode: 0o644,
      groupId: 0,
      content: `# Configuration of prosody-exporter, written by prosody-exporter setup. You can change it. After a change, run:
# systemctl reload prosody-exporter
#
# docs/configuration.md describes all settings. To check this file, run:
# prosody-exporter --config.check --config.file=${CONFIG_FILE}

servers:
  - service: ${service}
    # The name in the Component line of Prosody's configuration.
    domain: ${JSON.stringify(domain)}
    # A file in this directory with the component_secret.
    secret_file: xmpp.secret
${alertsSection}`,
    },
    { path: SECRET_FILE, mode: 0o600, groupId: 0, content: `${secret}\n` },
  ]
}

/**
 * Plans the files of mod_adhoc_statistics. The list is empty if Prosody already finds the module.
 *
 * @param directory The directory of main.js. The packages have the module next to it, or where Debian's Prosody is.
 * @param record What an earlier setup wrote. It may have written an older version of the module.
 * @throws SetupFailure if Prosody finds another version of the module, which setup did not write.
 */
export function planModule(
  configuration: ProsodyConfiguration,
  directory: URL,
  record: SetupRecord | undefined,
): PlannedFile[] {
  const source = [fileURLToPath(new URL('../prosody-modules', directory)), PACKAGED_MODULES]
    .map((path) => join(path, MODULE))
    .find((path) => existsSync(path))
  if (source === undefined) {
    throw new SetupFailure(
      `The installation of the exporter is incomplete: it has no ${MODULE}. Install the exporter again.`,
    )
  }
  const names = readdirSync(source).filter((name) => name.endsWith('.lua'))
  const planIn = (target: string): PlannedFile[] =>
    names.map((name) => ({
      path: join(target, MODULE, name),
      content: readFileSync(join(source, name), 'utf8'),
      mode: 0o644,
      groupId: 0,
    }))
  const installed = configuration.plugin_directories.find((path) => hasModule(path))
  if (installed === undefined) return planIn(choosePluginPath(configuration))
  const files = planIn(installed)
  if (record?.created.some(({ path }) => files.some((file) => file.path === path))) return files
  if (files.every(({ path, content }) => readIfExists(path) === content)) return []
  const found = isFile(join(installed, `${MODULE}.lua`)) ? `${MODULE}.lua` : MODULE
  throw new SetupFailure(
    `${join(installed, found)} is another version of the module than the one of this exporter. ` +
      'Remove it, and run setup again.',
  )
}

const hasModule = (directory: string) =>
  existsSync(join(directory, MODULE, `${MODULE}.lua`)) ||
  existsSync(join(directory, `${MODULE}.lua`))

/** Chooses a directory of `plugin_paths`, if possible one that exists. */
function choosePluginPath(configuration: ProsodyConfiguration): string {
  const { has_plugin_paths, plugin_paths, plugin_directories } = configuration
  if (!has_plugin_paths) return DEFAULT_PLUGIN_PATH
  const paths = plugin_paths.filter((path) => path.startsWith('/'))
  return paths.find((path) => existsSync(path)) ?? paths[0] ?? plugin_directories.at(-1)!
}

function readIfExists(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

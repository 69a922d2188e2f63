import { COLLECTORS } from '../collectors/index.js'
import { ConfigError } from '../errors.js'
import { valueError, type Given } from './given.js'
import { DOMAIN_LISTS } from './outside-values.js'
import type { ConfigFile, FileServer } from './read-config-file.js'
import { readSecretFile } from './read-secret-file.js'
import { findGiven, mergeFileValues, readValue, type Settings } from './read-settings.js'
import { toVariableName, type SettingName } from './settings.js'

export type ServerConfig = {
  /** The name of the server in `/probe`, in the log and in labels. */
  readonly name: string
  readonly xmpp: { readonly service: string; readonly domain: string; readonly secret: string }
  /** The VirtualHosts to query. If the list is empty, the exporter queries the parent of the component's domain. */
  readonly hosts: readonly string[]
  readonly collectors: ReadonlyMap<string, boolean>
}

/** Settings that flags and environment variables can set only if the configuration file has at most one server. */
const SINGLE_SERVER_SETTINGS = [
  'xmpp.service',
  'xmpp.domain',
  'xmpp.secret-file',
  'xmpp.secret',
  'xmpp.host',
] as const

/**
 * Reads the servers of the configuration file. If it has none, flags and environment variables set a single server, or
 * none if the exporter only checks domains from outside.
 *
 * @throws ConfigError
 */
export function readServers(settings: Settings, file: ConfigFile | undefined): ServerConfig[] {
  const [first, ...more] = file?.servers ?? []
  if (first === undefined) {
    const checksOutside = DOMAIN_LISTS.some((name) => settings.all(name).length > 0)
    if (checksOutside && !hasServerSettings(settings)) return []
    return [readServer(settings, { name: undefined, values: new Map(), source: file?.source })]
  }
  if (more.length === 0) return [readServer(settings, first)]
  return readSeveralServers(settings, [first, ...more])
}

/**
 * Whether the domain is set, or a flag sets another setting of a server. A drop-in of the service can set the variable of
 * the secret, also if the operator has configured no server.
 */
function hasServerSettings(settings: Settings): boolean {
  const isGiven = (name: SettingName) =>
    settings.all(name).some(({ from }) => from === 'flag' || name === 'xmpp.domain')
  return SINGLE_SERVER_SETTINGS.some(isGiven)
}

function readSeveralServers(settings: Settings, servers: readonly FileServer[]): ServerConfig[] {
  refuseSingleServerSettings(settings, servers.length)
  const names = new Set<string>()
  const components = new Set<string>()
  return servers.map((server) => {
    refuseMissingKeys(server)
    const read = readServer(settings, server)
    const domain = server.values.get('xmpp.domain')![0]!
    if (names.has(read.name)) {
      throw server.name
        ? valueError(server.name, 'each name once')
        : valueError(domain, 'a name, since another server has this domain')
    }
    names.add(read.name)
    // Prosody allows one stream for each component, so two streams would disconnect each other again and again.
    const component = `${read.xmpp.domain} ${read.xmpp.service}`
    if (components.has(component)) throw valueError(domain, 'each domain once for each service')
    components.add(component)
    return read
  })
}

function refuseSingleServerSettings(settings: Settings, count: number): void {
  const given = SINGLE_SERVER_SETTINGS.flatMap((name) => settings.all(name)).find(
    ({ from }) => from !== 'default',
  )
  if (given === undefined) return
  throw new ConfigError(
    `${given.source}: expected this setting with one server only, but the configuration file has ${count} servers`,
  )
}

function refuseMissingKeys({ values, source }: FileServer): void {
  for (const [name, key] of [
    ['xmpp.domain', 'domain'],
    ['xmpp.secret-file', 'secret_file'],
  ] as const) {
    if (!values.has(name)) throw new ConfigError(`${source}: expected a ${key}, got none`)
  }
}

/** A server of the configuration file. `source` is `undefined` if there is no configuration file. */
type ServerInFile = Omit<FileServer, 'source'> & { readonly source: string | undefined }

function readServer(common: Settings, { name, values, source }: ServerInFile): ServerConfig {
  const settings = mergeFileValues(common, values)
  const service = readValue(settings, 'xmpp.service')
  const domain = readValue(settings, 'xmpp.domain') ?? refuseMissingDomain(source)
  const secret = readSecret(settings, source)
  return {
    name: name === undefined ? domain : readServerName(name),
    xmpp: { service, domain, secret },
    hosts: readValue(settings, 'xmpp.host'),
    collectors: new Map(
      COLLECTORS.map((collector) => [
        collector.name,
        readValue(settings, `collector.${collector.name}`),
      ]),
    ),
  }
}

// Spaces and control characters are refused, because the name of a server is a label value and a part of URLs.
function readServerName(given: Given): string {
  if (/^[^\s\p{C}]{1,100}$/u.test(given.text)) return given.text
  throw valueError(given, 'a name of 1 to 100 characters without spaces')
}

function refuseMissingDomain(source: string | undefined): never {
  if (source !== undefined) {
    throw new ConfigError(`${source}: expected a domain (or --xmpp.domain), got none`)
  }
  throw new ConfigError(
    '--xmpp.domain is not set, so there is no server to monitor. Set --xmpp.domain and ' +
      '--xmpp.secret-file, or --config.file=FILE. Or run ' +
      '"prosody-exporter setup" as root on the machine that runs Prosody. See --help.',
  )
}

/**
 * Reads the secret of the component from the first source that has one: the flag --xmpp.secret-file, an environment
 * variable, the configuration file.
 */
function readSecret(settings: Settings, source: string | undefined): string {
  const file = findGiven(settings, 'xmpp.secret-file')
  if (file?.from === 'flag') return readSecretFile(file)
  const variable = toVariableName('xmpp.secret')
  const secret = readValue(settings, 'xmpp.secret') ?? ''
  if (secret !== '' && file?.from === 'variable') {
    throw new ConfigError(
      `${variable}: expected only this variable or only ${file.source}, got both`,
    )
  }
  if (secret !== '') return secret
  if (file !== undefined) return readSecretFile(file)
  throw new ConfigError(
    source === undefined
      ? `--xmpp.secret-file (or ${variable}): expected the component_secret, got none`
      : `${source}: expected a secret_file (or --xmpp.secret-file, or ${variable}), got none`,
  )
}

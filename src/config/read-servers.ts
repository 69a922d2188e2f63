import { COLLECTORS } from '../collectors/index.js'
import { mergeFileSettings, type FileServer, type FileSettings } from './read-config-file.js'
import { isTrue, fail, requiredSetting, readDomain, parseServiceAddress } from './values.js'
import { ConfigError } from '../errors.js'
import type { Given, Settings } from './read-settings.js'
import { readSecretFile, withoutNewline } from './read-secret-file.js'
import { variableName } from './settings.js'

type Env = Readonly<Record<string, string | undefined>>

export type ServerConfig = {
  /** How `/probe`, the log and labels name it. */
  readonly name: string
  readonly xmpp: { readonly service: string; readonly domain: string; readonly secret: string }
  /** None: the domain's parent and its components. */
  readonly hosts: readonly string[]
  readonly collectors: ReadonlyMap<string, boolean>
}

/** What flags and environment tell of one server, and can't of several. */
const OF_ONE = ['xmpp.service', 'xmpp.domain', 'xmpp.secret-file', 'xmpp.host']
const SECRET_VARIABLE = variableName('xmpp.secret')

/** The servers of the file, or the one that flags and environment tell of. */
export function readServers(
  settings: Settings,
  file: Pick<FileSettings, 'servers' | 'source'> | undefined,
  env: Env,
): ServerConfig[] {
  const servers = file?.servers ?? []
  if (servers.length < 2) {
    const nothing = { name: undefined, values: new Map(), source: file?.source }
    return [readServer(settings, servers[0] ?? nothing, env)]
  }
  const given = OF_ONE.flatMap((name) => settings.all(name)).find(({ from }) => from !== 'default')
  const source = given?.source ?? (env[SECRET_VARIABLE] ? SECRET_VARIABLE : undefined)
  if (source !== undefined) {
    throw new ConfigError(
      `${source}: expected with one server only, and the file has ${servers.length}`,
    )
  }
  const names = new Set<string>()
  const components = new Set<string>()
  return servers.map((server) => {
    for (const [name, key] of [
      ['xmpp.domain', 'domain'],
      ['xmpp.secret-file', 'secret_file'],
    ] as const) {
      if (!server.values.has(name)) {
        throw new ConfigError(`${server.source}: expected a ${key}, got none`)
      }
    }
    const read = readServer(settings, server, env)
    if (names.has(read.name)) {
      const twice = server.name ?? server.values.get('xmpp.domain')![0]!
      fail(twice, server.name ? 'each name once' : 'a name, since another server has this domain')
    }
    names.add(read.name)
    // Each would cost the other its stream, for ever where the server lets the newer one win.
    const component = `${read.xmpp.domain} ${read.xmpp.service}`
    if (components.has(component)) {
      fail(server.values.get('xmpp.domain')![0]!, 'each domain of a service once')
    }
    components.add(component)
    return read
  })
}

/** What a server is read from: a section of the file, or flags and environment alone. */
type InFile = Omit<FileServer, 'source'> & { readonly source: string | undefined }

function readServer(all: Settings, inFile: InFile, env: Env): ServerConfig {
  const settings = mergeFileSettings(all, inFile)
  const { name, source } = inFile
  const xmpp = {
    service: parseServiceAddress(requiredSetting(settings, 'xmpp.service')),
    domain: domain(settings.get('xmpp.domain'), source),
    secret: secret(settings.get('xmpp.secret-file'), source, env),
  }
  return {
    name: name === undefined ? xmpp.domain : serverName(name),
    xmpp,
    hosts: settings.all('xmpp.host').map(host),
    collectors: new Map(
      COLLECTORS.map(({ name }) => [name, isTrue(requiredSetting(settings, `collector.${name}`))]),
    ),
  }
}

// It is a label's value and a part of a URL.
function serverName(given: Given): string {
  if (/^[^\s\p{C}]{1,100}$/u.test(given.text)) return given.text
  return fail(given, 'a name of 1 to 100 characters without spaces')
}

function domain(given: Given | undefined, source: string | undefined): string {
  if (given === undefined) {
    if (source) throw new ConfigError(`${source}: expected a domain (or --xmpp.domain), got none`)
    throw new ConfigError(
      `--xmpp.domain (or ${variableName('xmpp.domain')}): ` +
        "expected the component's domain, e.g. stats.example.com, got none",
    )
  }
  return (
    readDomain(given.text) ??
    fail(given, "the component's domain, e.g. stats.example.com, without @ or /")
  )
}

function host(given: Given): string {
  return readDomain(given.text) ?? fail(given, 'a host, e.g. example.com, without @ or /')
}

function secret(file: Given | undefined, source: string | undefined, env: Env): string {
  const variable = SECRET_VARIABLE
  const inVariable = withoutNewline(env[variable] ?? '')
  if (file === undefined || (file.from === 'file' && inVariable !== '')) {
    if (inVariable === '') {
      throw new ConfigError(
        source
          ? `${source}: expected a secret_file (or --xmpp.secret-file, or ${variable}), got none`
          : `--xmpp.secret-file (or ${variable}): expected the component_secret, got none`,
      )
    }
    if (/[\r\n\0]/.test(inVariable)) {
      throw new ConfigError(`${variable}: expected one line, got several`)
    }
    return inVariable
  }
  if (inVariable !== '' && file.from === 'variable') {
    throw new ConfigError(`${variable}: expected this or ${file.source}, got both`)
  }
  return readSecretFile(file)
}

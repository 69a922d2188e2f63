import { COLLECTORS } from './collectors/index.js'
import { withFile, type FileServer } from './config-file.js'
import { bool, fail, one, readDomain, service } from './config-values.js'
import { ConfigError } from './errors.js'
import type { Given, Settings } from './flags.js'
import { readSecretFile } from './secret.js'
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

/** The servers of the file, or the one that flags and environment tell of. */
export function readServers(
  settings: Settings,
  servers: readonly FileServer[],
  env: Env,
): ServerConfig[] {
  const [only = { name: undefined, values: new Map() }] = servers
  return [readServer(withFile(settings, only), only.name, env)]
}

function readServer(settings: Settings, name: Given | undefined, env: Env): ServerConfig {
  const xmpp = {
    service: service(one(settings, 'xmpp.service')),
    domain: domain(settings.get('xmpp.domain')),
    secret: secret(settings.get('xmpp.secret-file'), env),
  }
  return {
    name: name?.text ?? xmpp.domain,
    xmpp,
    hosts: settings.all('xmpp.host').map(host),
    collectors: new Map(
      COLLECTORS.map(({ name }) => [name, bool(one(settings, `collector.${name}`))]),
    ),
  }
}

function domain(given: Given | undefined): string {
  if (given === undefined) {
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

function secret(file: Given | undefined, env: Env): string {
  const variable = variableName('xmpp.secret')
  const inVariable = env[variable] ?? ''
  if (file === undefined || (file.from === 'file' && inVariable !== '')) {
    if (inVariable === '') {
      throw new ConfigError(
        `--xmpp.secret-file (or ${variable}): expected the component_secret, got none`,
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

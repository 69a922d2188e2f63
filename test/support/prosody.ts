import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { root, temporaryDirectory } from './setup/process.js'
import { legacyVersion, prosodyVersions } from './setup/installation.js'
import { startProsody } from './setup/prosody.js'

export { legacyVersion, prosodyVersions }

/** The versions of Prosody that tests run: one without a metric registry, and those with a registry. */
export const everyVersion = [legacyVersion, ...prosodyVersions] as const
export type Version = (typeof everyVersion)[number]

/** A version of Prosody that tests can start. `newest` is the latest version in Debian. */
export type ProsodyVersion = Version | 'newest'

type Started = Awaited<ReturnType<typeof startProsody>>

/**
 * Options of Prosody's configuration. Each value is a Lua expression as text, for example `{ statistics_interval:
 * '"manual"' }`.
 */
export type LuaOptions = Readonly<Record<string, string | undefined>>

export type ComponentSection = {
  readonly domain: string
  /** The module of the component, for example `muc`. Without a module, the component is external. */
  readonly module?: string
  readonly options?: LuaOptions
}

export type ProsodyConfig = {
  /** The domains of the VirtualHosts. By default, these are `one.example` and `two.example`. */
  readonly hosts?: readonly string[]
  /**
   * The accounts of the server. A key is the JID of an account, and its value is the password. The accounts are
   * stored with `internal_plain`.
   */
  readonly users?: Readonly<Record<string, string>>
  /**
   * The domains of external components with mod_adhoc_statistics. Their secret is `secret`. By default, there are
   * two.
   */
  readonly statsDomains?: readonly string[]
  /**
   * Options in the section of each component with mod_adhoc_statistics, in addition to the secret and
   * `modules_enabled`.
   */
  readonly statsOptions?: LuaOptions
  /** Modules to load on all hosts, in addition to those that every test's Prosody has. */
  readonly modules?: readonly string[]
  /** Components in addition to those with mod_adhoc_statistics and the MUC service `rooms.<first host>`. */
  readonly components?: readonly ComponentSection[]
  /** Global options that replace the defaults of the tests. The value `undefined` removes an option. */
  readonly globals?: LuaOptions
  /** Directories in which Prosody looks for modules before it looks in those of the repository. */
  readonly pluginPaths?: readonly string[]
  /** Whether plugin_paths has the directory of mod_adhoc_statistics. Default: true. */
  readonly hasModule?: boolean
  /** The ports of services with TLS from the start, for example `https`. By default, these services have no ports. */
  readonly tlsPorts?: Readonly<Record<string, number | readonly number[]>>
  /** The addresses on which the server listens. By default, 127.0.0.1. */
  readonly interfaces?: readonly string[]
  /** Lua text that comes before the rest of the configuration (`extraGlobal`) or after it (`extra`). */
  readonly extraGlobal?: string
  readonly extra?: string
  readonly logLevel?: 'debug' | 'info' | 'warn'
  readonly env?: NodeJS.ProcessEnv
}

export type TestProsody = {
  /** The running server process. Each `restart` replaces it by a new one. */
  server(): Started
  readonly version: string
  readonly dir: string
  readonly ports: Started['ports']
  readonly pid: number
  readonly hosts: readonly string[]
  /** The domain of the server's MUC service. */
  readonly rooms: string
  readonly statsDomains: readonly string[]
  /** The value of `--xmpp.service` with which an exporter connects to this server. */
  readonly service: string
  readonly secret: string
  /** The URL of the metrics that mod_http_openmetrics serves. Prosody 0.11 does not have that module. */
  readonly openmetricsUrl: string
  log(): string
  kill(signal: NodeJS.Signals): void
  /** Stops the server. Its directory and its ports stay reserved for a restart. */
  stop(): Promise<void>
  /** Restarts the server, or starts it after `stop`. `changes` override its configuration. */
  restart(changes?: ProsodyConfig): Promise<void>
  /** Runs prosodyctl, for example `prosodyctl('shell', 'module', 'reload', 'ping', 'one.example')`. */
  prosodyctl(...args: string[]): Promise<string>
}

export const SECRET = 'secret'

const MODULES = [
  ...['disco', 'roster', 'saslauth', 'dialback', 'ping', 'version', 'uptime', 'time', 'adhoc'],
]
/**
 * Modules that only 0.12 and later versions load: modules that are new in 0.12, and `tls`, which logs errors on 0.11
 * if there are no certificates.
 */
const NEW_MODULES = ['tls', 'http_openmetrics', 'admin_shell', 'admin_socket']

/** Options that have other values on Prosody 0.11. */
const LEGACY_GLOBALS: LuaOptions = { statistics_interval: '1', gc: undefined }

const GLOBALS: LuaOptions = {
  statistics: '"internal"',
  statistics_interval: '"manual"',
  gc: '{ mode = "generational" }',
  authentication: '"internal_plain"',
  // Clients and servers may connect without TLS, because tests connect over loopback.
  c2s_require_encryption: 'false',
  s2s_require_encryption: 'false',
  allow_unencrypted_plain_auth: 'true',
  // With this option, Prosody answers HTTP requests with any Host header.
  http_default_host: '"one.example"',
}

/** Starts a private Prosody, which stops after the test. */
export async function withProsody(
  t: Pick<TestContext, 'after'>,
  options: ProsodyConfig & {
    readonly version: ProsodyVersion
  },
): Promise<TestProsody> {
  const directory = await temporaryDirectory('prosody-exporter-test')
  const dir = directory.path
  let config: ProsodyConfig = options
  let current: Started | undefined
  t.after(async () => {
    await current?.stop()
    await directory.remove()
  })

  const start = async (): Promise<Started> => {
    await writeAccounts(join(dir, 'data'), config.users ?? {})
    return await startProsody({
      version: options.version,
      dir,
      config: luaConfig(config, options.version === legacyVersion),
      pluginPaths: [
        ...(config.pluginPaths ?? []),
        ...(config.hasModule === false ? [] : [join(root, 'prosody-modules')]),
        join(root, 'test/support/prosody-modules'),
      ],
      ...(config.logLevel && { logLevel: config.logLevel }),
      ...(current && { ports: current.ports }),
      ...(config.env && { env: config.env }),
      ...(config.interfaces && { interfaces: config.interfaces }),
      ...(config.tlsPorts && { tlsPorts: config.tlsPorts }),
    })
  }
  const first = await start()
  current = first
  const running = (): Started => current ?? first

  return {
    server: running,
    version: first.version,
    dir,
    ports: first.ports,
    get pid() {
      return running().pid
    },
    get hosts() {
      return hostsOf(config)
    },
    get rooms() {
      return `rooms.${hostsOf(config)[0] ?? ''}`
    },
    get statsDomains() {
      return statsDomainsOf(config)
    },
    service: `xmpp://127.0.0.1:${first.ports.component}`,
    secret: SECRET,
    openmetricsUrl: `http://127.0.0.1:${first.ports.http}/metrics`,
    log: () => running().log(),
    kill: (signal) => {
      running().kill(signal)
    },
    stop: () => running().stop(),
    async restart(changes = {}) {
      await running().stop()
      config = { ...config, ...changes }
      current = await start()
    },
    prosodyctl: (...args) => running().prosodyctl(...args),
  }
}

const hostsOf = (config: ProsodyConfig): readonly string[] =>
  config.hosts ?? ['one.example', 'two.example']

const statsDomainsOf = (config: ProsodyConfig): readonly string[] =>
  config.statsDomains ?? ['stats.one.example', 'stats.two.example']

/** Returns the configuration file for `withProsody`. startProsody() adds the ports and paths. */
export function luaConfig(config: ProsodyConfig, isLegacy = false): string {
  const hosts = hostsOf(config)
  const globals = {
    ...GLOBALS,
    ...(isLegacy && LEGACY_GLOBALS),
    http_default_host: `"${hosts[0] ?? ''}"`,
    ...config.globals,
  }
  const modules = [...MODULES, ...(isLegacy ? [] : NEW_MODULES), ...(config.modules ?? [])]
    .map((name) => `"${name}"`)
    .join('; ')
  const components: readonly ComponentSection[] = [
    { domain: `rooms.${hosts[0] ?? ''}`, module: 'muc' },
    ...statsDomainsOf(config).map((domain) => ({
      domain,
      options: {
        component_secret: `"${SECRET}"`,
        component_conflict_resolve: '"kick_old"',
        modules_enabled: '{ "adhoc_statistics" }',
        ...config.statsOptions,
      },
    })),
    ...(config.components ?? []),
  ]
  return [
    config.extraGlobal ?? '',
    `modules_enabled = { ${modules} }`,
    ...luaOptions(globals),
    ...hosts.map((host) => `VirtualHost "${host}"`),
    ...components.flatMap(({ domain, module, options = {} }) => [
      `Component "${domain}"${module === undefined ? '' : ` "${module}"`}`,
      ...luaOptions(options).map((line) => `  ${line}`),
    ]),
    config.extra ?? '',
    '',
  ].join('\n')
}

const luaOptions = (options: LuaOptions): string[] =>
  Object.entries(options).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name} = ${value}`],
  )

async function writeAccounts(data: string, users: Readonly<Record<string, string>>) {
  for (const [jid, password] of Object.entries(users)) {
    const [user = '', host = ''] = jid.split('@')
    // In file names, Prosody's util.datamanager percent-encodes all characters except letters and digits.
    const encode = (text: string) =>
      text.replace(/[^a-zA-Z0-9]/g, (sign) => `%${sign.charCodeAt(0).toString(16)}`)
    const accounts = join(data, encode(host), 'accounts')
    await mkdir(accounts, { recursive: true })
    await writeFile(
      join(accounts, `${encode(user)}.dat`),
      `return { ["password"] = ${JSON.stringify(password)}; };\n`,
    )
  }
}

/**
 * The fourteen broken set-ups that an operator is most likely to meet. The last line of `prosody-exporter doctor` and
 * the status page must name the cause of each.
 */

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import type { TestContext } from 'node:test'
import { selfSigned } from './certificate.js'
import { withExporterFor } from './exporter.js'
import { prosodyVersions, withProsody, type ProsodyConfig, type TestProsody } from './prosody.js'
import { evalLua } from './real.js'
import { freePort, temporaryDirectory } from './setup/process.js'

const VERSION = prosodyVersions[1]
const SECRET = 'xyzzy-42'
const DOMAIN = 'stats.one.example'
const COMMAND_EVENT = 'iq/host/http://jabber.org/protocol/commands:command'
const DAY_MS = 86_400_000

/** What the exporter and doctor need to run with the fault. */
export type Fault = {
  readonly flags: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** A shell script that starts the exporter or doctor, for `runExporter`. */
  readonly script?: string
  /** Causes the fault. Call it when the exporter has connected, or before doctor starts without a running exporter. */
  readonly cause?: () => Promise<void>
}

export type BrokenSetup = {
  readonly name: string
  /** Starts Prosody and, unless `Fault.cause` does that later, causes the fault. */
  readonly start: (t: TestContext) => Promise<Fault>
  /** What the last line of doctor, and the page of a running exporter, must say. */
  readonly expected: RegExp
  /** Whether the exporter starts in spite of the fault. Otherwise it prints the cause and exits with status 2. */
  readonly isRunnable: boolean
}

const REFUSED =
  /Cannot connect to Prosody at .* \(connection refused\)|Prosody stopped \(connection to .* refused\)/
const NOT_A_COMPONENT_PORT = /is not a Prosody component port/
/** The HTTP server of Prosody answers only HTTP. Only doctor sends an HTTP request to the port. */
const HTTP_PORT =
  /is not a Prosody component port: it answers with HTTP|accepts connections but sends nothing/
const NO_COMPONENT = /Prosody has no external component "/
const NO_MODULE = /mod_adhoc_statistics is not loaded/

export const BROKEN_SETUPS: readonly BrokenSetup[] = [
  runnable('Prosody stopped', REFUSED, async (t) => {
    const prosody = await start(t)
    return { ...(await faultOf(t, prosody)), cause: () => prosody.stop() }
  }),
  runnable('the port is closed', REFUSED, async (t) => {
    const prosody = await start(t)
    return faultOf(t, prosody, { service: `xmpp://127.0.0.1:${await freePort()}` })
  }),
  runnable('the port is an HTTP port', HTTP_PORT, async (t) => {
    const prosody = await start(t)
    return faultOf(t, prosody, { service: `xmpp://127.0.0.1:${prosody.ports.http}` })
  }),
  runnable('the port is a client port of XMPP', NOT_A_COMPONENT_PORT, async (t) => {
    const prosody = await start(t)
    return faultOf(t, prosody, { service: `xmpp://127.0.0.1:${prosody.ports.c2s}` })
  }),
  runnable('the host name has no address', /host name .* has no address/, async (t) => {
    const prosody = await start(t)
    return faultOf(t, prosody, { service: 'xmpp://no-such-host.invalid' })
  }),
  runnable('Prosody does not know the component', NO_COMPONENT, async (t) => {
    const prosody = await start(t)
    return faultOf(t, prosody, { domain: 'other.one.example' })
  }),
  runnable('the secret is wrong', /Prosody rejected the secret/, async (t) => {
    const prosody = await start(t)
    return faultOf(t, prosody, { env: { PROSODY_EXPORTER_XMPP_SECRET: 'not the one' } })
  }),
  {
    name: 'the secret file is unreadable',
    expected: /secret.* cannot be read: this user may not read it/,
    isRunnable: false,
    start: async (t) => {
      const prosody = await start(t)
      const file = join(prosody.dir, 'xmpp.secret')
      await writeFile(file, `${SECRET}\n`, { mode: 0o000 })
      const fault = await faultOf(t, prosody, {
        flags: [`--xmpp.secret-file=${file}`],
        env: { PROSODY_EXPORTER_XMPP_SECRET: '' },
      })
      // Root can read every file, unless the process lacks these capabilities.
      const script = 'exec setpriv --bounding-set=-dac_override,-dac_read_search -- "$@"'
      return process.getuid?.() === 0 ? { ...fault, script } : fault
    },
  },
  runnable('the domain is a VirtualHost', NO_COMPONENT, async (t) => {
    const prosody = await start(t)
    return faultOf(t, prosody, { domain: 'one.example' })
  }),
  runnable('the component does not enable the module', NO_MODULE, async (t) => {
    return faultOf(t, await start(t, { statsOptions: { modules_enabled: undefined } }))
  }),
  runnable('the module is in no directory of plugin_paths', NO_MODULE, async (t) => {
    return faultOf(t, await start(t, { hasModule: false }))
  }),
  runnable('statistics are off', /Statistics are switched off in Prosody/, async (t) => {
    const globals = { statistics: undefined, statistics_interval: undefined }
    return faultOf(t, await start(t, { globals }))
  }),
  runnable('statistics_interval is a number', /statistics_interval/, async (t) => {
    return faultOf(t, await start(t, { globals: { statistics_interval: '60' } }))
  }),
  runnable('access is refused', /Prosody does not let .* read statistics/, async (t) => {
    const prosody = await start(t)
    // This hook refuses the command, like a Prosody module that restricts commands.
    await evalLua(
      prosody,
      `local st = require "util.stanza"
      module:context("${DOMAIN}"):hook("${COMMAND_EVENT}", function (event)
        event.origin.send(st.error_reply(event.stanza, "auth", "forbidden", "not you"))
        return true
      end, 1000)`,
    )
    return faultOf(t, prosody)
  }),
  runnable('a second exporter uses the component', /Another program .* as component/, async (t) => {
    const prosody = await start(t)
    // With its own directory for control sockets, the other exporter is as invisible as on another machine.
    const { path, remove } = await temporaryDirectory('prosody-exporter-other')
    t.after(remove)
    await withExporterFor(
      t,
      { ...prosody, secret: SECRET, statsDomains: [DOMAIN] },
      { env: { XDG_RUNTIME_DIR: path } },
    )
    return faultOf(t, prosody)
  }),
  runnable('the certificate of the exporter has expired', /certificate .* expired/, async (t) => {
    const prosody = await start(t)
    const { cert, key } = selfSigned({
      from: new Date(Date.now() - 30 * DAY_MS),
      to: new Date(Date.now() - 2 * DAY_MS),
    })
    const file = join(prosody.dir, 'web.yml')
    await writeFile(join(prosody.dir, 'exporter.crt'), cert)
    await writeFile(join(prosody.dir, 'exporter.key'), key, { mode: 0o600 })
    await writeFile(
      file,
      'tls_server_config: { cert_file: exporter.crt, key_file: exporter.key }\n',
    )
    return faultOf(t, prosody, { flags: [`--web.config.file=${file}`] })
  }),
]

function runnable(name: string, expected: RegExp, start: BrokenSetup['start']): BrokenSetup {
  return { name, expected, start, isRunnable: true }
}

function start(t: TestContext, config: ProsodyConfig = {}): Promise<TestProsody> {
  return withProsody(t, {
    version: VERSION,
    modules: ['test_eval'],
    ...config,
    statsOptions: { component_secret: `"${SECRET}"`, ...config.statsOptions },
  })
}

/**
 * Returns the flags and variables for an exporter of this Prosody. Its control socket is in a directory of its own, so
 * that no other exporter on the machine has an influence.
 */
async function faultOf(
  t: TestContext,
  prosody: TestProsody,
  {
    service = prosody.service,
    domain = DOMAIN,
    flags = [],
    env = {},
  }: {
    service?: string
    domain?: string
    flags?: readonly string[]
    env?: Readonly<Record<string, string>>
  } = {},
): Promise<Fault> {
  const { path, remove } = await temporaryDirectory('prosody-exporter-control')
  t.after(remove)
  return {
    flags: [`--xmpp.service=${service}`, `--xmpp.domain=${domain}`, ...flags],
    env: { PROSODY_EXPORTER_XMPP_SECRET: SECRET, XDG_RUNTIME_DIR: path, ...env },
  }
}

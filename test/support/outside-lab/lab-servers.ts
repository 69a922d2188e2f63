/** Runs the domains of a lab on Prosody and ejabberd, with the configuration that an operator writes. */

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { KeyPair } from '../certificate.js'
import { startEjabberd } from '../setup/ejabberd.js'
import { commandFor, findProsody } from '../setup/installation.js'
import { until } from '../setup/process.js'
import { LAB_DOMAIN, PORTS, type ServedHost } from './lab-site.js'
import type { Namespace } from './namespaces.js'

type Cleanup = Pick<TestContext, 'after'>
type ProsodyKind = Exclude<ServedHost['kind'], 'ejabberd'>

/** Starts the servers of all domains. Domains with the same addresses share a process. */
export async function startServers(
  t: Cleanup,
  servers: Namespace,
  dir: string,
  hosts: readonly ServedHost[],
  fallback: KeyPair,
): Promise<void> {
  const groups = new Map<string, ServedHost[]>()
  for (const host of hosts) {
    groups.set(host.address.ipv4, [...(groups.get(host.address.ipv4) ?? []), host])
  }
  await Promise.all(
    [...groups.values()].map(async (members, index) => {
      const own = join(dir, `server-${index}`)
      await mkdir(join(own, 'data'), { recursive: true })
      const { kind } = members[0]!
      if (kind === 'ejabberd') await startEjabberdFor(t, servers, own, members)
      else await startProsodyFor(servers, own, kind, members, fallback)
    }),
  )
}

async function startProsodyFor(
  servers: Namespace,
  dir: string,
  version: ProsodyKind,
  hosts: readonly ServedHost[],
  fallback: KeyPair,
): Promise<void> {
  const { address, globalLua, components = [] } = hosts[0]!
  const file = join(dir, 'prosody.cfg.lua')
  const ssl = await writeCertificate(dir, 'fallback', fallback)
  const sections = await Promise.all(hosts.map((host) => hostSection(dir, host)))
  const config = [
    'modules_enabled = { "roster"; "saslauth"; "tls"; "dialback"; "disco"; "ping" }',
    'authentication = "internal_hashed"',
    `interfaces = { ${JSON.stringify(address.ipv4)}, ${JSON.stringify(address.ipv6)} }`,
    `c2s_direct_tls_ports = { ${PORTS['xmpps-client']} }`,
    `s2s_direct_tls_ports = { ${PORTS['xmpps-server']} }`,
    'http_ports = {}',
    `ssl = ${ssl}`,
    'daemonize = false',
    // In a user namespace, each user seems to be root.
    'run_as_root = true',
    'prosody_user = nil',
    'prosody_group = nil',
    `data_path = ${JSON.stringify(join(dir, 'data'))}`,
    `pidfile = ${JSON.stringify(join(dir, 'prosody.pid'))}`,
    'log = { { levels = { min = "info" }, to = "console" } }',
    ...globalLua,
    ...sections.flat(),
    ...components,
    '',
  ]
  await writeFile(file, config.join('\n'))
  const installation = await findProsody(version)
  const command = await commandFor(installation, 'prosody', dir)
  const child = servers.launch([...command, '-F', '--config', file], {
    cwd: dir,
    env: installation.env,
  })
  const count = Object.keys(PORTS).length
  await until(
    () => {
      if (!child.running()) throw new Error(`Prosody ended: ${child.output()}`)
      if (/Failed to open server port|Error in config/.test(child.output()))
        throw new Error(`Prosody did not start: ${child.output()}`)
      return (child.output().match(/Activated service '[cs]2s\w*' on/g) ?? []).length >= count
    },
    { what: `Prosody ${version} listens` },
  )
}

async function hostSection(
  dir: string,
  { domain, certificate, directCertificate = certificate, ssl = {}, lua }: ServedHost,
): Promise<string[]> {
  const own = await writeCertificate(dir, domain, certificate, ssl)
  const direct = await writeCertificate(dir, `${domain}.direct`, directCertificate, ssl)
  return [
    `VirtualHost ${JSON.stringify(domain)}`,
    `  ssl = ${own}`,
    `  c2s_direct_tls_ssl = ${direct}`,
    `  s2s_direct_tls_ssl = ${direct}`,
    `  https_ssl = ${own}`,
    ...lua.map((line) => `  ${line}`),
  ]
}

/** Writes a certificate and its key to files. Returns the Lua table that names them. */
async function writeCertificate(
  dir: string,
  name: string,
  { cert, key }: KeyPair,
  options: Readonly<Record<string, string>> = {},
): Promise<string> {
  const path = join(dir, name)
  await writeFile(`${path}.crt`, cert)
  await writeFile(`${path}.key`, key, { mode: 0o600 })
  const entries = {
    certificate: JSON.stringify(`${path}.crt`),
    key: JSON.stringify(`${path}.key`),
    ...options,
  }
  return `{ ${Object.entries(entries)
    .map(([option, value]) => `${option} = ${value}`)
    .join(', ')} }`
}

async function startEjabberdFor(
  t: Cleanup,
  servers: Namespace,
  dir: string,
  hosts: readonly ServedHost[],
): Promise<void> {
  const certfiles = await Promise.all(
    hosts.map(async ({ domain, certificate }) => {
      const path = join(dir, `${domain}.pem`)
      await writeFile(path, certificate.cert + certificate.key)
      return path
    }),
  )
  const { ipv4, ipv6 } = hosts[0]!.address
  const listen = [ipv4, ipv6].flatMap((ip) => [
    { ip, port: PORTS['xmpp-client'], module: 'ejabberd_c2s', starttls_required: true },
    { ip, port: PORTS['xmpps-client'], module: 'ejabberd_c2s', tls: true },
    { ip, port: PORTS['xmpp-server'], module: 'ejabberd_s2s_in' },
    { ip, port: PORTS['xmpps-server'], module: 'ejabberd_s2s_in', tls: true },
  ])
  const server = await startEjabberd({
    version: '24.12',
    users: {},
    wrap: (command) => servers.command(command),
    config: {
      hosts: hosts.map(({ domain }) => domain),
      loglevel: 'info',
      certfiles,
      s2s_use_starttls: 'required',
      listen,
      modules: { mod_disco: {}, mod_ping: {}, mod_roster: {}, mod_s2s_dialback: {} },
      acme: { auto: false },
    },
  })
  t.after(() => server.stop())
}

/** The domain of the certificate that Prosody needs for a port with TLS from the start. */
export const FALLBACK_DOMAIN = `fallback.${LAB_DOMAIN}`

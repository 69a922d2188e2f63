import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { findNsd } from './setup/programs.js'
import { freePort, launch, temporaryDirectory, until } from './setup/process.js'

type Cleanup = { after(callback: () => unknown): void }

export type NameServerOptions = {
  /**
   * The zones and their records, in the notation of zone files (RFC 1035 §5). Names without a dot at the end are
   * relative to the zone. The SOA and NS records are added.
   */
  readonly zones: Readonly<Record<string, readonly string[]>>
  /** The addresses on which the server listens. By default, 127.0.0.1. */
  readonly addresses?: readonly string[]
  /** By default, a free port. */
  readonly port?: number
  /** A command that runs the server, for example `['ip', 'netns', 'exec', 'NAME']`. It must replace itself. */
  readonly commandPrefix?: readonly string[]
}

export type NameServer = {
  /** The addresses with the port, as the setting `name_servers` expects them. */
  readonly nameServers: readonly string[]
  readonly log: () => string
  readonly stop: () => Promise<void>
}

/**
 * Starts NSD, an authoritative name server. It stops after the test. Queries for names outside of its zones get the
 * error REFUSED.
 */
export async function withNameServer(t: Cleanup, options: NameServerOptions): Promise<NameServer> {
  const { zones, addresses = ['127.0.0.1'], commandPrefix = [] } = options
  const { command, env } = await findNsd()
  const directory = await temporaryDirectory('prosody-exporter-nsd')
  t.after(() => directory.remove())
  const port = options.port ?? (await freePort())
  const file = join(directory.path, 'nsd.conf')
  await writeFile(file, formatConfig(directory.path, addresses, port, Object.keys(zones)))
  for (const [i, [zone, records]] of Object.entries(zones).entries()) {
    await writeFile(zoneFile(directory.path, i), formatZone(zone, records))
  }
  const [program, ...args] = [...commandPrefix, command, '-d', '-c', file]
  const child = launch(program, args, { env })
  t.after(() => child.stop())
  // The sockets are open when NSD writes this line, so queries wait for an answer from then on.
  await until(
    () => {
      if (!child.running()) throw new Error(`NSD ended: ${child.output()}`)
      return child.output().includes('nsd started')
    },
    { what: 'NSD is ready' },
  )
  const errors = /^.*\berror: .*$/gm.exec(child.output())
  if (errors) throw new Error(`NSD: ${errors.join('\n')}`)
  return {
    nameServers: addresses.map((each) =>
      each.includes(':') ? `[${each}]:${port}` : `${each}:${port}`,
    ),
    log: () => child.output(),
    stop: () => child.stop(),
  }
}

const zoneFile = (directory: string, index: number): string => join(directory, `${index}.zone`)

function formatConfig(
  directory: string,
  addresses: readonly string[],
  port: number,
  zones: readonly string[],
): string {
  return [
    'server:',
    ...addresses.map((address) => `  ip-address: ${address}`),
    `  port: ${port}`,
    // The server keeps its user and writes no file outside of the directory.
    ...['  username: ""', '  chroot: ""', '  pidfile: ""', '  database: ""', '  server-count: 1'],
    `  zonesdir: "${directory}"`,
    `  xfrdfile: "${join(directory, 'xfrd.state')}"`,
    `  zonelistfile: "${join(directory, 'zone.list')}"`,
    `  xfrdir: "${directory}"`,
    // Tests ask more often than the limit per address allows.
    '  rrl-ratelimit: 0',
    ...['remote-control:', '  control-enable: no'],
    ...zones.flatMap((zone, i) => [
      'zone:',
      `  name: "${zone}"`,
      `  zonefile: "${zoneFile(directory, i)}"`,
    ]),
    '',
  ].join('\n')
}

function formatZone(zone: string, records: readonly string[]): string {
  return [
    `$ORIGIN ${zone.replace(/\.?$/, '.')}`,
    '$TTL 60',
    '@ SOA ns.invalid. hostmaster.invalid. 1 3600 600 86400 60',
    '@ NS ns.invalid.',
    ...records,
    '',
  ].join('\n')
}

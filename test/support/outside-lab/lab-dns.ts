/**
 * The DNS servers of a lab: NSD has the zones, and Unbound resolves names recursively, as the name server of a provider
 * does.
 */

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { findNsd, findUnbound } from '../setup/programs.js'
import { until } from '../setup/process.js'
import { LAB_DOMAIN, type LabPlan } from './lab-site.js'
import type { AddressPair, Namespace } from './namespaces.js'

export type LabNameServers = {
  /** Answers only what the zones contain. */
  readonly authoritative: AddressPair
  /** Resolves names as Unbound does, for example it follows aliases. */
  readonly recursive: AddressPair
  /** Answers as `recursive`, but late. */
  readonly slow: AddressPair
  /** Does not answer. */
  readonly silent: AddressPair
}

const PATIENCE_MS = 5000

const SOA = `@ 60 IN SOA ns.${LAB_DOMAIN}. admin.${LAB_DOMAIN}. 1 60 60 3600 60`

export async function startNameServers(
  servers: Namespace,
  dir: string,
  plan: Pick<LabPlan, 'records' | 'brokenZones'>,
  addresses: Pick<LabNameServers, 'authoritative' | 'recursive'>,
): Promise<void> {
  await mkdir(dir, { recursive: true })
  await Promise.all([
    startNsd(servers, dir, plan, addresses.authoritative),
    startUnbound(servers, dir, addresses),
  ])
}

async function startNsd(
  servers: Namespace,
  dir: string,
  { records, brokenZones }: Pick<LabPlan, 'records' | 'brokenZones'>,
  { ipv4, ipv6 }: AddressPair,
): Promise<void> {
  const addresses = [`A ${ipv4}`, `AAAA ${ipv6}`].map((each) => `ns.${LAB_DOMAIN}. 60 IN ${each}`)
  const delegation = [`${LAB_DOMAIN}. 60 IN NS ns.${LAB_DOMAIN}.`, ...addresses]
  const broken = brokenZones.map((zone) => `${zone}. 60 IN NS ns.${LAB_DOMAIN}.`)
  const root = ['$ORIGIN .', SOA, `@ 60 IN NS ns.${LAB_DOMAIN}.`, ...delegation, '']
  const zone = [`$ORIGIN ${LAB_DOMAIN}.`, SOA, ...delegation, ...broken, ...records, '']
  await writeFile(join(dir, 'root.zone'), root.join('\n'))
  await writeFile(join(dir, 'lab.zone'), zone.join('\n'))
  const file = join(dir, 'nsd.conf')
  const zones = [
    ['.', 'root.zone'],
    [LAB_DOMAIN, 'lab.zone'],
    // NSD answers SERVFAIL for a zone that it cannot load.
    ...brokenZones.map((name) => [name, 'missing.zone']),
  ]
  const config = [
    'server:',
    ...[ipv4, ipv6].map((address) => `  ip-address: ${address}`),
    '  port: 53',
    '  username: ""',
    '  server-count: 1',
    '  database: ""',
    '  rrl-ratelimit: 0',
    '  rrl-whitelist-ratelimit: 0',
    `  zonesdir: "${dir}"`,
    ...['pidfile', 'xfrdfile', 'zonelistfile'].map((name) => `  ${name}: "${dir}/nsd.${name}"`),
    `  xfrdir: "${dir}"`,
    '  chroot: ""',
    'remote-control:',
    '  control-enable: no',
    ...zones.flatMap(([name, path]) => ['zone:', `  name: "${name}"`, `  zonefile: "${path}"`]),
    '',
  ]
  await writeFile(file, config.join('\n'))
  const { command, env } = await findNsd()
  const child = servers.launch([command, '-d', '-c', file], { env })
  await until(
    () => {
      if (!child.running()) throw new Error(`NSD ended: ${child.output()}`)
      return child.output().includes('nsd started')
    },
    { what: 'NSD has started' },
  )
}

async function startUnbound(
  servers: Namespace,
  dir: string,
  { authoritative, recursive }: Pick<LabNameServers, 'authoritative' | 'recursive'>,
): Promise<void> {
  const file = join(dir, 'unbound.conf')
  const config = [
    'server:',
    ...[recursive.ipv4, recursive.ipv6].map((address) => `  interface: ${address}`),
    '  access-control: 0.0.0.0/0 allow',
    '  access-control: ::/0 allow',
    '  module-config: "iterator"',
    '  num-threads: 1',
    '  username: ""',
    '  chroot: ""',
    `  directory: "${dir}"`,
    '  pidfile: ""',
    '  use-syslog: no',
    '  logfile: ""',
    '  log-time-ascii: no',
    // By default, Unbound considers a server unreachable that answers within more than a second or two. On a busy
    // machine, NSD can be that late.
    `  unknown-server-time-limit: ${PATIENCE_MS}`,
    `  infra-cache-min-rtt: ${PATIENCE_MS}`,
    // The stub zone has the addresses of the root, so Unbound needs no other servers.
    '  target-fetch-policy: "0 0 0 0 0"',
    'remote-control:',
    '  control-enable: no',
    'stub-zone:',
    '  name: "."',
    `  stub-addr: ${authoritative.ipv4}`,
    '',
  ]
  await writeFile(file, config.join('\n'))
  const { command, env } = await findUnbound()
  const child = servers.launch([command, '-d', '-c', file], { env })
  await until(
    () => {
      if (!child.running()) throw new Error(`Unbound ended: ${child.output()}`)
      return child.output().includes('start of service')
    },
    { what: 'Unbound has started' },
  )
}

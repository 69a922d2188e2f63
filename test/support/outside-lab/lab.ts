/**
 * A small internet in network namespaces: DNS servers, XMPP servers, and servers that answer wrongly. Nothing leaves
 * the namespaces.
 */

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import type { TestContext } from 'node:test'
import { root, temporaryDirectory, until } from '../setup/process.js'
import { startNameServers, type LabNameServers } from './lab-dns.js'
import { FALLBACK_DOMAIN, startServers } from './lab-servers.js'
import {
  createPlan,
  PORTS,
  type PlacedListener,
  type PlanBuilder,
  type ServedHost,
} from './lab-site.js'
import { withNetwork, type AddressPair, type Namespace } from './namespaces.js'

/** The check calls an answer slow after 2 s. */
const SLOW_DNS_MS = 2500

export type Lab = {
  /** Where the programs run that check the domains. */
  readonly checker: Namespace
  readonly nameServers: LabNameServers
  /** The file with the certificate of the authority that issued the certificates of the servers. */
  readonly trustFile: string
  /** Returns the address of the server of a domain. */
  addressOf(domain: string): AddressPair
  /** The addresses of all servers, as CIDR blocks. */
  readonly blocks: readonly string[]
  readonly dir: string
}

/**
 * Starts a lab, which ends with the test.
 *
 * @param arrange Describes the domains of the lab.
 */
export async function withLab(
  t: Pick<TestContext, 'after'>,
  arrange: (builder: PlanBuilder) => void,
): Promise<Lab> {
  const directory = await temporaryDirectory('prosody-exporter-lab')
  const dir = directory.path
  const network = await withNetwork(t)
  t.after(() => directory.remove())
  const { checker, servers, blocks } = network
  const builder = createPlan(network)
  arrange(builder)
  const nameServers = {
    authoritative: network.nextAddress(),
    recursive: network.nextAddress(),
    slow: network.nextAddress(),
    silent: network.nextAddress(),
  }
  await network.addAddresses()

  const { plan, authorities } = builder
  const trustFile = join(dir, 'root.crt')
  await writeFile(trustFile, authorities.root.cert)
  const rules = [...plan.rules, `ip daddr ${nameServers.silent.ipv4} udp dport 53 drop`]
  await network.filter(
    `table inet lab {\nchain incoming {\ntype filter hook input priority 0\n${rules.join('\n')}\n}\n}\n`,
  )
  const slowDns: PlacedListener = {
    address: nameServers.slow.ipv4,
    port: 53,
    listener: { kind: 'slow-dns', to: nameServers.recursive.ipv4, delayMs: SLOW_DNS_MS },
  }
  const fallback = authorities.root.issue({ names: [FALLBACK_DOMAIN] })
  await Promise.all([
    startNameServers(servers, join(dir, 'dns'), plan, nameServers),
    startServers(t, servers, dir, plan.hosts, fallback),
    startListeners(servers, [...plan.listeners, slowDns]),
  ])
  await untilServersAnswer(checker, plan.hosts)
  const addressOf = (domain: string): AddressPair => {
    const host = plan.hosts.find((each) => each.domain === domain)
    if (!host) throw new Error(`No server of the lab serves ${domain}.`)
    return host.address
  }
  return { checker, nameServers, trustFile, addressOf, blocks, dir }
}

/** Waits until each XMPP server answers. They accept connections earlier, but still load modules. */
async function untilServersAnswer(checker: Namespace, hosts: readonly ServedHost[]): Promise<void> {
  const servers = new Map(hosts.map(({ address, domain }) => [address.ipv4, domain]))
  const script = `
    for (const [address, domain] of ${JSON.stringify([...servers])}) {
      const socket = require('node:net').connect(${PORTS['xmpp-client']}, address)
      socket.write(\`<stream:stream to='\${domain}' version='1.0' xmlns='jabber:client'
        xmlns:stream='http://etherx.jabber.org/streams'>\`)
      socket.once('data', () => socket.destroy())
    }`
  await checker.run([process.execPath, '--eval', script])
}

async function startListeners(
  servers: Namespace,
  listeners: readonly PlacedListener[],
): Promise<void> {
  const script = join(root, 'test/support/outside-lab/listener-process.ts')
  const child = servers.launch([process.execPath, '--import', import.meta.resolve('tsx'), script], {
    cwd: root,
    input: JSON.stringify(listeners),
  })
  await until(
    () => {
      if (!child.running()) throw new Error(`the listeners ended: ${child.output()}`)
      return child.stdout().includes('ready')
    },
    { what: 'the listeners are ready' },
  )
}

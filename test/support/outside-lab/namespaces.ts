/**
 * Creates network namespaces that are connected with each other and with nothing else. They end with the processes in
 * them, so they also disappear if the test process is killed.
 */

import { readlink } from 'node:fs/promises'
import process from 'node:process'
import type { TestContext } from 'node:test'
import { findNetworkTools } from '../setup/programs.js'
import { launch, run, until } from '../setup/process.js'

type Child = ReturnType<typeof launch>
type Cleanup = Pick<TestContext, 'after'>

export type Namespace = {
  /** Returns the command that runs a program in this namespace. The program has the process id of the started command. */
  command(argv: readonly string[]): [string, ...string[]]
  /** Starts a program that ends with the test. */
  launch(argv: readonly string[], options?: Parameters<typeof launch>[2]): Child
  /**
   * Runs a program and returns its standard output.
   *
   * @throws {Error} If the exit code is not 0.
   */
  run(argv: readonly string[], options?: Parameters<typeof run>[2]): Promise<string>
}

/** The addresses of both namespaces. They are public addresses, because the product does not dial private ones. */
const NETWORK = {
  ipv4: (host: number) => `203.0.${114 + (host >> 8)}.${host & 255}`,
  ipv6: (host: number) => `2a00:b::${host.toString(16)}`,
}
const IPV4_BITS = 23
const IPV6_BITS = 64
const LAST_HOST = 509

/** An address of each family. */
export type AddressPair = { readonly ipv4: string; readonly ipv6: string }

export type Network = {
  /** Where the programs run that check. Its only addresses are `checkerAddress` and those of loopback. */
  readonly checker: Namespace
  readonly checkerAddress: AddressPair
  /** Where the servers run. */
  readonly servers: Namespace
  /** All addresses of the network, as CIDR blocks. */
  readonly blocks: readonly string[]
  /** Returns a pair of addresses that no other caller gets. The namespace `servers` has them after `addAddresses`. */
  readonly nextAddress: () => AddressPair
  /** Adds all addresses that `nextAddress` has returned so far to the namespace `servers`. */
  addAddresses(): Promise<void>
  /** Loads rules of nftables in the namespace `servers`. */
  filter(rules: string): Promise<void>
}

/** Creates a namespace for programs that check and one for servers, and connects them. Both end with the test. */
export async function withNetwork(t: Cleanup): Promise<Network> {
  const { ip, nft, env } = await findNetworkTools()
  const servers = await createNamespace(t)
  const checker = await createNamespace(t, servers)
  const checkerAddress = pairOf(1)
  const batch = async (namespace: Namespace, lines: readonly string[]) => {
    await namespace.run([ip, '-batch', '-'], { input: `${lines.join('\n')}\n`, env })
  }
  await batch(servers, [
    'link set lo up',
    `link add lab type veth peer name lab netns ${checker.pid}`,
    'link set lab up',
  ])
  await batch(checker, ['link set lo up', 'link set lab up', ...addressLines(checkerAddress)])

  let next = 2
  let added = next
  return {
    checker,
    checkerAddress,
    servers,
    blocks: [`${NETWORK.ipv4(0)}/${IPV4_BITS}`, `${NETWORK.ipv6(0)}/${IPV6_BITS}`],
    nextAddress() {
      if (next > LAST_HOST) throw new Error('The network of the lab has no more addresses.')
      return pairOf(next++)
    },
    async addAddresses() {
      const hosts = Array.from({ length: next - added }, (_, index) => added + index)
      added = next
      await batch(
        servers,
        hosts.flatMap((host) => addressLines(pairOf(host))),
      )
    },
    async filter(rules) {
      await servers.run([nft, '-f', '-'], { input: rules, env })
    },
  }
}

const pairOf = (host: number): AddressPair => ({
  ipv4: NETWORK.ipv4(host),
  ipv6: NETWORK.ipv6(host),
})

/** Without `nodad`, an IPv6 address could be used only after the detection of duplicates (RFC 4862 §5.4). */
const addressLines = ({ ipv4, ipv6 }: AddressPair) => [
  `addr add ${ipv4}/${IPV4_BITS} dev lab`,
  `addr add ${ipv6}/${IPV6_BITS} dev lab nodad`,
]

/**
 * Creates a namespace. Two connected namespaces must have the same owner, so the second is created in the user
 * namespace of the first.
 */
async function createNamespace(t: Cleanup, owner?: Namespace & { readonly pid: number }) {
  const isRoot = process.getuid?.() === 0
  const user = isRoot || owner ? [] : ['--user', '--map-root-user']
  const [command, ...args] = [
    ...(owner && !isRoot ? enter(owner.pid, ['--user', '--preserve-credentials']) : []),
    ...['unshare', ...user, '--net', 'sleep', 'infinity'],
  ]
  const holder = launch(command ?? '', args)
  t.after(() => holder.stop())
  const outside = await readlink('/proc/self/ns/net')
  await until(
    async () => {
      if (!holder.running()) throw new Error(`cannot create a namespace: ${holder.output()}`)
      const inside = await readlink(`/proc/${holder.pid}/ns/net`).catch(() => outside)
      return inside !== outside
    },
    { what: 'the network namespace exists', everyMs: 5 },
  )
  const kinds = isRoot ? ['--net'] : ['--user', '--preserve-credentials', '--net']
  const inNamespace = (argv: readonly string[]) =>
    [...enter(holder.pid, kinds), ...argv] as [string, ...string[]]
  return {
    pid: holder.pid,
    command: inNamespace,
    launch(argv: readonly string[], options?: Parameters<typeof launch>[2]) {
      const [program, ...rest] = inNamespace(argv)
      const child = launch(program, rest, options)
      t.after(() => child.stop())
      return child
    },
    async run(argv: readonly string[], options?: Parameters<typeof run>[2]) {
      const [program, ...rest] = inNamespace(argv)
      const { code, output, stdout } = await run(program, rest, options)
      if (code !== 0) throw new Error(`${argv.join(' ')} failed: ${output}`)
      return stdout
    },
  }
}

const enter = (pid: number, kinds: readonly string[]) => [
  ...['nsenter', '--target', String(pid), ...kinds, '--'],
]

import { BlockList, isIPv6 } from 'node:net'

/**
 * The networks of IPv4 that are not part of the public Internet.
 *
 * @see https://www.iana.org/assignments/iana-ipv4-special-registry/
 */
const IPV4_NETWORKS = [
  '0.0.0.0/8', // this network (RFC 791)
  '10.0.0.0/8', // private (RFC 1918)
  '100.64.0.0/10', // shared by the customers of a provider (RFC 6598)
  '127.0.0.0/8', // loopback (RFC 1122)
  '169.254.0.0/16', // link-local (RFC 3927); also the metadata service of cloud providers
  '172.16.0.0/12', // private (RFC 1918)
  '192.0.0.0/24', // protocol assignments (RFC 6890)
  '192.0.2.0/24', // documentation (RFC 5737)
  '192.88.99.0/24', // 6to4 relays, no longer in use (RFC 7526)
  '192.168.0.0/16', // private (RFC 1918)
  '198.18.0.0/15', // benchmarks (RFC 2544)
  '198.51.100.0/24', // documentation (RFC 5737)
  '203.0.113.0/24', // documentation (RFC 5737)
  '224.0.0.0/4', // multicast (RFC 5771)
  '240.0.0.0/4', // reserved, and the broadcast address (RFC 1112)
] as const

/**
 * The networks inside of 2000::/3 that are not part of the public Internet. All addresses outside of 2000::/3 are
 * private or reserved: IANA has assigned no others for global unicast.
 *
 * @see https://www.iana.org/assignments/iana-ipv6-special-registry/
 */
const IPV6_NETWORKS = [
  '2001::/23', // protocol assignments, among them Teredo and ORCHID (RFC 2928)
  '2001:db8::/32', // documentation (RFC 3849)
  '3fff::/20', // documentation (RFC 9637)
] as const

/** The well-known prefix of NAT64. */
const NAT64 = '64:ff9b::/96'

const PRIVATE = createBlockList([
  ...IPV4_NETWORKS,
  ...IPV6_NETWORKS,
  // A gateway translates these addresses to IPv4, so the IPv4 address inside decides.
  ...IPV4_NETWORKS.flatMap((network) => [to6to4(network), toNat64(network)]),
])
const PUBLIC = createBlockList(['2000::/3', NAT64])
const MAPPED = createBlockList(['::ffff:0:0/96', NAT64])
const SIX_TO_FOUR = createBlockList(['2002::/16'])

/**
 * Whether an address from DNS belongs to a private, local or reserved network. The exporter must not connect to such
 * an address, because a DNS answer could then make it scan the networks behind a firewall.
 *
 * @param address An IPv4 or IPv6 address without a zone.
 */
export function isPrivateAddress(address: string): boolean {
  if (!isIPv6(address)) return PRIVATE.check(address, 'ipv4')
  return !PUBLIC.check(address, 'ipv6') || PRIVATE.check(address, 'ipv6')
}

/**
 * Returns the IPv4 address to which packets for an IPv6 address go: inside of an IPv4-mapped address, of a NAT64 address,
 * or of a 6to4 address, whose network has 2^80 addresses.
 *
 * @returns `undefined` if the address is no such address.
 */
export function getInnerIpv4(address: string): string | undefined {
  if (!isIPv6(address)) return undefined
  const groups = expandIpv6(address)
  const inner = MAPPED.check(address, 'ipv6')
    ? groups.slice(6)
    : SIX_TO_FOUR.check(address, 'ipv6')
      ? groups.slice(1, 3)
      : undefined
  return inner?.flatMap((group) => [group >> 8, group & 255]).join('.')
}

/** Returns the eight groups of an IPv6 address. */
function expandIpv6(address: string): number[] {
  const plain = address.replace(/[\d.]+\.\d+$/, (ipv4) => {
    const [a = 0, b = 0, c = 0, d = 0] = ipv4.split('.').map(Number)
    return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
  })
  const [left = [], right = []] = plain
    .split('::')
    .map((part) => (part === '' ? [] : part.split(':').map((group) => parseInt(group, 16))))
  return [...left, ...Array.from({ length: 8 - left.length - right.length }, () => 0), ...right]
}

function createBlockList(networks: readonly string[]): BlockList {
  const list = new BlockList()
  for (const network of networks) {
    const [address = '', bits] = network.split('/')
    list.addSubnet(address, Number(bits), isIPv6(address) ? 'ipv6' : 'ipv4')
  }
  return list
}

/** Returns the network of the 6to4 addresses with IPv4 addresses of a network inside. @see RFC 3056 §2 */
function to6to4(network: string): string {
  const [address = '', bits] = network.split('/')
  const [a = 0, b = 0, c = 0, d = 0] = address.split('.').map(Number)
  const groups = [a * 256 + b, c * 256 + d].map((group) => group.toString(16))
  return `2002:${groups.join(':')}::/${16 + Number(bits)}`
}

/** Returns the network of the NAT64 addresses with IPv4 addresses of a network inside. @see RFC 6052 §2.2 */
function toNat64(network: string): string {
  const [address = '', bits] = network.split('/')
  return `64:ff9b::${address}/${96 + Number(bits)}`
}

import { BlockList, isIPv6 } from 'node:net'
import { readMachineAddresses } from './machine-addresses.js'

// The addresses of a machine change seldom, and the list is read for each connection.
const MAX_AGE_MS = 60_000

/**
 * Returns a function that says whether an address belongs to the operator: an address of this machine, or one of
 * `outside.own_addresses`.
 *
 * @param networks Returns addresses and networks (CIDR), as the configuration has them; `undefined` if it has none.
 */
export function createOwnAddresses(
  networks: () => readonly string[] | undefined,
  now: () => number,
  listMachineAddresses: () => readonly string[] = readMachineAddresses,
): (address: string) => boolean {
  let list = new BlockList()
  let listed: readonly string[] | undefined
  let listedAtMs = -Infinity
  return (address) => {
    if (listed !== networks() || now() - listedAtMs > MAX_AGE_MS) {
      listed = networks()
      listedAtMs = now()
      list = new BlockList()
      for (const each of [...(listed ?? []), ...listMachineAddresses()]) addNetwork(list, each)
    }
    return list.check(address, getFamily(address))
  }
}

function addNetwork(list: BlockList, text: string): void {
  const [address = '', bits] = text.split('/')
  const family = getFamily(address)
  if (bits === undefined) list.addAddress(address, family)
  else list.addSubnet(address, Number(bits), family)
}

const getFamily = (address: string) => (isIPv6(address) ? 'ipv6' : 'ipv4')

import { isIPv4 } from 'node:net'
import { networkInterfaces } from 'node:os'
import { ADDRESS_FAMILIES, type AddressFamily } from './outside-check.js'

/** Returns the addresses of all network interfaces of this machine. */
export function readMachineAddresses(): readonly string[] {
  // A link-local address has the name of its interface at the end.
  return Object.values(networkInterfaces()).flatMap((addresses) =>
    (addresses ?? []).map(({ address }) => address.replace(/%.*/, '')),
  )
}

// 2000::/3, the addresses of the Internet (RFC 4291 §2.4).
const GLOBAL_IPV6 = /^[23][\da-f]{3}:/i
const LINK_LOCAL = /^fe80:|^169\.254\./i
const LOOPBACK = /^127\.|^::1$/

/**
 * Returns the address families that a check can use. A machine without an IPv6 address of the Internet cannot say whether
 * IPv6 works, and one without an IPv4 address not whether IPv4 works. Behind NAT, it has a private IPv4 address.
 *
 * @param options.allowPrivate Whether the checks also connect to private networks. Then any address is enough.
 */
export function findAddressFamilies(
  { allowPrivate }: { readonly allowPrivate: boolean },
  addresses: readonly string[] = readMachineAddresses(),
): readonly AddressFamily[] {
  const isUsable = (address: string) => {
    if (LINK_LOCAL.test(address)) return false
    if (allowPrivate) return true
    return isIPv4(address) ? !LOOPBACK.test(address) : GLOBAL_IPV6.test(address)
  }
  const usable = addresses.filter(isUsable)
  const found = ADDRESS_FAMILIES.filter((family) =>
    usable.some((address) => isIPv4(address) === (family === 'ipv4')),
  )
  return found.length > 0 ? found : ADDRESS_FAMILIES
}

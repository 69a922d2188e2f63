import type { OutsideConfig } from '../config/read-config.js'
import type { Side } from './dns/find-endpoints.js'

/** Each configured domain, with the sides for which it is checked. */
export type DomainSides = ReadonlyMap<string, readonly Side[]>

export type GetDomainSides = (config: OutsideConfig | undefined) => DomainSides

const BOTH: readonly Side[] = ['client', 'server']
const CLIENT: readonly Side[] = ['client']
const SERVER: readonly Side[] = ['server']

/**
 * Creates a function that returns the domains of a configuration. It builds the map once for each configuration, which
 * a reload replaces. Equal sides are the same array.
 */
export function createDomainSides(): GetDomainSides {
  const known = new WeakMap<OutsideConfig, DomainSides>()
  return (config) => {
    if (!config) return new Map()
    const sides = known.get(config) ?? listSides(config)
    known.set(config, sides)
    return sides
  }
}

const listSides = ({ domains, clientDomains, serverDomains }: OutsideConfig): DomainSides =>
  new Map([
    ...domains.map((domain) => [domain, BOTH] as const),
    ...clientDomains.map((domain) => [domain, CLIENT] as const),
    ...serverDomains.map((domain) => [domain, SERVER] as const),
  ])

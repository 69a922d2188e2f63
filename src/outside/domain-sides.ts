import type { OutsideConfig } from '../config/read-config.js'
import type { Side } from './dns/find-endpoints.js'

/** Each configured domain, with the sides for which it is checked. */
export type DomainSides = ReadonlyMap<string, readonly Side[]>

const BOTH: readonly Side[] = ['client', 'server']
const CLIENT: readonly Side[] = ['client']
const SERVER: readonly Side[] = ['server']

// A reload replaces the configuration.
const known = new WeakMap<OutsideConfig, DomainSides>()

/** Returns the domains of a configuration. Equal sides are the same array. */
export function getDomainSides(config: OutsideConfig): DomainSides {
  const { domains, clientDomains, serverDomains } = config
  const sides =
    known.get(config) ??
    new Map([
      ...domains.map((domain) => [domain, BOTH] as const),
      ...clientDomains.map((domain) => [domain, CLIENT] as const),
      ...serverDomains.map((domain) => [domain, SERVER] as const),
    ])
  known.set(config, sides)
  return sides
}

export const listDomains = (config: OutsideConfig | undefined): readonly string[] =>
  config ? [...getDomainSides(config).keys()] : []

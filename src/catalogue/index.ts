import { c2s } from './c2s-families.js'
import { community } from './community-families.js'
import { companion } from './module-families.js'
import { exporter } from './exporter-families.js'
import type { Area, Documented } from './documented-family.js'
import { http } from './http-families.js'
import { mobile } from './mobile-families.js'
import { muc } from './muc-families.js'
import { s2s } from './s2s-families.js'
import { server } from './server-families.js'
import { storage } from './storage-families.js'

export { headingOf, type Area, type Documented } from './documented-family.js'

/** What a Prosody with our module keeps, of its own modules. */
export const PROSODY: readonly Area[] = [companion, server, c2s, s2s, muc, mobile, http, storage]

export { community as COMMUNITY, exporter as EXPORTER }

const families = [exporter, ...PROSODY, ...community].flatMap((area) => area.families)
const byName: ReadonlyMap<string, Documented> = new Map(
  families.map((family) => [family.name, family]),
)
const patterns = families
  .filter(({ name }) => name.includes('<'))
  .map((family) => ({
    pattern: new RegExp(`^${family.name.replace(/<\w+>/g, '\\w+')}$`),
    family,
  }))

/** @param name As OpenMetrics has it: a counter's without `_total`. */
export function findDocumented(name: string): Documented | undefined {
  return byName.get(name) ?? patterns.find(({ pattern }) => pattern.test(name))?.family
}

/** @throws {Error} The catalogue has no such family. */
export function getDocumented(name: string): Documented {
  const family = byName.get(name)
  if (!family) throw new Error(`${name} is not in src/catalogue`)
  return family
}

/** What the registry says of a family. */
export type Described = {
  /** As for `findDocumented`. */
  readonly name: string
  readonly type: string
  readonly unit: string
  readonly help: string
  readonly labels: readonly string[]
}

/**
 * The HELP to serve for a family of the server's: its own, or ours where its own says nothing. A
 * family of a known name but another type or other labels is not the one we know.
 */
export function helpFor(family: Described): string {
  if (!isUseless(family)) return family.help
  const known = findDocumented(family.name)
  return known && isSame(known, family) ? known.meaning : family.help
}

export function isSame(
  known: Documented,
  { type, labels }: Pick<Described, 'type' | 'labels'>,
): boolean {
  return [known, { ...known, ...known.on011 }].some(
    (shape) => shape.type === type && [...shape.labels].sort().join() === [...labels].sort().join(),
  )
}

// What module:measure puts behind the name (core.statsmanager, legacy_metric_wrappers).
const KIND = / (?:amount|counter|rate|times|sizes|distribution)$/

/**
 * Whether a HELP is empty or only repeats the family's name, whole or without its module, with or
 * without its unit: `mod_muc/room_hit counter`.
 */
export function isUseless({
  name,
  unit,
  help,
}: Pick<Described, 'name' | 'unit' | 'help'>): boolean {
  const said = help.trim().replace(/\.$/, '').replace(KIND, '')
  if (said === '') return true
  const bare = name.replace(/^prosody_/, '')
  const names = [bare, bare.replace(/^.*__/, '')]
  const written = said.replaceAll('/', '__').replace(/\W/g, '_')
  return names.some((each) => each === written || each === `${written}_${unit}`)
}

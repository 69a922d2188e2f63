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

/** The families of a Prosody that has the companion module and the modules of its own distribution. */
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

/** @param name The name in OpenMetrics: without `_total` for a counter. */
export function findDocumented(name: string): Documented | undefined {
  return byName.get(name) ?? patterns.find(({ pattern }) => pattern.test(name))?.family
}

/** @throws {Error} The catalogue has no such family. */
export function getDocumented(name: string): Documented {
  const family = byName.get(name)
  if (!family) throw new Error(`${name} is not in src/catalogue`)
  return family
}

/** A family as the server reports it. */
export type ReportedFamily = {
  /** The name in OpenMetrics, see `findDocumented`. */
  readonly name: string
  readonly type: string
  readonly unit: string
  readonly help: string
  readonly labels: readonly string[]
}

/**
 * Returns the HELP text to serve for a family of the server: the server's text, or the catalogue's text
 * if the server's one is uninformative. A family with a documented name but another type or other
 * labels is not the documented one.
 */
export function chooseHelp(family: ReportedFamily): string {
  if (!isUninformative(family)) return family.help
  const known = findDocumented(family.name)
  return known && hasSameShape(known, family) ? known.meaning : family.help
}

export function hasSameShape(
  known: Documented,
  { type, labels }: Pick<ReportedFamily, 'type' | 'labels'>,
): boolean {
  return [known, { ...known, ...known.on011 }].some(
    (shape) => shape.type === type && [...shape.labels].sort().join() === [...labels].sort().join(),
  )
}

// The words that module:measure adds to the name (core.statsmanager, legacy_metric_wrappers).
const KIND_SUFFIX = / (?:amount|counter|rate|times|sizes|distribution)$/

/**
 * Whether a HELP text is empty or only repeats the family's name, with or without its module and unit:
 * `mod_muc/room_hit counter`.
 */
export function isUninformative({
  name,
  unit,
  help,
}: Pick<ReportedFamily, 'name' | 'unit' | 'help'>): boolean {
  const text = help.trim().replace(/\.$/, '').replace(KIND_SUFFIX, '')
  if (text === '') return true
  const bare = name.replace(/^prosody_/, '')
  const names = [bare, bare.replace(/^.*__/, '')]
  const escaped = text.replaceAll('/', '__').replace(/\W/g, '_')
  return names.some((each) => each === escaped || each === `${escaped}_${unit}`)
}

import { c2s } from './c2s-families.js'
import { community } from './community-families.js'
import { companion } from './module-families.js'
import { outside } from './endpoint-families.js'
import { exporter } from './exporter-families.js'
import type { Area, Documented } from './documented-family.js'
import { http } from './http-families.js'
import { mobile } from './mobile-families.js'
import { muc } from './muc-families.js'
import { s2s } from './s2s-families.js'
import { server } from './server-families.js'
import { storage } from './storage-families.js'

export { headingOf, type Area, type Documented } from './documented-family.js'

/** The families of mod_adhoc_statistics, of Prosody itself, and of the modules that are distributed with Prosody. */
export const PROSODY: readonly Area[] = [companion, server, c2s, s2s, muc, mobile, http, storage]

export { community as COMMUNITY, exporter as EXPORTER, outside as OUTSIDE }

const families = [exporter, outside, ...PROSODY, ...community].flatMap((area) => area.families)
const byName: ReadonlyMap<string, Documented> = new Map(
  families.map((family) => [family.name, family]),
)
const patterns = families
  .filter(({ name }) => name.includes('<'))
  .map((family) => ({
    pattern: new RegExp(`^${family.name.replace(/<\w+>/g, '\\w+')}$`),
    family,
  }))

/** @param name The name of the family in OpenMetrics: without `_total` for a counter. */
export function findDocumented(name: string): Documented | undefined {
  return byName.get(name) ?? patterns.find(({ pattern }) => pattern.test(name))?.family
}

/** @throws {Error} if the catalogue has no family with this name. */
export function getDocumented(name: string): Documented {
  const family = byName.get(name)
  if (!family) throw new Error(`${name} is not in src/catalogue`)
  return family
}

/** A metric family as an XMPP server reports it. */
export type ReportedFamily = {
  /** The name of the family in OpenMetrics: without `_total` for a counter. */
  readonly name: string
  readonly type: string
  readonly unit: string
  readonly help: string
  readonly labels: readonly string[]
}

/**
 * Returns the HELP text that the exporter serves for a family of an XMPP server. It is the text of the server. If
 * that text is uninformative, it is the text of the catalogue, provided that the type and the labels are those in
 * the catalogue. Otherwise the family is another one with the same name.
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

// Prosody's function `module:measure` builds a HELP text from the name of the metric and one of these words
// (core.statsmanager, legacy_metric_wrappers).
const KIND_SUFFIX = / (?:amount|counter|rate|times|sizes|distribution)$/

/**
 * Returns whether a HELP text is empty or only repeats the name of the family, with or without the name of the module
 * and the unit. An example is `mod_muc/room_hit counter`.
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

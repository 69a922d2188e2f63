import { addCount } from '../../metrics/counts.js'
import type { Family } from '../../metrics/family.js'
import { createModPrometheus } from './mod-prometheus.js'
import type { NameScheme } from './name-schemes.js'
import type { RegistrySource } from './registry-family.js'
import { escapeName } from './registry-text.js'

// The number of name clashes that are logged, each in one line. The server chooses the names, so without this limit it
// could fill the log.
const MAX_LOGGED_NAMES = 20

/**
 * Gives the configured names to the families of Prosody's registry. The exporter creates a new `Naming` when Prosody
 * has restarted or a module of Prosody has replaced a family, because the families are new then.
 */
export type Naming = {
  /**
   * Returns the families under the configured names. Two families of the result never have the same name.
   *
   * @param atMs The time when the registry was read, in monotonic milliseconds.
   */
  families(sources: Iterable<RegistrySource>, atMs: number): readonly Family[]
  /**
   * Returns for each family name the number of series that are omitted because another family has the same name, or
   * another series the same labels.
   */
  clashes(): ReadonlyMap<string, number>
}

/** A family and the object that it was made from. Two families of one name clash only if their origins differ. */
type NamedFamily = { readonly family: Family; readonly origin: unknown }

/**
 * Prepares the naming of the families.
 *
 * @param advise Gives the operator one line of advice for each name that two families have.
 * @returns A function that creates the naming for one epoch of the registry, or undefined if the only scheme is
 *   `openmetrics`. The tables of the registry already have the names of this scheme.
 */
export function prepareNaming(
  schemes: readonly NameScheme[],
  advise: (line: string) => void,
): (() => Naming) | undefined {
  if (schemes.every((scheme) => scheme === 'openmetrics')) return undefined
  const loggedNames = new Set<string>()
  const logClash = (name: string) => {
    if (loggedNames.has(name) || loggedNames.size >= MAX_LOGGED_NAMES) return
    loggedNames.add(name)
    advise(
      `exposition.names: two statistics of Prosody result in the same series of ${name}. The exporter serves the first ` +
        'statistic, and counts the series of the other one in prosody_exporter_samples_invalid. ' +
        'If openmetrics is the first of exposition.names, both are served.',
    )
  }
  return () => createNaming(schemes, logClash)
}

function createNaming(schemes: readonly NameScheme[], logClash: (name: string) => void): Naming {
  const rename = createRenamer()
  const modPrometheus = createModPrometheus()
  let clashes = new Map<string, number>()

  function addClash(name: string, series: number): void {
    addCount(clashes, name, series)
    logClash(name)
  }

  function* nameFamilies(
    scheme: NameScheme,
    sources: readonly RegistrySource[],
    atMs: number,
  ): Iterable<NamedFamily> {
    const asIs = (source: RegistrySource) => ({ family: source.table.snapshot(), origin: source })
    if (scheme === 'openmetrics') yield* sources.map(asIs)
    else if (scheme === 'single_underscore') {
      for (const source of sources) yield { family: rename(source), origin: source }
    } else {
      const { families, incomplete, clashes } = modPrometheus.families(sources, atMs)
      for (const family of families) yield { family, origin: modPrometheus }
      for (const [name, series] of clashes) addClash(name, series)
      yield* incomplete.map(asIs)
    }
  }

  return {
    families(given, atMs) {
      const sources = [...given]
      const served = new Map<string, NamedFamily>()
      clashes = new Map()
      for (const scheme of schemes) {
        for (const named of nameFamilies(scheme, sources, atMs)) {
          const { name, order } = named.family
          // A family without series is not served, so it does not occupy its name.
          if (order.length === 0) continue
          const first = served.get(name)
          if (first === undefined) served.set(name, named)
          else if (first.origin !== named.origin) addClash(name, order.length)
        }
      }
      return Array.from(served.values(), ({ family }) => family)
    },
    clashes: () => clashes,
  }
}

/**
 * Returns a function that renames a family for the scheme `single_underscore`. The renamed family shares its labels and
 * values with the snapshot of its table, so it needs little memory.
 */
function createRenamer() {
  const renames = new Map<RegistrySource, { from: Family; renamed: Family }>()

  return (source: RegistrySource): Family => {
    const from = source.table.snapshot()
    const known = renames.get(source)
    if (known?.from === from) return known.renamed
    const name = known?.renamed.name ?? escapeName(source.wireName, '_')
    if (name === from.name) return from
    // The renamed family has its own `order`, which stays the same object as long as the rows of the family stay the
    // same.
    const order = known?.from.order === from.order ? known.renamed.order : from.order.subarray()
    const renamed = { ...from, name, order }
    renames.set(source, { from, renamed })
    return renamed
  }
}

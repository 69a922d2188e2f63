import { addCount } from '../../metrics/counts.js'
import type { Family } from '../../metrics/family.js'
import { createModPrometheus } from './mod-prometheus.js'
import type { NameScheme } from './name-schemes.js'
import type { RegistrySource } from './registry-family.js'
import { escapeName } from './registry-text.js'

// The server chooses the names, so their number needs a limit: each one is a line in the log.
const MAX_LOGGED_NAMES = 20

/** Names for the families of one epoch of the registry. */
export type Naming = {
  /**
   * Returns the families under the chosen names, each name once.
   *
   * @param atMs When the registry was read, in monotonic milliseconds.
   */
  families(sources: Iterable<RegistrySource>, atMs: number): readonly Family[]
  /** Returns how many series were omitted because another one has the same name, by family name. */
  clashes(): ReadonlyMap<string, number>
}

/** Two families of one name clash only if they have different origins. */
type NamedFamily = { readonly family: Family; readonly origin: unknown }

/**
 * @param advise Takes one line for each name that two families have.
 * @returns A function that creates the naming of an epoch; `undefined` if the tables' own names are
 *   the chosen ones.
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
      `exposition.names: two statistics result in the same series of ${name}. The first one is served. ` +
        'The other one is counted in prosody_exporter_samples_invalid.',
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
          // A family without series clashes with none.
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
 * Returns a function that names a family with one underscore for `/`. The family shares everything
 * except its name with the table's snapshot.
 */
function createRenamer() {
  const renames = new Map<RegistrySource, { from: Family; renamed: Family }>()

  return (source: RegistrySource): Family => {
    const from = source.table.snapshot()
    const known = renames.get(source)
    if (known?.from === from) return known.renamed
    const name = known?.renamed.name ?? escapeName(source.wireName, '_')
    if (name === from.name) return from
    // The exposition identifies a family by the object `order`. So the renamed family needs its own
    // object, which stays the same for as long as the rows do.
    const order = known?.from.order === from.order ? known.renamed.order : from.order.subarray()
    const renamed = { ...from, name, order }
    renames.set(source, { from, renamed })
    return renamed
  }
}

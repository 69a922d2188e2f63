import { addCount } from '../../metrics/counts.js'
import type { Family } from '../../metrics/family.js'
import { createModPrometheus } from './mod-prometheus.js'
import type { NameScheme } from './name-schemes.js'
import type { RegistrySource } from './registry-lines.js'
import { escapeName } from './registry-text.js'

// The server chooses the names, and each is a line in the log.
const MAX_SAID = 20

/** Names for the families of one epoch of the registry. */
export type Naming = {
  /**
   * The families under the names that were chosen, each name once.
   *
   * @param atMs When the registry was read, in monotonic milliseconds.
   */
  families(sources: Iterable<RegistrySource>, atMs: number): readonly Family[]
  /** Series that another one has the name of, by name of their family. */
  leftOut(): ReadonlyMap<string, number>
}

/** A family, and what it was made of: of one thing a second one of that name is no clash. */
type NamedFamily = { readonly family: Family; readonly origin: unknown }

/**
 * @param say Takes one line for each name that two families want.
 * @returns Makes the naming of an epoch; nothing where the names are those that the tables have.
 */
export function createNaming(
  schemes: readonly NameScheme[],
  say: (line: string) => void,
): (() => Naming) | undefined {
  if (schemes.every((scheme) => scheme === 'openmetrics')) return undefined
  const said = new Set<string>()

  return () => {
    const rename = createRenames()
    const modPrometheus = createModPrometheus()
    let leftOut = new Map<string, number>()

    function leave(name: string, series: number): void {
      addCount(leftOut, name, series)
      if (said.has(name) || said.size >= MAX_SAID) return
      said.add(name)
      say(
        `exposition.names: two statistics come to the same series of ${name}; the first is served, ` +
          'the other counted in prosody_exporter_samples_invalid',
      )
    }

    function* inScheme(
      scheme: NameScheme,
      sources: readonly RegistrySource[],
      atMs: number,
    ): Iterable<NamedFamily> {
      const asIs = (source: RegistrySource) => ({ family: source.table.snapshot(), origin: source })
      if (scheme === 'openmetrics') yield* sources.map(asIs)
      else if (scheme === 'single_underscore') {
        for (const source of sources) yield { family: rename(source), origin: source }
      } else {
        const { families, rest, clashes } = modPrometheus.families(sources, atMs)
        for (const family of families) yield { family, origin: modPrometheus }
        for (const [name, series] of clashes) leave(name, series)
        yield* rest.map(asIs)
      }
    }

    return {
      families(given, atMs) {
        const sources = [...given]
        const served = new Map<string, NamedFamily>()
        leftOut = new Map()
        for (const scheme of schemes) {
          for (const named of inScheme(scheme, sources, atMs)) {
            const { name, order } = named.family
            if (order.length === 0) continue // in nobody's way
            const first = served.get(name)
            if (first === undefined) served.set(name, named)
            else if (first.origin !== named.origin) leave(name, order.length)
          }
        }
        return Array.from(served.values(), ({ family }) => family)
      },
      leftOut: () => leftOut,
    }
  }
}

/** Families with one underscore for `/`, which share all but their name with those of the tables. */
function createRenames() {
  const renames = new Map<RegistrySource, { from: Family; renamed: Family }>()

  return (source: RegistrySource): Family => {
    const from = source.table.snapshot()
    const known = renames.get(source)
    if (known?.from === from) return known.renamed
    const name = known?.renamed.name ?? escapeName(source.wireName, '_')
    if (name === from.name) return from
    // The exposition remembers a family by its order: a view of the same rows is another order, and
    // stays the same one while the rows do.
    const order = known?.from.order === from.order ? known.renamed.order : from.order.subarray()
    const renamed = { ...from, name, order }
    renames.set(source, { from, renamed })
    return renamed
  }
}

import { escapeLabelValue } from '../../metrics/labels.js'
import type { RegistrySource } from './registry-family.js'
import { escapeName, unescape } from './registry-text.js'

/** How the rows of a source become series of mod_prometheus. Several rows can form one series. */
export type LegacyRule = {
  /** Name of the legacy family. */
  readonly name: string
  /** The value as it is, the events per second, or the average since an earlier collection. */
  readonly kind: 'value' | 'rate' | 'average'
  /** Identifies the statistic. Rows of one statistic with the same legacy labels form one series. */
  readonly statistic: string
  /** `max` if each of the rows of a series has the value of the whole series. */
  readonly combine: 'sum' | 'max'
  /** Converts the label text of a row; `undefined` if the row belongs to no series of this rule. */
  readonly convertLabels: (labels: string) => string | undefined
}

export type LegacyRules = {
  readonly rules: readonly LegacyRule[]
  /** The legacy series have all information of the source, so it needs no series under its own name. */
  readonly isComplete: boolean
}

type Stat = {
  /** Section and name of the statistic in Prosody 0.11, without host and kind. */
  readonly path: string
  /** Only for a statistic with several values. */
  readonly field?: 'average' | 'min' | 'max'
  /** Prosody 0.11 calculated the value for its interval; otherwise it is a total of the companion module. */
  readonly isOfInterval: boolean
}

// Statistics that 0.12 counts in another way than 0.11. The sources are mod_c2s.lua and mod_s2s.lua of
// both versions, and mod_measure_stanza_counts, which counts each stanza once for every host that
// loads it.
const CHANGED: Readonly<Record<string, readonly ChangedStat[]>> = {
  'mod_c2s/connections': connectionStats('mod_c2s'),
  'mod_s2s/connections_inbound': connectionStats('mod_s2s'),
  'mod_s2s/connections_outbound': connectionStats('mod_s2s'),
  'mod_measure_stanza_counts/received': [stanzaCountStat('incoming')],
  'mod_measure_stanza_counts/sent': [stanzaCountStat('outgoing')],
}

type ChangedStat = {
  readonly section: string
  /** The labels that the source must have. Without them it is another statistic. */
  readonly labels: readonly string[]
  readonly combine: LegacyRule['combine']
  /** Returns the name of the statistic in 0.11; `undefined` if the row does not belong to it. */
  readonly nameOf: (labels: ReadonlyMap<string, string>) => string | undefined
}

function connectionStats(section: string): readonly ChangedStat[] {
  const labels = ['host', 'type', 'ip_family']
  const ipv6 = (row: ReadonlyMap<string, string>) =>
    row.get('ip_family') === 'ipv6' ? 'ipv6' : undefined
  return [
    { section, labels, combine: 'sum', nameOf: () => 'connections' },
    { section, labels, combine: 'sum', nameOf: ipv6 },
  ]
}

function stanzaCountStat(direction: string): ChangedStat {
  const labels = ['session_type', 'stanza_kind']
  const nameOf = (row: ReadonlyMap<string, string>) =>
    [direction, ...labels.map((label) => row.get(label) ?? '')].join('_')
  return { section: 'stanza_counts', labels, combine: 'max', nameOf }
}

/** Returns a function that finds the rules of each source. The rules depend on the other sources. */
export function createLegacyRuleFinder(
  sources: Iterable<RegistrySource>,
): (source: RegistrySource) => LegacyRules {
  const stats = new Map(Array.from(sources, (source) => [source, findStat(source)]))
  const keyOf = (source: RegistrySource, { path }: Stat) =>
    JSON.stringify([path, source.labelNames])
  const intervalStats = new Set<string>()
  for (const [source, stat] of stats) {
    if (stat?.isOfInterval) intervalStats.add(keyOf(source, stat))
  }

  return (source) => {
    const stat = stats.get(source)
    if (!stat) return { rules: [], isComplete: false }
    const rules = changedRules(source, stat) ?? unchangedRules(source, stat)
    if (rules.length === 0 || stat.isOfInterval) return { rules, isComplete: rules.length > 0 }
    const isGauge = source.table.meta.type === 'gauge'
    // On 0.11 the value that mod_prometheus exported exists. The companion module adds its total.
    if (!isGauge && intervalStats.has(keyOf(source, stat))) return { rules: [], isComplete: true }
    return { rules, isComplete: isGauge && isUnchanged(source) }
  }
}

/**
 * Returns the statistic of 0.11 that a source is, or would have been. On 0.11 the HELP text contains
 * its name (see legacy.lib.lua), because the family's name may have the kind as a suffix. On 0.12 the
 * HELP text of most statistics of `module:measure` contains the name too (core.statsmanager).
 */
function findStat({ wireName, wireHelp, table }: RegistrySource): Stat | undefined {
  const name = unescape(wireName)
  if (!name.startsWith('prosody_')) return undefined
  const { unit, type } = table.meta
  const interval = INTERVAL_HELP.exec(wireHelp)
  if (interval && type === 'gauge' && name.startsWith(`prosody_${interval[1]!}`)) {
    const field = FIELDS[interval[2] ?? '']
    return { path: interval[1]!, isOfInterval: true, ...(field && { field }) }
  }
  const measured = MEASURED_HELP.exec(wireHelp)
  if (measured && name.startsWith(`prosody_${measured[1]!}`)) {
    return { path: measured[1]!, isOfInterval: false }
  }
  const suffix = unit !== '' && name.endsWith(`_${unit}`) ? unit.length + 1 : 0
  return { path: name.slice('prosody_'.length, name.length - suffix), isOfInterval: false }
}

const INTERVAL_HELP =
  /^(.+?) (?:(on average|at least|at most) )?in the last interval of statistics(?:, of a sample)?$/s
const FIELDS: Readonly<Record<string, 'average' | 'min' | 'max'>> = {
  'on average': 'average',
  'at least': 'min',
  'at most': 'max',
}
const MEASURED_HELP = /^(.+?) (?:amount|counter|rate|times|sizes|distribution)(?:;.*)?$/s

function changedRules(source: RegistrySource, { path }: Stat): readonly LegacyRule[] | undefined {
  const stats = Object.hasOwn(CHANGED, path) ? CHANGED[path]! : []
  const rules = stats
    .filter(({ labels }) => labels.every((label) => source.labelNames.includes(label)))
    .map(({ section, combine, nameOf }): LegacyRule => {
      return {
        name: `prosody_${section}`,
        kind: kindOf(source),
        statistic: section,
        combine,
        convertLabels: (labels) => {
          const name = nameOf(parseLabels(labels))
          return name === undefined ? undefined : `type="${name}"`
        },
      }
    })
  return rules.length > 0 ? rules : undefined
}

// mod_prometheus matched `^/([^/]+)/([^/]+)/(.+):(%a+)$`, else `^([^.]+)%.(.+):(%a+)$`. It raised an
// error for any other name.
function unchangedRules(source: RegistrySource, { path, field }: Stat): readonly LegacyRule[] {
  const [, section, name] = /^([^/.]+)[/.](.+)$/s.exec(path) ?? []
  if (section === undefined || !isUnchanged(source)) return []
  const kind = kindOf(source)
  const fieldLabel = kind === 'average' ? kind : field
  const typeLabel = `type="${escapeLabelValue(name!)}"`
  const prefix = fieldLabel === undefined ? typeLabel : `${typeLabel},field="${fieldLabel}"`
  return [
    {
      name: escapeName(`prosody_${section.replace(/^mod_(?:measure|statistics)_(?=.)/s, '')}`, '_'),
      kind,
      statistic: source.wireName,
      combine: 'sum',
      // The row has no label except `host`, see `isUnchanged`.
      convertLabels: (labels) => (labels === '' ? prefix : `${prefix},${labels}`),
    },
  ]
}

function kindOf({ table }: RegistrySource): LegacyRule['kind'] {
  const { type } = table.meta
  if (type === 'gauge') return 'value'
  return type === 'counter' ? 'rate' : 'average'
}

/** Whether the source has only labels that 0.11 had: none, or `host`. */
function isUnchanged({ labelNames }: RegistrySource): boolean {
  return labelNames.every((label) => label === 'host')
}

/** Returns the labels by name. Values stay escaped. */
function parseLabels(text: string): ReadonlyMap<string, string> {
  const pairs = text.matchAll(/([^=,]+)="((?:\\.|[^"\\])*)"/gs)
  return new Map(Array.from(pairs, ([, name, value]) => [name!, value!]))
}

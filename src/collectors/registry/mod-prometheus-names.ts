import { formatLabels } from '../../metrics/labels.js'
import type { RegistrySource } from './registry-family.js'
import { escapeName, unescape } from './registry-text.js'

/**
 * How the rows of one family of Prosody's registry become series under the names of mod_prometheus (legacy names). One
 * legacy series can combine several rows, for example the connections of all hosts.
 */
export type LegacyRule = {
  /** The name of the family in mod_prometheus. */
  readonly name: string
  /**
   * What the legacy series shows: the value of the rows, their events per second, or the average of their events.
   * Rate and average cover the time since an earlier collection.
   */
  readonly kind: 'value' | 'rate' | 'average'
  /**
   * Identifies the statistic of Prosody. Rows of one statistic that get the same legacy labels form one legacy
   * series.
   */
  readonly statistic: string
  /**
   * How the values of several rows result in the value of their legacy series. `max` is for rows that all have the
   * value of the whole series. Otherwise the values are added up.
   */
  readonly combine: 'sum' | 'max'
  /** Converts the label text of a row to the legacy label text, or returns undefined if the rule excludes the row. */
  readonly convertLabels: (labels: string) => string | undefined
}

export type LegacyRules = {
  readonly rules: readonly LegacyRule[]
  /** Whether the legacy series have all information of the family, so that it is not served under its own name. */
  readonly isComplete: boolean
}

/** A statistic of Prosody 0.11 that a family of the registry has or continues. */
type Stat = {
  /** Section and name of the statistic in Prosody 0.11, without host and kind. */
  readonly path: string
  /** The value of mod_prometheus's label `field`. It is missing for a statistic with a single value. */
  readonly field?: 'average' | 'min' | 'max'
  /**
   * True for a value that Prosody 0.11 calculated for its last interval. False for any other value, for example a total
   * of mod_adhoc_statistics.
   */
  readonly isOfInterval: boolean
}

// Statistics that Prosody 0.12 counts in another way than Prosody 0.11, by their path in 0.12. They are in
// mod_c2s.lua and mod_s2s.lua of these two versions of Prosody, and in mod_measure_stanza_counts. On 0.12,
// mod_measure_stanza_counts counts each stanza once for every host that loads the module.
const CHANGED: Readonly<Record<string, readonly ChangedStat[]>> = {
  'mod_c2s/connections': connectionStats('mod_c2s'),
  'mod_s2s/connections_inbound': connectionStats('mod_s2s'),
  'mod_s2s/connections_outbound': connectionStats('mod_s2s'),
  'mod_measure_stanza_counts/received': [stanzaCountStat('incoming')],
  'mod_measure_stanza_counts/sent': [stanzaCountStat('outgoing')],
}

type ChangedStat = {
  readonly section: string
  /** The labels that the family must have. A family that lacks one of them is another statistic. */
  readonly labels: readonly string[]
  readonly combine: LegacyRule['combine']
  /** Returns the name of the statistic in Prosody 0.11, or undefined for a row that does not belong to it. */
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

/**
 * Returns a function that finds the rules for one of the families in `sources`. It needs all families of the registry,
 * because on Prosody 0.11 two families can describe the same statistic.
 */
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
    // On Prosody 0.11, another family has the value that mod_prometheus exported. This family is the total that
    // mod_adhoc_statistics adds, so it gets no legacy series.
    if (!isGauge && intervalStats.has(keyOf(source, stat))) return { rules: [], isComplete: true }
    return { rules, isComplete: isGauge && isUnchanged(source) }
  }
}

/**
 * Returns the statistic of Prosody 0.11 that corresponds to a family, or undefined if there is none. On Prosody 0.11,
 * the name of the statistic is in the HELP text of the family (see legacy.lib.lua of mod_adhoc_statistics), because
 * the family name can have a suffix for the kind of statistic. On Prosody 0.12, core.statsmanager puts the name into
 * the HELP text of most statistics that modules create with `module:measure`.
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

// Splits the name of a statistic into section and name like mod_prometheus, which used the Lua patterns
// `^/([^/]+)/([^/]+)/(.+):(%a+)$` and `^([^.]+)%.(.+):(%a+)$`. It could not export a statistic with any other name,
// so such a statistic gets no rule.
function unchangedRules(source: RegistrySource, { path, field }: Stat): readonly LegacyRule[] {
  const [, section, name] = /^([^/.]+)[/.](.+)$/s.exec(path) ?? []
  if (section === undefined || !isUnchanged(source)) return []
  const kind = kindOf(source)
  const fieldLabel = kind === 'average' ? kind : field
  const prefix = formatLabels({
    type: name!,
    ...(fieldLabel !== undefined && { field: fieldLabel }),
  })
  return [
    {
      name: escapeName(`prosody_${section.replace(/^mod_(?:measure|statistics)_(?=.)/s, '')}`, '_'),
      kind,
      statistic: source.wireName,
      combine: 'sum',
      // The label text of the row is empty or has only the label `host`, because `isUnchanged` returned true.
      convertLabels: (labels) => (labels === '' ? prefix : `${prefix},${labels}`),
    },
  ]
}

function kindOf({ table }: RegistrySource): LegacyRule['kind'] {
  const { type } = table.meta
  if (type === 'gauge') return 'value'
  return type === 'counter' ? 'rate' : 'average'
}

/** Whether the family has no label except `host`. Statistics of Prosody 0.11 have no other label. */
function isUnchanged({ labelNames }: RegistrySource): boolean {
  return labelNames.every((label) => label === 'host')
}

/** Returns the labels of a label text by name. The values are still escaped. */
function parseLabels(text: string): ReadonlyMap<string, string> {
  const pairs = text.matchAll(/([^=,]+)="((?:\\.|[^"\\])*)"/gs)
  return new Map(Array.from(pairs, ([, name, value]) => [name!, value!]))
}

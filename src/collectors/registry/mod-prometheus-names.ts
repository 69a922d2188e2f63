import { escapeLabelValue } from '../../metrics/family.js'
import type { RegistrySource } from './registry-lines.js'
import { escapeName, unescape } from './registry-text.js'

/** A series of mod_prometheus for each row of a family, or for several of its rows together. */
export type LegacyRule = {
  /** Name of the family. */
  readonly name: string
  /** Told as it is; or by second, or on average, since the reading before. */
  readonly kind: 'value' | 'rate' | 'average'
  /** What it is of: rows of the same, with the same labels, are one series. */
  readonly of: string
  /** Rows of one series tell the same, each anew: the largest is taken, not the sum. */
  readonly isSame: boolean
  /** From the label text of a row that of its series; nothing where the row is no part of it. */
  readonly labelsOf: (labels: string) => string | undefined
}

export type LegacyRules = {
  readonly figures: readonly LegacyRule[]
  /** The figures tell all that the family does. */
  readonly isWhole: boolean
}

type Stat = {
  /** Section and name of the statistic as Prosody 0.11 has it, without host and kind. */
  readonly path: string
  /** Of one with several figures. */
  readonly field?: 'average' | 'min' | 'max'
  /** It is one of 0.11's own figures, and not what the companion module adds up. */
  readonly isOfInterval: boolean
}

// What 0.12 counts otherwise than 0.11 did: mod_c2s.lua and mod_s2s.lua of both, and
// mod_measure_stanza_counts, which counts each stanza once for every host that it is loaded on.
const CHANGED: Readonly<Record<string, readonly Changed[]>> = {
  'mod_c2s/connections': connections('mod_c2s'),
  'mod_s2s/connections_inbound': connections('mod_s2s'),
  'mod_s2s/connections_outbound': connections('mod_s2s'),
  'mod_measure_stanza_counts/received': [stanzaCounts('incoming')],
  'mod_measure_stanza_counts/sent': [stanzaCounts('outgoing')],
}

type Changed = {
  readonly section: string
  /** Labels that it takes: with others the family is another one. */
  readonly labels: readonly string[]
  readonly isSame: boolean
  /** The statistic's name; nothing where a row is no part of it. */
  readonly nameOf: (labels: ReadonlyMap<string, string>) => string | undefined
}

function connections(section: string): readonly Changed[] {
  const labels = ['host', 'type', 'ip_family']
  const ipv6 = (row: ReadonlyMap<string, string>) =>
    row.get('ip_family') === 'ipv6' ? 'ipv6' : undefined
  return [
    { section, labels, isSame: false, nameOf: () => 'connections' },
    { section, labels, isSame: false, nameOf: ipv6 },
  ]
}

function stanzaCounts(direction: string): Changed {
  const labels = ['session_type', 'stanza_kind']
  const nameOf = (row: ReadonlyMap<string, string>) =>
    [direction, ...labels.map((label) => row.get(label) ?? '')].join('_')
  return { section: 'stanza_counts', labels, isSame: true, nameOf }
}

/** Finds the figures of each source, with what the others among them tell. */
export function legacyRulesOf(
  sources: Iterable<RegistrySource>,
): (source: RegistrySource) => LegacyRules {
  const stats = new Map(Array.from(sources, (source) => [source, statOf(source)]))
  const key = (source: RegistrySource, { path }: Stat) => JSON.stringify([path, source.labelNames])
  const ofIntervals = new Set<string>()
  for (const [source, stat] of stats) if (stat?.isOfInterval) ofIntervals.add(key(source, stat))

  return (source) => {
    const stat = stats.get(source)
    if (!stat) return { figures: [], isWhole: false }
    const figures = changedFigures(source, stat) ?? plainFigures(source, stat)
    if (figures.length === 0 || stat.isOfInterval) return { figures, isWhole: figures.length > 0 }
    const isGauge = source.table.meta.type === 'gauge'
    // On 0.11 what mod_prometheus told is there, beside what the companion module adds up of it.
    if (!isGauge && ofIntervals.has(key(source, stat))) return { figures: [], isWhole: true }
    return { figures, isWhole: isGauge && isPlain(source) }
  }
}

/**
 * Which statistic of 0.11 a family is, or would have been. On 0.11 the help has its name (see
 * legacy.lib.lua), for the family's may have a kind put in; on 0.12 it mostly does, for what is
 * measured with `module:measure` (core.statsmanager).
 */
function statOf({ wireName, wireHelp, table }: RegistrySource): Stat | undefined {
  const name = unescape(wireName)
  if (!name.startsWith('prosody_')) return undefined
  const { unit, type } = table.meta
  const ofInterval = INTERVAL_HELP.exec(wireHelp)
  if (ofInterval && type === 'gauge' && name.startsWith(`prosody_${ofInterval[1]!}`)) {
    const field = FIELDS[ofInterval[2] ?? '']
    return { path: ofInterval[1]!, isOfInterval: true, ...(field && { field }) }
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

function changedFigures(source: RegistrySource, { path }: Stat): readonly LegacyRule[] | undefined {
  const changed = Object.hasOwn(CHANGED, path) ? CHANGED[path]! : []
  const figures = changed
    .filter(({ labels }) => labels.every((label) => source.labelNames.includes(label)))
    .map(({ section, isSame, nameOf }): LegacyRule => {
      return {
        name: `prosody_${section}`,
        kind: kindOf(source),
        of: section,
        isSame,
        labelsOf: (labels) => {
          const name = nameOf(readLabels(labels))
          return name === undefined ? undefined : `type="${name}"`
        },
      }
    })
  return figures.length > 0 ? figures : undefined
}

// mod_prometheus: `^/([^/]+)/([^/]+)/(.+):(%a+)$`, else `^([^.]+)%.(.+):(%a+)$`, on which it failed.
function plainFigures(source: RegistrySource, { path, field }: Stat): readonly LegacyRule[] {
  const [, section, name] = /^([^/.]+)[/.](.+)$/s.exec(path) ?? []
  if (section === undefined || !isPlain(source)) return []
  const kind = kindOf(source)
  const shownField = kind === 'average' ? kind : field
  const type = `type="${escapeLabelValue(name!)}"`
  const before = shownField === undefined ? type : `${type},field="${shownField}"`
  return [
    {
      name: escapeName(`prosody_${section.replace(/^mod_(?:measure|statistics)_(?=.)/s, '')}`, '_'),
      kind,
      of: source.wireName,
      isSame: false,
      // There is no label but the host.
      labelsOf: (labels) => (labels === '' ? before : `${before},${labels}`),
    },
  ]
}

function kindOf({ table }: RegistrySource): LegacyRule['kind'] {
  const { type } = table.meta
  if (type === 'gauge') return 'value'
  return type === 'counter' ? 'rate' : 'average'
}

/** What is measured as in 0.11 has no label but its host. */
function isPlain({ labelNames }: RegistrySource): boolean {
  return labelNames.every((label) => label === 'host')
}

/** Values stay escaped. */
function readLabels(text: string): ReadonlyMap<string, string> {
  const pairs = text.matchAll(/([^=,]+)="((?:\\.|[^"\\])*)"/gs)
  return new Map(Array.from(pairs, ([, name, value]) => [name!, value!]))
}

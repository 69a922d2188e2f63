import { family, type Family } from './family.js'

/** What the operating system reports about the exporter's process; `undefined`: it reports nothing. */
export type ProcessUsage = {
  readonly cpuSeconds: number
  readonly residentMemoryBytes: number
  readonly startTimeSeconds: number
  readonly openFds: number | undefined
  readonly maxFds: number | undefined
}

/** The outcome of one collection, for the exporter's own metrics. */
export type CollectionSummary = {
  readonly up: boolean
  readonly endedAtSeconds: number
  readonly collectors: readonly CollectorOutcome[]
  readonly invalid: ReadonlyMap<string, number>
  /** The number of series of each family that is omitted because of `limits.series`. */
  readonly omitted: ReadonlyMap<string, number>
  readonly series: number
}

export type CollectorOutcome = {
  readonly name: string
  readonly success: boolean
  readonly durationSeconds: number
}

export type LinkState = { readonly connected: boolean; readonly connects: number }

/** Totals since the start of the exporter. */
export type CollectionTotals = {
  readonly collections: number
  readonly failures: ReadonlyMap<string, number>
}

const PREFIX = 'prosody_exporter'

/** The outcome of the last configuration reload. The first load succeeded, or the exporter would not run. */
export type ReloadState = {
  readonly isSuccessful: boolean
  readonly lastSuccessSeconds: number
}

/** Returns the families about one server, at the end of a collection. */
export function serverFamilies(
  collection: CollectionSummary,
  link: LinkState,
  totals: CollectionTotals,
): Family[] {
  return [
    family('gauge', 'xmpp_up', UP_HELP, [{ value: Number(collection.up) }]),
    ...collectorFamilies(collection.collectors),
    gauge(
      'snapshot_timestamp_seconds',
      'Unix time when the oldest statistics in this snapshot were collected.',
      collection.endedAtSeconds,
    ),
    gauge(
      'snapshot_series',
      'Number of series collected from the server in this snapshot.',
      collection.series,
    ),
    family(
      'gauge',
      `${PREFIX}_samples_invalid`,
      'Number of series that an exposition format forbids or that have no number, by family.',
      byLabel('family', collection.invalid),
    ),
    family(
      'gauge',
      `${PREFIX}_series_left_out`,
      'Number of series of each family that is omitted because of limits.series.',
      byLabel('family', collection.omitted),
    ),
    gauge('xmpp_connected', 'Whether the component stream is established.', Number(link.connected)),
    counter(
      'xmpp_connects',
      'Number of times the component stream was established.',
      link.connects,
    ),
    counter(
      'collections',
      'Number of completed collections, including failed ones.',
      totals.collections,
    ),
    family(
      'counter',
      `${PREFIX}_collection_failures`,
      'Number of failures of collectors, by reason.',
      byLabel('reason', totals.failures),
    ),
  ].filter(isNotEmpty)
}

const SUCCESS = `${PREFIX}_collector_success`
const DURATION = `${PREFIX}_collector_duration_seconds`

/** Returns the families about each collector. */
export function collectorFamilies(collectors: readonly CollectorOutcome[]): Family[] {
  return [
    family(
      'gauge',
      SUCCESS,
      'Whether the collector succeeded.',
      byLabel(
        'collector',
        collectors.map((c) => [c.name, Number(c.success)]),
      ),
    ),
    family(
      'gauge',
      DURATION,
      'Duration of the collection by this collector, in seconds.',
      byLabel(
        'collector',
        collectors.map((c) => [c.name, c.durationSeconds]),
      ),
    ),
  ].filter(isNotEmpty)
}

/** Whether the family is one of `collectorFamilies`. */
export function isCollectorFamily({ name }: Family): boolean {
  return name === SUCCESS || name === DURATION
}

/**
 * Returns the families about this process, whatever servers it monitors.
 *
 * @param usage `undefined` with --web.disable-exporter-metrics.
 */
export function processFamilies(
  version: string,
  usage: ProcessUsage | undefined,
  reload: ReloadState,
): Family[] {
  return [
    family(
      'gauge',
      `${PREFIX}_build_info`,
      'Version of prosody-exporter, with the constant value 1.',
      [{ labels: { version }, value: 1 }],
    ),
    gauge(
      'config_last_reload_successful',
      'Whether the last configuration reload was successful.',
      Number(reload.isSuccessful),
    ),
    gauge(
      'config_last_reload_success_timestamp_seconds',
      'Unix time of the last successful configuration reload.',
      reload.lastSuccessSeconds,
    ),
    ...(usage ? usageFamilies(usage) : []),
  ].filter(isNotEmpty)
}

function usageFamilies(usage: ProcessUsage): Family[] {
  return [
    counter(
      'process_cpu_seconds',
      'CPU time that the exporter has used, in seconds.',
      usage.cpuSeconds,
    ),
    gauge(
      'process_resident_memory_bytes',
      'Resident memory of the exporter, in bytes.',
      usage.residentMemoryBytes,
    ),
    gauge(
      'process_start_time_seconds',
      'Start time of the exporter, in seconds since 1970.',
      usage.startTimeSeconds,
    ),
    gauge('process_open_fds', 'Number of open file descriptors of the exporter.', usage.openFds),
    gauge(
      'process_max_fds',
      'Maximum number of open file descriptors of the exporter.',
      usage.maxFds,
    ),
  ]
}

/** Returns the family that shows which of several servers answer. */
export function upFamily(up: Iterable<readonly [string, number]>): Family {
  return family('gauge', 'xmpp_up', UP_HELP, byLabel('server', up))
}

const UP_HELP = 'Whether the server answered the last collection.'

const gauge = (name: string, help: string, value: number | undefined) =>
  family('gauge', `${PREFIX}_${name}`, help, value === undefined ? [] : [{ value }])
const counter = (name: string, help: string, value: number) =>
  family('counter', `${PREFIX}_${name}`, help, [{ value }])
const byLabel = (label: string, values: Iterable<readonly [string, number]>) =>
  Array.from(values, ([key, value]) => ({ labels: { [label]: key }, value })).sort((a, b) =>
    a.labels[label]! < b.labels[label]! ? -1 : 1,
  )
const isNotEmpty = ({ length }: Family) => length > 0

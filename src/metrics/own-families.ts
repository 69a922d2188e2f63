import { family, type Family } from './family.js'

/** What the operating system reports about the process of the exporter. */
export type ProcessUsage = {
  readonly cpuSeconds: number
  readonly residentMemoryBytes: number
  readonly startTimeSeconds: number
  /** Open file descriptors; `undefined` if the operating system does not report them. */
  readonly openFds: number | undefined
  /** The limit on open file descriptors; `undefined` if the operating system reports no limit. */
  readonly maxFds: number | undefined
}

/** The outcome of one collection from a server. The exporter creates its metrics about the server from it. */
export type CollectionSummary = {
  readonly up: boolean
  readonly endedAtSeconds: number
  readonly collectors: readonly CollectorOutcome[]
  /** The number of series of each family that at least one exposition format omits because they are invalid. */
  readonly invalid: ReadonlyMap<string, number>
  /** The number of series of each family that `limits.series` omits, by family name. */
  readonly omitted: ReadonlyMap<string, number>
  readonly series: number
}

export type CollectorOutcome = {
  readonly name: string
  readonly success: boolean
  readonly durationSeconds: number
}

export type LinkState = { readonly connected: boolean; readonly connects: number }

/**
 * How many collections of a server have ended, and how many failures of collectors there were, since the exporter began
 * to monitor the server.
 */
export type CollectionTotals = {
  readonly collections: number
  readonly failures: ReadonlyMap<string, number>
}

const PREFIX = 'prosody_exporter'

/** The outcome of the last configuration reload, or of the start of the exporter if no reload has happened. */
export type ReloadState = {
  readonly isSuccessful: boolean
  readonly lastSuccessSeconds: number
  /** Why the last reload failed, on one line; `undefined` if it succeeded. */
  readonly problem?: string | undefined
}

/** Creates the families with the outcome of a collection from one server and the state of its connection. */
export function createServerFamilies(
  collection: CollectionSummary,
  link: LinkState,
  totals: CollectionTotals,
): Family[] {
  return [
    family('gauge', 'xmpp_up', UP_HELP, [{ value: Number(collection.up) }]),
    ...createCollectorFamilies(collection.collectors),
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
      'Number of invalid series of each family, which at least one exposition format omits.',
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

/** Creates the families with the success and the duration of each collector. */
export function createCollectorFamilies(collectors: readonly CollectorOutcome[]): Family[] {
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

/** Whether `createCollectorFamilies` created the family. */
export function isCollectorFamily({ name }: Family): boolean {
  return name === SUCCESS || name === DURATION
}

/**
 * Creates the families about the exporter itself, which do not depend on the monitored servers.
 *
 * @param usage `undefined` omits the families about the process, as --web.disable-exporter-metrics does.
 */
export function createProcessFamilies(
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
    ...(usage ? createUsageFamilies(usage) : []),
  ].filter(isNotEmpty)
}

function createUsageFamilies(usage: ProcessUsage): Family[] {
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

/**
 * Creates the family that shows for each of several monitored servers whether it answered the last collection.
 */
export function createUpFamily(up: Iterable<readonly [string, number]>): Family {
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

/** Returns the Unix time of Prosody's last collection, by Prosody's clock; `undefined` if it never collected. */
export function readRegistryUpdateTime(
  families: readonly Family[] | undefined,
): number | undefined {
  return families?.find(({ name }) => name.endsWith('_registry_updated_timestamp_seconds'))
    ?.values[0]
}

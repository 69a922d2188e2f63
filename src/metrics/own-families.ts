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
  /** The families omitted because of `limits.series`, with the number of their series. */
  readonly leftOut: ReadonlyMap<string, number>
  readonly series: number
}

export type CollectorOutcome = {
  readonly name: string
  readonly success: boolean
  readonly durationSeconds: number
}

export type LinkState = { readonly connected: boolean; readonly connects: number }

/** Totals since the exporter started. */
export type CollectionTotals = {
  readonly collections: number
  readonly failures: ReadonlyMap<string, number>
}

const PREFIX = 'prosody_exporter'

/** The outcome of the last reading of the configuration. The first one succeeded, or the exporter would not run. */
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
      'When the statistics in this snapshot were collected; the oldest, where some are served on (serve_stale_for).',
      collection.endedAtSeconds,
    ),
    gauge('snapshot_series', "Series of the server's in this snapshot.", collection.series),
    family(
      'gauge',
      `${PREFIX}_samples_invalid`,
      'Series that a format forbids or that hold no number, left out where they are forbidden.',
      byLabel('family', collection.invalid),
    ),
    family(
      'gauge',
      `${PREFIX}_series_left_out`,
      'Series of a family that was left out as a whole, because of limits.series.',
      byLabel('family', collection.leftOut),
    ),
    gauge('xmpp_connected', 'Whether the component stream is up.', Number(link.connected)),
    counter('xmpp_connects', 'Component streams that came up.', link.connects),
    counter('collections', 'Collections that ended, failed ones too.', totals.collections),
    family(
      'counter',
      `${PREFIX}_collection_failures`,
      'Failures of collectors, by reason; a lost link counts once for all of them.',
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
      'Whether the collector succeeded; a collector that no host can answer is missing.',
      byLabel(
        'collector',
        collectors.map((c) => [c.name, Number(c.success)]),
      ),
    ),
    family(
      'gauge',
      DURATION,
      'Time that the collector took for this snapshot.',
      byLabel(
        'collector',
        collectors.map((c) => [c.name, c.durationSeconds]),
      ),
    ),
  ].filter(isNotEmpty)
}

/** Whether the family is one of `collectorFamilies`. */
export function isByCollector({ name }: Family): boolean {
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
    family('gauge', `${PREFIX}_build_info`, 'Version of prosody-exporter; always 1.', [
      { labels: { version }, value: 1 },
    ]),
    gauge(
      'config_last_reload_successful',
      'Whether the configuration is as it was last read (1), or could not be read and is the one before (0).',
      Number(reload.isSuccessful),
    ),
    gauge(
      'config_last_reload_success_timestamp_seconds',
      'When the configuration was last read with success.',
      reload.lastSuccessSeconds,
    ),
    ...(usage ? usageFamilies(usage) : []),
  ].filter(isNotEmpty)
}

function usageFamilies(usage: ProcessUsage): Family[] {
  return [
    counter('process_cpu_seconds', 'CPU time that this process has used.', usage.cpuSeconds),
    gauge(
      'process_resident_memory_bytes',
      'Resident memory of this process.',
      usage.residentMemoryBytes,
    ),
    gauge(
      'process_start_time_seconds',
      'When this process started, in seconds since 1970.',
      usage.startTimeSeconds,
    ),
    gauge('process_open_fds', 'Open file descriptors of this process.', usage.openFds),
    gauge('process_max_fds', 'Most file descriptors this process may open.', usage.maxFds),
  ]
}

/** Returns the family that shows which of several servers answer. */
export function upFamily(up: Iterable<readonly [string, number]>): Family {
  return family(
    'gauge',
    'xmpp_up',
    'Whether the stream to the server is up and its last collection was answered (1) or not (0).',
    byLabel('server', up),
  )
}

const UP_HELP =
  'Whether the server answered for this collection (1) or not (0); what a single source could not tell shows in prosody_exporter_collector_success.'

const gauge = (name: string, help: string, value: number | undefined) =>
  family('gauge', `${PREFIX}_${name}`, help, value === undefined ? [] : [{ value }])
const counter = (name: string, help: string, value: number) =>
  family('counter', `${PREFIX}_${name}`, help, [{ value }])
const byLabel = (label: string, values: Iterable<readonly [string, number]>) =>
  Array.from(values, ([key, value]) => ({ labels: { [label]: key }, value })).sort((a, b) =>
    a.labels[label]! < b.labels[label]! ? -1 : 1,
  )
const isNotEmpty = ({ length }: Family) => length > 0

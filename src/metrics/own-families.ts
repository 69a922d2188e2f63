import { family, type Family } from './family.js'

/** What the operating system says of our own process; `undefined`: it does not say. */
export type ProcessFigures = {
  readonly cpuSeconds: number
  readonly residentMemoryBytes: number
  readonly startTimeSeconds: number
  readonly openFds: number | undefined
  readonly maxFds: number | undefined
}

/** What one collection came to, for our own metrics. */
export type CollectionFigures = {
  readonly up: boolean
  readonly endedAtSeconds: number
  readonly collectors: readonly CollectorFigures[]
  readonly invalid: ReadonlyMap<string, number>
  /** Families left out over `limits.series`, with their series. */
  readonly leftOut: ReadonlyMap<string, number>
  readonly series: number
}

export type CollectorFigures = {
  readonly name: string
  readonly success: boolean
  readonly durationSeconds: number
}

export type LinkFigures = { readonly connected: boolean; readonly connects: number }

/** Totals since the exporter started. */
export type Totals = {
  readonly collections: number
  readonly failures: ReadonlyMap<string, number>
}

const PREFIX = 'prosody_exporter'

/** How the configuration was last read; at first it was, or we would not be here. */
export type ReloadFigures = {
  readonly isSuccessful: boolean
  readonly lastSuccessSeconds: number
}

/** About one server, as it stands at the end of a collection. */
export function serverFamilies(
  collection: CollectionFigures,
  link: LinkFigures,
  totals: Totals,
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

/** What became of each collector. */
export function collectorFamilies(collectors: readonly CollectorFigures[]): Family[] {
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

/** Whether it is one of `collectorFamilies`. */
export function isByCollector({ name }: Family): boolean {
  return name === SUCCESS || name === DURATION
}

/** About this process, whatever servers it reads; `own`: not with --web.disable-exporter-metrics. */
export function processFamilies(
  version: string,
  own: ProcessFigures | undefined,
  reload: ReloadFigures,
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
    ...(own ? usageFamilies(own) : []),
  ].filter(isNotEmpty)
}

function usageFamilies(own: ProcessFigures): Family[] {
  return [
    counter('process_cpu_seconds', 'CPU time that this process has used.', own.cpuSeconds),
    gauge(
      'process_resident_memory_bytes',
      'Resident memory of this process.',
      own.residentMemoryBytes,
    ),
    gauge(
      'process_start_time_seconds',
      'When this process started, in seconds since 1970.',
      own.startTimeSeconds,
    ),
    gauge('process_open_fds', 'Open file descriptors of this process.', own.openFds),
    gauge('process_max_fds', 'Most file descriptors this process may open.', own.maxFds),
  ]
}

/** Which of several servers answer. */
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

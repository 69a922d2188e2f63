import { counter, gauge, type Area } from './documented-family.js'

export const exporter: Area = {
  title: 'prosody-exporter itself',
  from: 'About the exporter, and the state of each server; always available while it runs.',
  since: 'any server',
  families: [
    gauge(
      'xmpp_up',
      '',
      'Whether the server answered for this collection (1) or not (0); what a single source could not tell shows in prosody_exporter_collector_success.',
      {
        watch: 'Alert on 0. With several servers, `/metrics` has it with the label `server`.',
      },
    ),
    gauge(
      'prosody_exporter_collector_success',
      'collector',
      'Whether the collector succeeded; a collector that no host can answer is missing.',
      { watch: 'Alert on 0 while `xmpp_up` is 1; the log says why.' },
    ),
    gauge(
      'prosody_exporter_collector_duration_seconds',
      'collector',
      'Time that the collector took for this snapshot.',
      { watch: "Near `collection.timeout` or Prometheus's scrape time-out." },
    ),
    gauge(
      'prosody_exporter_snapshot_timestamp_seconds',
      '',
      'When the statistics in this snapshot were collected; the oldest, where some are served on (serve_stale_for).',
      { watch: '`time() - …` is the age of the snapshot.' },
    ),
    gauge('prosody_exporter_snapshot_series', '', "Series of the server's in this snapshot.", {
      watch: 'Against `limits.series`.',
    }),
    gauge(
      'prosody_exporter_samples_invalid',
      'family',
      'Series that a format forbids or that hold no number, left out where they are forbidden.',
      { watch: 'A module that counts wrongly; `family` names it.' },
    ),
    gauge(
      'prosody_exporter_series_left_out',
      'family',
      'Series of a family that was left out as a whole, because of limits.series.',
      { watch: 'Alert on any.' },
    ),
    gauge('prosody_exporter_xmpp_connected', '', 'Whether the component stream is up.'),
    counter('prosody_exporter_xmpp_connects', '', 'Component streams that came up.', {
      watch:
        'A rise without a restart of the server: two components use one domain, or the link fails.',
    }),
    counter('prosody_exporter_collections', '', 'Collections that ended, failed ones too.'),
    counter(
      'prosody_exporter_collection_failures',
      'reason',
      'Failures of collectors, by reason; a lost link counts once for all of them.',
    ),
    gauge(
      'prosody_exporter_registry_updated_timestamp_seconds',
      '',
      'When Prosody last collected its statistics, by its own clock; counters that modules increment are newer.',
      { watch: 'Older than `statistics_interval`: Prosody stopped to collect.' },
    ),
    counter(
      'prosody_exporter_audit_mismatches',
      '',
      'Series of which a full reading, made now and then for comparison, told something else than what was kept.',
      { watch: 'Alert on any: it is a bug of the exporter, please report it.' },
    ),
    gauge('prosody_exporter_build_info', 'version', 'Version of prosody-exporter; always 1.'),
    gauge(
      'prosody_exporter_config_last_reload_successful',
      '',
      'Whether the configuration is as it was last read (1), or could not be read and is the one before (0).',
      { watch: 'Alert on 0.' },
    ),
    gauge(
      'prosody_exporter_config_last_reload_success_timestamp_seconds',
      '',
      'When the configuration was last read with success.',
    ),
    gauge(
      'prosody_exporter_web_config_last_reload_successful',
      '',
      'Whether the last reload of the web configuration file was successful.',
      { watch: 'Alert on 0: a certificate may run out.' },
    ),
    gauge(
      'prosody_exporter_web_config_last_reload_success_timestamp_seconds',
      '',
      'Unix time of the last successful reload of the web configuration file.',
    ),
    counter('prosody_exporter_process_cpu_seconds', '', 'CPU time that this process has used.'),
    gauge('prosody_exporter_process_resident_memory_bytes', '', 'Resident memory of this process.'),
    gauge(
      'prosody_exporter_process_start_time_seconds',
      '',
      'When this process started, in seconds since 1970.',
    ),
    gauge('prosody_exporter_process_open_fds', '', 'Open file descriptors of this process.'),
    gauge('prosody_exporter_process_max_fds', '', 'Most file descriptors this process may open.'),
  ],
}

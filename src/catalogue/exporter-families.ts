import { counter, gauge, type Area } from './documented-family.js'

export const exporter: Area = {
  title: 'prosody-exporter itself',
  from: 'Metrics about the exporter and the state of each server. They are always available while the exporter runs.',
  since: 'any server',
  families: [
    gauge('xmpp_up', '', 'Whether the server answered the last collection.', {
      watch:
        'Alert on 0. `prosody_exporter_collector_success` shows the failure of a single collector. If one exporter monitors several servers, `xmpp_up` at `/metrics` has the label `server`.',
    }),
    gauge('prosody_exporter_collector_success', 'collector', 'Whether the collector succeeded.', {
      watch:
        'Alert on 0 while `xmpp_up` is 1. The log of the exporter has the reason. If no host of the server can answer a collector, the collector has no series.',
    }),
    gauge(
      'prosody_exporter_collector_duration_seconds',
      'collector',
      'Duration of the collection by this collector, in seconds.',
      {
        watch:
          "If values are near `collection.timeout` or Prometheus's `scrape_timeout`, raise these settings.",
      },
    ),
    gauge(
      'prosody_exporter_snapshot_timestamp_seconds',
      '',
      'Unix time when the oldest statistics in this snapshot were collected.',
      {
        watch:
          '`time() - prosody_exporter_snapshot_timestamp_seconds` is the age of the oldest statistics. With `collection.serve_stale_for`, some statistics of a snapshot can be older than others.',
      },
    ),
    gauge(
      'prosody_exporter_snapshot_series',
      '',
      'Number of series collected from the server in this snapshot.',
      { watch: 'Compare it with `limits.series`.' },
    ),
    gauge(
      'prosody_exporter_samples_invalid',
      'family',
      'Number of invalid series of each family, which at least one exposition format omits.',
      {
        watch:
          'If the metric exists, a module of Prosody returns wrong values for the metric in the label `family`. The exporter omits these series from the formats that forbid them.',
      },
    ),
    gauge(
      'prosody_exporter_series_left_out',
      'family',
      'Number of series of each family that is omitted because of limits.series.',
      { watch: 'Alert if the metric exists.' },
    ),
    gauge('prosody_exporter_xmpp_connected', '', 'Whether the component stream is established.'),
    counter(
      'prosody_exporter_xmpp_connects',
      '',
      'Number of times the component stream was established.',
      {
        watch:
          'If it rises without a restart of Prosody, two exporters use the same component, or the network connection fails.',
      },
    ),
    counter(
      'prosody_exporter_collections',
      '',
      'Number of completed collections, including failed ones.',
    ),
    counter(
      'prosody_exporter_collection_failures',
      'reason',
      'Number of failures of collectors, by reason.',
      {
        watch:
          'The log of the exporter has the details. A lost connection counts as one failure, not as one for each collector.',
      },
    ),
    gauge(
      'prosody_exporter_registry_updated_timestamp_seconds',
      '',
      'Unix time when Prosody last collected its statistics, by its own clock.',
      {
        watch:
          'If the time is older than `statistics_interval`, Prosody stopped collecting. Counters that a module of Prosody increments at each event are current all the same.',
      },
    ),
    counter(
      'prosody_exporter_audit_mismatches',
      '',
      "Number of series whose cached value differed from Prosody's in a periodic self-check.",
      { watch: 'Alert on any increase. Each one is a bug in the exporter; please report the bug.' },
    ),
    gauge(
      'prosody_exporter_build_info',
      'version',
      'Version of prosody-exporter, with the constant value 1.',
    ),
    gauge(
      'prosody_exporter_config_last_reload_successful',
      '',
      'Whether the last configuration reload was successful.',
      { watch: 'Alert on 0: the exporter continues with the previous configuration.' },
    ),
    gauge(
      'prosody_exporter_config_last_reload_success_timestamp_seconds',
      '',
      'Unix time of the last successful configuration reload.',
    ),
    gauge(
      'prosody_exporter_web_config_last_reload_successful',
      '',
      'Whether the last reload of the web configuration file was successful.',
      {
        watch:
          'Alert on 0: the exporter continues with the previous certificate, which may expire. It is also 0 if a file that the web configuration names could not be loaded.',
      },
    ),
    gauge(
      'prosody_exporter_web_config_last_reload_success_timestamp_seconds',
      '',
      'Unix time of the last successful reload of the web configuration file.',
    ),
    counter(
      'prosody_exporter_messages',
      'result',
      'Number of messages to the recipients of alerts, by result.',
      {
        watch:
          '`rejected` counts each message once for a recipient that does not accept it, for example an unknown user or a room that banned the exporter. `failed` counts attempts that failed for another reason. Alertmanager repeats them, except when another server returned a message later, and for a recipient that could not be reached for more than 5 minutes. Alert on `prosody_exporter_unreached_recipients` instead. `unconfirmed` counts missing receipts (XEP-0184) of people whose client has sent receipts before, for example of people who were offline for ten minutes. The log of the exporter has the reasons. The metric exists only with `alerts`. Test messages of doctor count too.',
      },
    ),
    counter(
      'prosody_exporter_notifications',
      'result',
      'Number of notifications of Alertmanager, by the response to them.',
      {
        watch:
          'Alert on an increase of `invalid` (status 400, 413 or 415) and `unauthorized`. `invalid`: the alerts of such a notification are not delivered, and the log of the exporter has the reason. `deferred` (503): a recipient does not have the message yet, no recipient has it, or too many notifications arrived; Alertmanager repeats the notification. `unauthorized` (401): the token is missing or wrong, so the alerts are not delivered. The metric exists only with `alerts`.',
      },
    ),
    gauge(
      'prosody_exporter_unreached_recipients',
      '',
      'Number of recipients that the last message did not reach, and for which Alertmanager does not repeat it.',
      {
        watch:
          'Alert if it is not 0: these recipients have missed an alert. If no recipient has it, Alertmanager repeats it all the same. They rejected it, they could not be reached for more than 5 minutes, or another server returned it later. The log of the exporter has the reason. When the problem is solved, `prosody-exporter doctor --send-test` sends a message that resets the metric. The metric exists only with `alerts`.',
      },
    ),
    gauge(
      'prosody_exporter_rooms',
      'state',
      'Number of rooms for alerts, by whether the exporter is in the room.',
      {
        watch:
          'If `not_joined` is not 0 for minutes, the log of the exporter has the reason. The metric exists only with `alerts.rooms`.',
      },
    ),
    counter(
      'prosody_exporter_process_cpu_seconds',
      '',
      'CPU time that the exporter has used, in seconds.',
    ),
    gauge(
      'prosody_exporter_process_resident_memory_bytes',
      '',
      'Resident memory of the exporter, in bytes.',
    ),
    gauge(
      'prosody_exporter_process_start_time_seconds',
      '',
      'Start time of the exporter, in seconds since 1970.',
    ),
    gauge(
      'prosody_exporter_process_open_fds',
      '',
      'Number of open file descriptors of the exporter.',
    ),
    gauge(
      'prosody_exporter_process_max_fds',
      '',
      'Maximum number of open file descriptors of the exporter.',
    ),
  ],
}

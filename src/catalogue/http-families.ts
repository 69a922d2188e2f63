import { counter, gauge, histogram, type Area } from './documented-family.js'

export const http: Area = {
  title: 'HTTP (mod_bosh, mod_http_file_share)',
  from: 'mod_bosh (XEP-0206) and components `"http_file_share"` (XEP-0363).',
  since: '0.12',
  families: [
    gauge('prosody_mod_bosh__active_sessions', '', 'BOSH sessions with a request waiting.'),
    gauge(
      'prosody_mod_bosh__inactive_sessions',
      '',
      'BOSH sessions without a request at the moment.',
      { watch: 'Many beside the active ones: clients that vanish without a word.' },
    ),
    counter('prosody_mod_bosh__new_sid', '', 'BOSH sessions that were begun.'),
    counter('prosody_mod_bosh__timeout', '', 'BOSH sessions that ended for want of requests.', {
      watch: 'A rise: clients or a proxy lose connections.',
    }),
    counter(
      'prosody_mod_bosh__bad_host',
      '',
      'BOSH sessions refused because they named no host, or one that is not here or not for clients.',
      { watch: 'A client or a proxy with a wrong configuration.' },
    ),
    counter(
      'prosody_mod_bosh__bad_sid',
      '',
      'BOSH requests of sessions that do not exist, or no more.',
      {
        watch:
          'After a restart there are some; all the time, requests of a session go to several servers.',
      },
    ),
    gauge(
      'prosody_mod_http_file_share__total_storage_bytes',
      'host',
      'Size of all files that are shared or were allowed to be uploaded.',
      {
        watch: 'Against `http_file_share_global_quota` and the disk.',
        defect:
          'A file counts from the permission to upload it, even if it never arrives; all are counted again once a week. Missing if the storage did not report it at the start.',
      },
    ),
    histogram(
      'prosody_mod_http_file_share__upload_bytes',
      'host',
      'Size of files that were uploaded.',
      { watch: '`_count` as a rate: uploads.' },
    ),
    gauge(
      'prosody_mod_http_file_share__upload_cache',
      'host',
      'Uploads whose details are in memory, at most 1,024.',
    ),
    gauge(
      'prosody_mod_http_file_share__quota_cache',
      'host',
      'Users whose uploads of the last day are known without counting them, at most 1,024.',
    ),
    counter(
      'prosody_mod_http_file_share__download_cache_hit',
      'host',
      'Downloads of files whose details were in memory.',
    ),
    counter(
      'prosody_mod_http_file_share__download_cache_miss',
      'host',
      'Downloads of files whose details had to be read from storage.',
    ),
    histogram(
      'prosody_mod_http_file_share__prune_seconds',
      'host',
      'Time that the daily removal of expired files took.',
    ),
    histogram(
      'prosody_mod_http_file_share__summary_seconds',
      'host',
      'Time that the weekly count of all files took.',
    ),
  ],
}

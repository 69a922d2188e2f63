import { counter, gauge, histogram, type Area } from './documented-family.js'

export const http: Area = {
  title: 'HTTP (mod_bosh, mod_http_file_share)',
  from: 'mod_bosh (XEP-0206) and components `"http_file_share"` (XEP-0363).',
  since: '0.12',
  families: [
    gauge(
      'prosody_mod_bosh__active_sessions',
      '',
      'Number of BOSH sessions with a waiting request.',
    ),
    gauge(
      'prosody_mod_bosh__inactive_sessions',
      '',
      'Number of BOSH sessions without a waiting request.',
      {
        watch:
          'If there are many compared with `prosody_mod_bosh__active_sessions`, clients disappear without ending their sessions.',
      },
    ),
    counter('prosody_mod_bosh__new_sid', '', 'Number of BOSH sessions started.'),
    counter(
      'prosody_mod_bosh__timeout',
      '',
      'Number of BOSH sessions that timed out without a request.',
      {
        watch: 'A rise means that clients or a proxy lose connections.',
      },
    ),
    counter(
      'prosody_mod_bosh__bad_host',
      '',
      'Number of BOSH sessions refused because their host is missing, unknown or not for clients.',
      { watch: 'If it rises, a client or a proxy has a wrong configuration.' },
    ),
    counter(
      'prosody_mod_bosh__bad_sid',
      '',
      'Number of BOSH requests for sessions that do not exist.',
      {
        watch:
          'Some of these requests are normal after a restart of Prosody. If they continue, a proxy sends the requests of one session to several servers.',
      },
    ),
    gauge(
      'prosody_mod_http_file_share__total_storage_bytes',
      'host',
      'Total size of the shared files, including files that clients may upload.',
      {
        watch: 'Compare it with `http_file_share_global_quota` and the size of the disk.',
        defect:
          'A file counts from the moment when the client may upload it, even if it never arrives. Prosody corrects the value once a week. The metric is missing if the storage did not report it at the start.',
      },
    ),
    histogram('prosody_mod_http_file_share__upload_bytes', 'host', 'Size of the uploaded files.', {
      watch: 'The rate of `_count` is the number of uploads per second.',
    }),
    gauge(
      'prosody_mod_http_file_share__upload_cache',
      'host',
      'Number of uploads whose details are cached in memory, at most 1,024.',
    ),
    gauge(
      'prosody_mod_http_file_share__quota_cache',
      'host',
      'Number of users whose daily upload size is cached in memory, at most 1,024.',
    ),
    counter(
      'prosody_mod_http_file_share__download_cache_hit',
      'host',
      'Number of downloads of files whose details were cached in memory.',
    ),
    counter(
      'prosody_mod_http_file_share__download_cache_miss',
      'host',
      'Number of downloads of files whose details were read from storage.',
    ),
    histogram(
      'prosody_mod_http_file_share__prune_seconds',
      'host',
      'Duration of the daily removal of expired files.',
    ),
    histogram(
      'prosody_mod_http_file_share__summary_seconds',
      'host',
      'Duration of the weekly count of all files.',
    ),
  ],
}

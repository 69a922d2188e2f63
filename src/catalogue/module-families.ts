import { counter, gauge, histogram, type Area } from './documented-family.js'

/** The defect of families whose values the module reads once a minute. */
const ONCE_A_MINUTE = 'The value can be up to a minute old.'

export const companion: Area = {
  title: 'Additional metrics (mod_adhoc_statistics)',
  from: 'The module [mod_adhoc_statistics](../prosody-modules/mod_adhoc_statistics/README.md) counts these metrics in the same way on each version of Prosody. Its setting `adhoc_statistics_counts` selects the metrics.',
  since: '0.11',
  families: [
    counter(
      'xmpp_logins',
      'host mechanism',
      'Number of successful client authentications, by SASL mechanism.',
      {
        watch: 'A sudden rise after a quiet time means that many clients return after a fault.',
      },
    ),
    counter(
      'xmpp_login_failures',
      'host mechanism',
      'Number of SASL exchanges that the server ended with a failure, by mechanism.',
      {
        watch: 'If it rises compared with `xmpp_logins_total`, a client may be guessing passwords.',
      },
    ),
    counter(
      'xmpp_stanzas',
      'host from kind',
      'Number of stanzas received from clients, other servers and external components, each counted once.',
      { watch: 'A sudden rise of messages with `from="server"` may be spam from other servers.' },
    ),
    gauge(
      'xmpp_client_connections',
      'host',
      'Number of connected clients with a resource, over TCP, WebSocket or BOSH.',
    ),
    gauge(
      'xmpp_online_users',
      'host',
      'Number of users with at least one session; with mod_adhoc_statistics, including sessions that wait to be resumed.',
      {
        watch: 'If it falls suddenly, clients lost their connections.',
        defect:
          'Without mod_adhoc_statistics, the exporter counts a list that Prosody cuts at 200 users. With 200 users or more, the metric is missing and the collector `users` fails.',
      },
    ),
    gauge('xmpp_registered_users', 'host', 'Number of registered accounts.', {
      defect:
        'By default, mod_adhoc_statistics counts accounts only in the internal storage, because one long SQL query would block Prosody. The value can be up to five minutes old.',
    }),
    counter(
      'xmpp_registrations',
      'host',
      'Number of accounts that users registered, in-band or on a web page.',
      {
        watch: 'A sudden rise may be due to spammers.',
        defect: 'Accounts that an admin creates are not counted, because Prosody fires no event.',
      },
    ),
    counter('xmpp_account_deletions', 'host', 'Number of deleted accounts.', {
      defect:
        'Before Prosody 13.0, `prosodyctl deluser` is not counted, because it runs in another process.',
    }),
    counter('xmpp_password_changes', 'host', "Number of changes of an account's password.", {
      defect:
        'Before Prosody 13.0, `prosodyctl passwd` is not counted, because it runs in another process.',
    }),
    counter(
      'xmpp_offline_messages_stored',
      'host',
      'Number of messages stored for users who were not online.',
      {
        defect: 'Only messages that mod_offline stored are counted, not the archive of mod_mam.',
      },
    ),
    counter(
      'xmpp_connections_rejected',
      'reason',
      'Number of connections that Prosody rejected because of a limit.',
      {
        since: '13.0.7',
        watch:
          'A rise means that one address opens more connections than max_connections_per_ip allows.',
        defect:
          'The metric is missing unless the option `limits` sets `max_connections_per_ip`. mod_limits of Prosody 13.0.1 and earlier does not have this option.',
      },
    ),
    gauge('xmpp_muc_live_rooms', 'host', 'Number of rooms in memory, including hidden rooms.', {
      defect: 'Persistent rooms without occupants are not counted.',
    }),
    gauge(
      'xmpp_muc_occupants',
      'host',
      'Number of occupants of the rooms in memory, each nickname counted once.',
    ),
    gauge(
      'xmpp_certificate_expiry_timestamp_seconds',
      'host service',
      "Expiry time of the host's certificate, as Prosody last loaded it, in seconds since 1970.",
      {
        watch:
          'Alert at less than two weeks: `xmpp_certificate_expiry_timestamp_seconds - time() < 14 * 86400`.',
        defect:
          'If all services of the host send the same certificate, `service` is empty, and Prometheus stores no such label. Otherwise, each service has a series, for example `c2s`, `s2s` and `https`. Until Prosody has loaded a renewed certificate, the value is that of the old one, because clients still get it. mod_adhoc_statistics finds only certificates in the places that the settings `certificates`, `certificate`, `ssl`, `c2s_ssl` and similar settings name.',
      },
    ),
    gauge(
      'xmpp_certificate_info',
      'host service sha256',
      "SHA-256 fingerprint of the host's certificate, as Prosody last loaded it, with the constant value 1.",
      {
        watch:
          'If the fingerprint that a client receives has no series, something in front of Prosody sends another certificate.',
        defect:
          '`service` has the same values as in `xmpp_certificate_expiry_timestamp_seconds`. If the ports of a service have different certificates, each certificate has a series.',
      },
    ),
    gauge(
      'xmpp_certificate_reload_needed',
      'host',
      'Whether a certificate file of the host is newer than the certificate that Prosody loaded.',
      {
        watch:
          'If it stays 1, run `prosodyctl reload`. If it is still 1 after that, see the log of Prosody, and restart Prosody.',
      },
    ),
    gauge(
      'xmpp_start_time_seconds',
      'host',
      'Start time of the server, in seconds since 1970; without mod_adhoc_statistics, rounded to a second (XEP-0012).',
      { watch: '`changes(xmpp_start_time_seconds[1d])` is the number of restarts in a day.' },
    ),
    histogram(
      'xmpp_loop_lag_seconds',
      '',
      "Time for which Prosody's single thread was blocked, measured once per second.",
      {
        watch:
          'If values are above 0.1, something blocks the single thread of Prosody, for example slow storage or mod_http_openmetrics.',
      },
    ),
    counter(
      'xmpp_process_cpu_seconds',
      '',
      'CPU time of the Prosody process, in user mode and in the kernel.',
      {
        watch: 'Prosody has one thread, so it is overloaded when the rate is near 1.',
      },
    ),
    gauge('xmpp_process_resident_memory_bytes', '', 'Resident memory of the Prosody process.', {
      defect: ONCE_A_MINUTE,
      watch: 'Steady growth over days is a leak, often in a community module.',
    }),
    gauge('xmpp_process_open_fds', '', 'Number of open file descriptors of the Prosody process.', {
      defect: ONCE_A_MINUTE,
      watch: 'Alert at 80 % of `xmpp_process_max_fds`. At 100 %, Prosody accepts no connections.',
    }),
    gauge(
      'xmpp_process_max_fds',
      '',
      'Maximum number of open file descriptors of the Prosody process (soft limit).',
      { defect: ONCE_A_MINUTE },
    ),
    gauge(
      'xmpp_lua_heap_bytes',
      '',
      'Memory that Lua uses in the Prosody process, including garbage that is not collected yet.',
    ),
    gauge(
      'xmpp_unauthenticated_connections',
      'type',
      'Number of connections that have not authenticated.',
      { watch: 'Thousands of them are a flood. `c2s_timeout` closes each after five minutes.' },
    ),
    counter(
      'xmpp_connections_closed_unauthenticated',
      'type',
      'Number of connections that ended before they authenticated.',
      { watch: 'A high rate with `type="c2s"` may be a scan or an attack.' },
    ),
  ],
}

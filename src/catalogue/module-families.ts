import { counter, gauge, histogram, type Area } from './documented-family.js'

export const companion: Area = {
  title: 'What Prosody does not count (mod_adhoc_statistics)',
  from: 'The [companion module](../prosody-modules/mod_adhoc_statistics/README.md) counts these, the same on each version; `adhoc_statistics_counts` chooses.',
  since: '0.11',
  families: [
    counter('xmpp_logins', 'host mechanism', 'Clients that authenticated, by SASL mechanism.', {
      watch: 'A sudden rise after a quiet time: everybody comes back after a fault.',
    }),
    counter(
      'xmpp_login_failures',
      'host mechanism',
      'SASL exchanges that the server ended with a failure, by mechanism.',
      { watch: 'A rise against `xmpp_logins_total`: a client may be guessing passwords.' },
    ),
    counter(
      'xmpp_stanzas',
      'host from kind',
      'Stanzas that a client, another server or an external component sent, each counted once, where it came in.',
      { watch: 'Messages of `from="server"` that jump: spam from elsewhere.' },
    ),
    gauge(
      'xmpp_client_connections',
      'host',
      'Clients that are connected and have a resource, over TCP, WebSocket or BOSH.',
    ),
    gauge(
      'xmpp_online_users',
      'host',
      'Users with at least one session; with the module those that wait to be resumed are among them.',
      {
        watch: 'The first panel of a dashboard.',
        defect:
          'Without the module a list of at most 200 is counted: beyond it the number is missing and the collector `users` has failed.',
      },
    ),
    gauge('xmpp_registered_users', 'host', 'Accounts.', {
      defect:
        'From the module by default only with the internal storage, and up to five minutes old: with SQL one long query would hold everybody up.',
    }),
    gauge('xmpp_muc_live_rooms', 'host', 'Rooms in memory, hidden ones too.', {
      defect: 'Persistent rooms without occupants are not counted.',
    }),
    gauge('xmpp_muc_occupants', 'host', 'Occupants of the rooms in memory, each nickname once.'),
    gauge(
      'xmpp_certificate_expiry_timestamp_seconds',
      'host',
      'When the certificate of a host, as last loaded, expires, in seconds since 1970.',
      {
        watch: 'Alert at less than two weeks: `… - time() < 14 * 86400`.',
        defect:
          'Renewed and not reloaded is still the old one, as it is for clients. Certificates in directories other than those of `certificates` and `ssl` are not found.',
      },
    ),
    gauge(
      'xmpp_start_time_seconds',
      'host',
      'When the server started, in seconds since 1970; without the module to a second, by XEP-0012.',
      { watch: '`changes(…[1d])`: restarts.' },
    ),
    histogram(
      'xmpp_loop_lag_seconds',
      '',
      'How late a timer of the server was, tried each second: for as long nobody was served.',
      {
        watch:
          'Values above 0.1: something blocks the only thread, such as storage or statistics over HTTP.',
      },
    ),
  ],
}

import { counter, gauge, histogram, type Area } from './documented-family.js'

export const companion: Area = {
  title: 'What Prosody does not count (mod_adhoc_statistics)',
  from: 'The [companion module](../prosody-modules/mod_adhoc_statistics/README.md) counts these, the same on each version; `adhoc_statistics_counts` chooses.',
  since: '0.11',
  families: [
    counter(
      'xmpp_logins',
      'host mechanism',
      'Number of successful client authentications, by SASL mechanism.',
      {
        watch: 'A sudden rise after a quiet time: everybody comes back after a fault.',
      },
    ),
    counter(
      'xmpp_login_failures',
      'host mechanism',
      'Number of SASL exchanges that the server ended with a failure, by mechanism.',
      { watch: 'A rise against `xmpp_logins_total`: a client may be guessing passwords.' },
    ),
    counter(
      'xmpp_stanzas',
      'host from kind',
      'Number of stanzas received from clients, other servers and external components, each counted once.',
      { watch: 'Messages of `from="server"` that jump: spam from elsewhere.' },
    ),
    gauge(
      'xmpp_client_connections',
      'host',
      'Number of connected clients with a resource, over TCP, WebSocket or BOSH.',
    ),
    gauge(
      'xmpp_online_users',
      'host',
      'Number of users with at least one session; with the module, including sessions that wait to be resumed.',
      {
        watch: 'The first panel of a dashboard.',
        defect:
          'Without the module a list of at most 200 is counted: beyond it the number is missing and the collector `users` has failed.',
      },
    ),
    gauge('xmpp_registered_users', 'host', 'Number of registered accounts.', {
      defect:
        'From the module by default only with the internal storage, and up to five minutes old: with SQL one long query would hold everybody up.',
    }),
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
      'host',
      "Expiry time of the host's certificate, as Prosody last loaded it, in seconds since 1970.",
      {
        watch: 'Alert at less than two weeks: `… - time() < 14 * 86400`.',
        defect:
          'Renewed and not reloaded is still the old one, as it is for clients. Certificates in directories other than those of `certificates` and `ssl` are not found.',
      },
    ),
    gauge(
      'xmpp_start_time_seconds',
      'host',
      'Start time of the server, in seconds since 1970; without the module, rounded to a second (XEP-0012).',
      { watch: '`changes(…[1d])`: restarts.' },
    ),
    histogram(
      'xmpp_loop_lag_seconds',
      '',
      "Time for which Prosody's single thread was blocked, measured once per second.",
      {
        watch:
          'Values above 0.1: something blocks the only thread, such as storage or statistics over HTTP.',
      },
    ),
  ],
}

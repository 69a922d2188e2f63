import { counter, gauge, type Area } from './documented-family.js'

export const c2s: Area = {
  title: 'Clients (mod_c2s)',
  from: 'The module mod_c2s, which Prosody loads by default.',
  since: '0.12',
  families: [
    gauge(
      'prosody_mod_c2s__connections',
      'host type ip_family',
      'Number of client connections over TCP or WebSocket, by host, state and IP family.',
      {
        since: '0.11',
        on011: { labels: [] },
        watch:
          '`type` is `c2s_unauthed` before the login, `c2s_unbound` before the client has a resource, then `c2s`. A sudden fall means a network fault or a restart. Many `c2s_unauthed` mean that clients fail to log in, or an attack.',
        defect:
          'BOSH sessions and sessions that wait to be resumed are not included. Until the client has named its host, `host` is empty. A host without clients keeps its series, with the value 0.',
      },
    ),
    gauge('prosody_mod_c2s__ipv6', '', 'Number of established client connections over IPv6.', {
      since: '0.11',
      until: '0.11',
      watch:
        'In Prosody 0.12 and later, use the label `ip_family` of `prosody_mod_c2s__connections`.',
    }),
    counter(
      'prosody_mod_c2s__encrypted',
      'protocol cipher',
      'Number of client connections that were encrypted, by TLS version and cipher.',
      {
        watch: 'Before you turn off an old TLS version, check whether clients still use it.',
        defect:
          'Prosody creates the series of a TLS version and cipher with the first connection that uses them.',
      },
    ),
  ],
}

import { counter, gauge, type Area } from './documented-family.js'

export const c2s: Area = {
  title: 'Clients (mod_c2s)',
  from: 'mod_c2s, loaded by default.',
  since: '0.12',
  families: [
    gauge(
      'prosody_mod_c2s__connections',
      'host type ip_family',
      'Client connections over TCP or WebSocket, by host, state (c2s_unauthed before the login, c2s_unbound before there is a resource, then c2s) and IP family.',
      {
        since: '0.11',
        on011: { labels: [] },
        watch:
          'A sudden fall is a network fault or a restart; many `c2s_unauthed` are clients that fail to log in, or an attack.',
        defect:
          'Sessions of BOSH are not among them, nor those that wait to be resumed. Before the stream names its host, `host` is empty. A host whose last client left keeps its series, at 0.',
      },
    ),
    gauge('prosody_mod_c2s__ipv6', '', 'Established client connections over IPv6.', {
      since: '0.11',
      until: '0.11',
      watch: 'Later versions have `ip_family` of `prosody_mod_c2s__connections`.',
    }),
    counter(
      'prosody_mod_c2s__encrypted',
      'protocol cipher',
      'Client connections that were encrypted, by TLS version and cipher.',
      {
        watch: 'Clients that still use an old TLS version, before you turn it off.',
        defect: 'A pair of version and cipher comes into being with its first connection.',
      },
    ),
  ],
}

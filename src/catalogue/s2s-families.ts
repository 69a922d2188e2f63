import { counter, gauge, type Area } from './documented-family.js'

const LAZY = 'Prosody creates a series with its first event, so `increase()` misses this event.'

export const s2s: Area = {
  title: 'Other servers (mod_s2s)',
  from: 'mod_s2s, mod_s2s_auth_certs and mod_s2s_bidi.',
  since: '0.12',
  families: [
    gauge(
      'prosody_mod_s2s__connections_inbound',
      'host type ip_family',
      'Number of incoming connections from other servers, by host, state and IP family.',
      {
        watch:
          '`type` is `s2sin_unauthed` before authentication, then `s2sin`. If many connections stay `s2sin_unauthed`, authentication fails. `prosody_mod_s2s__closed_total` and `prosody_mod_s2s_auth_certs__checked_total` show why.',
      },
    ),
    gauge(
      'prosody_mod_s2s__connections_outbound',
      'host type ip_family',
      'Number of outgoing connections to other servers, by host, state and IP family.',
      {
        watch:
          '`type` is `s2sout_unauthed` before authentication, then `s2sout`. Connections that stay `s2sout_unauthed` are to servers that accept the connection, but authentication does not succeed.',
      },
    ),
    gauge(
      'prosody_mod_s2s__connections',
      '',
      'Number of connections with other servers, in both directions.',
      {
        since: '0.11',
        until: '0.11',
        watch: 'Prosody 0.12 and later have one family for each direction.',
      },
    ),
    gauge('prosody_mod_s2s__ipv6', '', 'Number of connections with other servers over IPv6.', {
      since: '0.11',
      until: '0.11',
      watch:
        'In Prosody 0.12 and later, use the label `ip_family` of `prosody_mod_s2s__connections_inbound` and `_outbound`.',
    }),
    counter(
      'prosody_mod_s2s__accepted_tcp',
      '',
      'Number of TCP connections accepted on the port for other servers.',
      {
        watch:
          'If it is far more than `prosody_mod_s2s__authenticated_total`, programs that are not XMPP servers connect to the port.',
      },
    ),
    counter(
      'prosody_mod_s2s__authenticated',
      'host direction mechanism',
      'Number of authenticated connections with other servers, by direction and mechanism (SASL or dialback).',
      {
        watch: 'Servers that use `dialback` have no valid certificate.',
        defect: `The HELP text of Prosody says incoming, but the metric counts both directions. ${LAZY}`,
      },
    ),
    counter('prosody_mod_s2s__initiated', 'host', 'Number of outgoing connections started.', {
      watch:
        'If it is far more than `prosody_mod_s2s__authenticated_total{direction="outgoing"}`, Prosody cannot reach other servers.',
      defect: LAZY,
    }),
    counter(
      'prosody_mod_s2s__closed',
      'host direction error',
      'Number of closed connections with other servers, by direction and reason.',
      {
        watch:
          '`error` is a stream error, or `:remote-choice` or `:local-choice` after an orderly end. Look at the rate of errors that do not start with a colon.',
        defect: `\`host\` is \`:unknown\` if the other server named no host of this server. ${LAZY}`,
      },
    ),
    counter(
      'prosody_mod_s2s__encrypted',
      'protocol cipher',
      'Number of connections with other servers that were encrypted, by TLS version and cipher.',
      {
        watch: 'Before you turn off an old TLS version, check whether servers still use it.',
        defect: LAZY,
      },
    ),
    counter(
      'prosody_mod_s2s_auth_certs__checked',
      'chain identity',
      'Number of checked certificates of other servers, by the validity of their chain and of their name.',
      {
        watch:
          'Both labels are `valid`, `invalid` or `unknown`. If the share of `chain="invalid"` rises suddenly, certificate authorities may be missing on this machine, or more servers have invalid certificates.',
        defect: LAZY,
      },
    ),
    counter(
      'prosody_mod_s2s_bidi__offers_sent',
      'host',
      'Number of incoming connections for which this server offered bidirectional use.',
      { since: '13.0', defect: LAZY },
    ),
    counter(
      'prosody_mod_s2s_bidi__offers_recv',
      'host',
      'Number of incoming connections whose other server accepted bidirectional use.',
      { since: '13.0', defect: LAZY },
    ),
    counter(
      'prosody_mod_s2s_bidi__offers_taken',
      'host',
      'Number of outgoing connections for which this server accepted bidirectional use.',
      { since: '13.0', defect: LAZY },
    ),
  ],
}

import { counter, gauge, type Area } from './documented-family.js'

const LAZY =
  'Series come into being with their first event, which `increase()` therefore does not see.'

export const s2s: Area = {
  title: 'Other servers (mod_s2s)',
  from: 'mod_s2s, mod_s2s_auth_certs and mod_s2s_bidi.',
  since: '0.12',
  families: [
    gauge(
      'prosody_mod_s2s__connections_inbound',
      'host type ip_family',
      'Incoming connections of other servers, by host, state (s2sin, or s2sin_unauthed before authentication) and IP family.',
      {
        watch: 'Many `s2sin_unauthed` that stay: authentication fails, see `closed` and `checked`.',
      },
    ),
    gauge(
      'prosody_mod_s2s__connections_outbound',
      'host type ip_family',
      'Outgoing connections to other servers, by host, state (s2sout, or s2sout_unauthed before authentication) and IP family.',
      { watch: '`s2sout_unauthed` that stay are servers that cannot be reached.' },
    ),
    gauge('prosody_mod_s2s__connections', '', 'Connections with other servers, both directions.', {
      since: '0.11',
      until: '0.11',
      watch: 'Later it is two families, by direction.',
    }),
    gauge('prosody_mod_s2s__ipv6', '', 'Connections with other servers over IPv6.', {
      since: '0.11',
      until: '0.11',
      watch: 'Later versions have `ip_family` of those two.',
    }),
    counter(
      'prosody_mod_s2s__accepted_tcp',
      '',
      'TCP connections that were accepted on the port for other servers.',
      { watch: 'Far more than `authenticated`: something other than an XMPP server connects.' },
    ),
    counter(
      'prosody_mod_s2s__authenticated',
      'host direction mechanism',
      'Connections with other servers that were authenticated, by direction and mechanism (SASL or dialback).',
      {
        watch: 'The share of `dialback`: servers without a valid certificate.',
        defect: `Its own HELP says incoming, but it counts both directions. ${LAZY}`,
      },
    ),
    counter('prosody_mod_s2s__initiated', 'host', 'Outgoing connections that were begun.', {
      watch:
        'Far more than `authenticated{direction="outgoing"}`: other servers cannot be reached.',
      defect: LAZY,
    }),
    counter(
      'prosody_mod_s2s__closed',
      'host direction error',
      'Connections with other servers that were closed, by direction and reason: a stream error, or :remote-choice or :local-choice for an orderly end.',
      {
        watch: 'Any `error` that does not begin with a colon, as a rate.',
        defect: `\`host\` is \`:unknown\` where the other server named no host of this one. ${LAZY}`,
      },
    ),
    counter(
      'prosody_mod_s2s__encrypted',
      'protocol cipher',
      'Connections with other servers that were encrypted, by TLS version and cipher.',
      { watch: 'Servers that still use an old TLS version, before you turn it off.', defect: LAZY },
    ),
    counter(
      'prosody_mod_s2s_auth_certs__checked',
      'chain identity',
      'Certificates of other servers that were checked, by whether their chain and the name in them are valid, invalid or unknown.',
      {
        watch: 'A rising share of `chain="invalid"`: authorities are missing on this machine.',
        defect: LAZY,
      },
    ),
    counter(
      'prosody_mod_s2s_bidi__offers_sent',
      'host',
      'Incoming connections on which we offered to use them in both directions.',
      { since: '13.0', defect: LAZY },
    ),
    counter(
      'prosody_mod_s2s_bidi__offers_recv',
      'host',
      'Incoming connections that the other server asked to use in both directions, as we had offered.',
      { since: '13.0', defect: LAZY },
    ),
    counter(
      'prosody_mod_s2s_bidi__offers_taken',
      'host',
      'Outgoing connections that are used in both directions, as the other server offered.',
      { since: '13.0', defect: LAZY },
    ),
  ],
}

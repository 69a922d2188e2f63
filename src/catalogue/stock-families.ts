import { gauge, type Area } from './documented-family.js'

export const stock: Area = {
  title: 'Any server, without the module',
  from: 'By standard commands and XEPs, from each host; the [list of collectors](collectors.md#list-of-collectors) says what each needs. `xmpp_online_users`, `xmpp_registered_users` and `xmpp_start_time_seconds` come in this way too.',
  since: 'any server',
  families: [
    gauge('xmpp_ping_seconds', 'host', 'Time from a ping to its answer, over our own stream.', {
      watch: 'The server answers no request faster than this.',
    }),
    gauge('xmpp_info', 'host name version', "Name and version of the host's software; always 1.", {
      defect: 'Up to five minutes old.',
    }),
    gauge(
      'xmpp_host_info',
      'host category type',
      'Category and type of each host and component of the server; always 1.',
      { watch: 'One that is missing is a component that is not connected.' },
    ),
    gauge('xmpp_muc_rooms', 'host', 'Public rooms of a MUC service.', {
      defect:
        'Hidden rooms are not included; a list of more than 5,000 is not requested again for an hour.',
    }),
    gauge('xmpp_disabled_users', 'host', 'Users whose account is disabled.'),
    gauge('xmpp_active_users', 'host', 'Users online who are not idle, as the server defines it.'),
    gauge('xmpp_idle_users', 'host', 'Users online who are idle, as the server defines it.'),
    gauge(
      'xmpp_s2s_connections',
      'host direction security',
      'Connections with other servers by direction and security, including those being established; verified means encrypted with a valid certificate.',
      { watch: '`security="plain"` where there should be none.' },
    ),
    gauge(
      'prosody_module_loaded',
      'host module',
      'A module is loaded on the host; always 1. Up to five minutes old.',
    ),
    gauge(
      'ejabberd_s2s_connections',
      'host direction',
      'Connections with other servers, by direction; those of the whole ejabberd node, the same for each of its hosts.',
      { defect: 'Take the `max`, not the `sum`, over `host`.' },
    ),
    gauge(
      'xmpp_statistic',
      'host name units',
      'A statistic of XEP-0039, by the name that the server gives it.',
      { defect: 'Off by default; only the name shows whether it is a counter.' },
    ),
  ],
}

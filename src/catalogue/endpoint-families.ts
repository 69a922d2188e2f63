import { gauge, type Area } from './documented-family.js'

const ENDPOINT = 'host service target family'

/** The families that exist only with domains or remotes in the section `outside` of the configuration. */
export const outside: Area = {
  title: 'Checks from outside',
  from: 'Results of the [checks from outside](outside.md), for the domains and remotes in the section `outside` of the configuration. `host` is the domain, `service` the SRV service (`xmpp-client`, `xmpps-client`, `xmpp-server`, `xmpps-server`) or `host-meta`, `bosh`, `websocket`, `target` the host name and port, and `family` is `ipv4` or `ipv6`. The values are those of the last check. If it is older than three times its interval, all series of the domain except `xmpp_domain_check_timestamp_seconds` are missing.',
  since: 'any server',
  families: [
    gauge(
      'xmpp_endpoint_up',
      ENDPOINT,
      'Whether clients or other servers can use the endpoint: the last check found no error.',
      {
        watch:
          'Alert on 0. `xmpp_endpoint_problem` has the reason. A check on the machine of the server does not pass the firewall of the provider.',
      },
    ),
    gauge(
      'xmpp_endpoint_problem',
      `${ENDPOINT} problem severity`,
      'Problems that the last check found, each with the constant value 1.',
      {
        watch:
          'Alert on `severity="error"`: clients or servers cannot use the endpoint. `warning` means that some cannot, or that all will fail soon. A label is empty if the problem concerns more than one endpoint. [Problems](outside.md) lists the values of `problem`.',
      },
    ),
    gauge(
      'xmpp_endpoint_connect_seconds',
      `${ENDPOINT} phase`,
      'Duration of each finished phase of the connection: tcp, starttls, tls and stream.',
      {
        watch: 'If a phase is missing, it did not end, or the service does not have it.',
      },
    ),
    gauge(
      'xmpp_endpoint_tls_info',
      `${ENDPOINT} version cipher`,
      'Version and cipher of TLS that were negotiated, with the constant value 1.',
    ),
    gauge(
      'xmpp_endpoint_certificate_expiry_timestamp_seconds',
      ENDPOINT,
      'Unix time when the first certificate of the chain that the endpoint sent expires.',
      {
        watch:
          'Alert some days before this time, on `xmpp_endpoint_certificate_expiry_timestamp_seconds - time()`.',
      },
    ),
    gauge(
      'xmpp_endpoint_certificate_matches_loaded',
      ENDPOINT,
      'Whether the endpoint sent a certificate that Prosody has loaded for this domain.',
      {
        watch:
          'If 0, the service was not restarted after a renewal, or a proxy has an old certificate. The metric needs mod_adhoc_statistics on a server that this exporter monitors.',
      },
    ),
    gauge(
      'xmpp_endpoint_sasl_mechanism',
      `${ENDPOINT} mechanism`,
      'SASL mechanisms that the endpoint offers after TLS, each with the constant value 1.',
      {
        watch:
          'A mechanism that clients need has vanished: `absent(xmpp_endpoint_sasl_mechanism{host="example.com",mechanism="SCRAM-SHA-1"})`.',
      },
    ),
    gauge(
      'xmpp_srv_records',
      'host service',
      'Number of SRV records of the domain for the service.',
      {
        watch:
          'The value 0 means that DNS has none; clients and servers then use the addresses of the domain itself. If the query failed, the series is missing.',
      },
    ),
    gauge(
      'xmpp_domain_check_timestamp_seconds',
      'host',
      'Unix time when the last check of the domain ended.',
      {
        watch:
          'Alert if it is older than three times `outside.interval`: the checks take too long. After three checks in a row that reached nothing, a domain is checked less often: at last every fourth interval.',
      },
    ),
    gauge(
      'xmpp_domain_check_finished',
      'host',
      'Whether the check of the domain ended in time for this response.',
      {
        watch:
          'Only in `/probe?module=outside`. If 0, the response has the previous result, or the endpoints that were checked in time if there is none.',
      },
    ),
    gauge(
      'xmpp_s2s_ping_up',
      'remote',
      'Whether the other XMPP server answered a ping (XEP-0199) through the server of the exporter.',
      {
        watch:
          'Alert on 0. The other server must be able to answer to the domain of the component of the exporter, so this domain needs DNS records and a valid certificate. If the exporter is not connected to its server, the series is missing.',
      },
    ),
    gauge(
      'xmpp_s2s_ping_seconds',
      'remote',
      'Time from a ping to the other XMPP server until its answer.',
      {
        watch: 'The time includes that of a new connection between the servers, if there was none.',
      },
    ),
  ],
}

/** Faults that the exporter finds because it knows which certificates Prosody has loaded. */

import { join } from 'node:path'
import { root } from '../setup/process.js'
import { onBoth, type Fault } from './fault.js'
import { announce, LAB_DOMAIN, PORTS, type ServeOptions } from './lab-site.js'

export const STATISTICS = {
  domain: `stats.${LAB_DOMAIN}`,
  secret: 'secret',
  port: 5347,
} as const

/** A Prosody with mod_adhoc_statistics, from which the exporter collects. */
export const MONITORED: ServeOptions = {
  globalLua: [
    `plugin_paths = { ${JSON.stringify(join(root, 'prosody-modules'))} }`,
    `component_ports = { ${STATISTICS.port} }`,
    'component_interfaces = { "0.0.0.0" }',
    'statistics = "internal"',
    'statistics_interval = "manual"',
  ],
  components: [
    `Component ${JSON.stringify(STATISTICS.domain)}`,
    `  component_secret = ${JSON.stringify(STATISTICS.secret)}`,
    '  modules_enabled = { "adhoc_statistics" }',
  ],
}

const NAME = 'certificate-stale'

/** A domain of this Prosody. */
export const MONITORED_DOMAIN = `${NAME}.${LAB_DOMAIN}`

export const FAULTS_OF_STALE_CERTIFICATES: readonly Fault[] = [
  {
    name: NAME,
    title: 'a proxy sends an old certificate on the port of clients with direct TLS',
    arrange(site) {
      const real = site.serve(MONITORED)
      announce(site, real, ['xmpp-client', 'xmpp-server'])
      const pair = site.newAddress()
      const port = PORTS['xmpps-client']
      const certificate = site.certificate({ names: [site.domain] })
      site.listen(pair, port, { kind: 'tls-proxy', certificate, to: real.ipv4, port })
      site.srv('xmpps-client', 'proxy')
      site.address('proxy', pair)
    },
    problems: onBoth('certificate_stale', 'xmpps-client').map((problem) => ({
      ...problem,
      target: 'proxy',
    })),
  },
]

/** Faults between the TCP connection and the SASL mechanisms. */

import type { ProblemCode } from '../../../src/outside/problem-severity.js'
import { announceFaulty, onBoth, onEach, type Fault } from './fault.js'
import { announce, PORTS, type ServeOptions, type Site, type SrvName } from './lab-site.js'
import type { Listener, ScriptStep } from './listeners.js'

const HEADER =
  "<?xml version='1.0'?><stream:stream xmlns='jabber:client' version='1.0' id='1' " +
  "xmlns:stream='http://etherx.jabber.org/streams'>"
const STARTTLS =
  "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>"
const PROCEED = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
const FAILURE = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>"
const POLICY_VIOLATION =
  "<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"

const ON_HEADER = '<stream:stream[^>]*>'
const ON_STARTTLS = '<starttls'

type ScriptFault = {
  readonly name: string
  readonly title: string
  readonly steps: readonly ScriptStep[]
  readonly code: ProblemCode
}

const offerStarttls: ScriptStep = { after: ON_HEADER, send: HEADER + STARTTLS }

/** Servers whose answers no configuration of a real server produces reliably. */
const SCRIPT_FAULTS: readonly ScriptFault[] = [
  {
    name: 'stream-error',
    title: 'the server answers with a stream error',
    steps: [{ after: ON_HEADER, send: HEADER + POLICY_VIOLATION, then: 'close' }],
    code: 'stream_error',
  },
  {
    name: 'stream-closed',
    title: 'the server closes the connection after its stream header',
    steps: [{ after: ON_HEADER, send: HEADER, then: 'close' }],
    code: 'stream_closed',
  },
  {
    name: 'no-features',
    title: 'the server sends no stream features',
    steps: [{ after: ON_HEADER, send: HEADER }],
    code: 'features_missing',
  },
  {
    name: 'starttls-refused',
    title: 'the server offers STARTTLS, and refuses it',
    steps: [offerStarttls, { after: ON_STARTTLS, send: FAILURE, then: 'close' }],
    code: 'starttls_refused',
  },
  {
    name: 'tls-silent',
    title: 'the server agrees to STARTTLS, and then stays silent',
    steps: [offerStarttls, { after: ON_STARTTLS, send: PROCEED }],
    code: 'tls_timeout',
  },
  {
    name: 'tls-broken',
    title: 'the server agrees to STARTTLS, and then closes the connection',
    steps: [offerStarttls, { after: ON_STARTTLS, send: PROCEED, then: 'close' }],
    code: 'tls_failed',
  },
  {
    name: 'tls-then-silence',
    title: 'the server sends nothing inside TLS',
    steps: [offerStarttls, { after: ON_STARTTLS, send: PROCEED, then: 'tls' }],
    code: 'no_response',
  },
  {
    name: 'tls-then-closed',
    title: 'the server closes the stream inside TLS',
    steps: [
      offerStarttls,
      { after: ON_STARTTLS, send: PROCEED, then: 'tls' },
      { after: ON_HEADER, send: HEADER, then: 'close' },
    ],
    code: 'stream_closed',
  },
]

const SERVER_HEADER = HEADER.replace('jabber:client', 'jabber:server')

/** Prosody always asks other servers for a certificate, so it can always authenticate them. */
const S2S_AUTH_MISSING: Fault = {
  name: 'no-s2s-authentication',
  title: 'the server offers other servers no way to authenticate',
  arrange(site) {
    const pair = site.newAddress()
    site.listen(pair, PORTS['xmpp-server'], {
      kind: 'script',
      certificate: site.certificate(),
      steps: [
        { after: ON_HEADER, send: SERVER_HEADER + STARTTLS },
        { after: ON_STARTTLS, send: PROCEED, then: 'tls' },
        { after: ON_HEADER, send: `${SERVER_HEADER}<stream:features/>` },
      ],
    })
    announceFaulty(site, 'xmpp-server', pair)
  },
  problems: onBoth('s2s_auth_missing', 'xmpp-server'),
}

const toFault = ({ name, title, steps, code }: ScriptFault): Fault => ({
  name,
  title,
  arrange(site) {
    listenForClients(site, { kind: 'script', steps, certificate: site.certificate() })
  },
  problems: onBoth(code, 'xmpp-client'),
})

function listenForClients(site: Site, listener: Listener): void {
  const pair = site.newAddress()
  site.listen(pair, PORTS['xmpp-client'], listener)
  announceFaulty(site, 'xmpp-client', pair)
}

/** A domain on an XMPP server with a configuration that causes the fault. */
export function served(
  name: string,
  title: string,
  problems: Fault['problems'],
  options: ServeOptions | ((site: Site) => ServeOptions),
  services?: readonly SrvName[],
): Fault {
  return {
    name,
    title,
    problems,
    arrange(site) {
      const pair = site.serve(typeof options === 'function' ? options(site) : options)
      announce(site, pair, services)
    },
  }
}

const disable = (...modules: readonly string[]) => ({
  lua: [`modules_disabled = { ${modules.map((each) => JSON.stringify(each)).join('; ')} }`],
})
/** With security level 0, OpenSSL accepts the signatures of TLS 1.0. */
const onlyVersion = (site: Site, protocol: string): ServeOptions => ({
  ssl: { protocol: JSON.stringify(protocol), ciphers: '"DEFAULT:@SECLEVEL=0"' },
  certificate: site.certificate(),
})

const CONFIGURATION_FAULTS: readonly Fault[] = [
  served(
    'tls-module-off',
    'Prosody 13 offers no STARTTLS',
    onEach('starttls_missing'),
    disable('tls'),
  ),
  served('tls-module-off-0-12', 'Prosody 0.12 offers no STARTTLS', onEach('starttls_missing'), {
    kind: '0.12.3',
    ...disable('tls'),
  }),
  served(
    'no-mechanisms',
    'Prosody 13 offers no SASL mechanisms',
    onBoth('mechanisms_missing', 'xmpp-client'),
    disable('saslauth'),
  ),
  served(
    'no-mechanisms-0-12',
    'Prosody 0.12 offers no SASL mechanisms',
    onBoth('mechanisms_missing', 'xmpp-client'),
    { kind: '0.12.3', ...disable('saslauth') },
  ),
  served(
    'optional-tls',
    'Prosody offers SASL mechanisms without TLS',
    onBoth('starttls_optional', 'xmpp-client'),
    { lua: ['c2s_require_encryption = false'] },
  ),
  served('tls-1-0', 'Prosody speaks only TLS 1.0', onEach('tls_too_old'), (site) =>
    onlyVersion(site, 'tlsv1'),
  ),
  served('tls-1-1', 'Prosody 0.12 speaks only TLS 1.1', onEach('tls_too_old'), (site) => ({
    kind: '0.12.3',
    ...onlyVersion(site, 'tlsv1_1'),
  })),
]

const otherHost = (kind: NonNullable<ServeOptions['kind']>): Fault =>
  served(
    `host-unknown-${kind.replaceAll('.', '-')}`,
    `${kind} serves other domains`,
    onEach('host_unknown'),
    (site) => ({ kind, domain: `renamed.${site.domain}` }),
  )

const WRONG_PORT_FAULTS: readonly Fault[] = [
  {
    name: 'direct-port-as-starttls',
    title: 'the SRV record for STARTTLS names the port with direct TLS',
    arrange(site) {
      const pair = site.serve()
      announce(site, pair, ['xmpp-server'])
      site.srv('xmpp-client', 'xmpp', PORTS['xmpps-client'])
    },
    problems: onBoth('tls_unexpected', 'xmpp-client', PORTS['xmpps-client']),
  },
  {
    name: 'starttls-port-as-direct',
    title: 'the SRV record for direct TLS names the port with STARTTLS',
    arrange(site) {
      const pair = site.serve()
      announce(site, pair)
      site.srv('xmpps-client', 'xmpp', PORTS['xmpp-client'])
    },
    problems: onBoth('tls_missing', 'xmpps-client', PORTS['xmpp-client']),
  },
  {
    name: 'swapped-ports',
    title: 'the SRV records for clients and servers have each other’s ports',
    arrange(site) {
      site.address('xmpp', site.serve())
      site.srv('xmpp-client', 'xmpp', PORTS['xmpp-server'])
      site.srv('xmpp-server', 'xmpp', PORTS['xmpp-client'])
    },
    problems: [
      ...onBoth('wrong_service', 'xmpp-client', PORTS['xmpp-server']),
      ...onBoth('wrong_service', 'xmpp-server', PORTS['xmpp-client']),
    ],
  },
]

export const FAULTS_OF_PROTOCOL: readonly Fault[] = [
  ...SCRIPT_FAULTS.map(toFault),
  S2S_AUTH_MISSING,
  {
    name: 'slow-drip',
    title: 'the server sends its stream header one character at a time, and never all of it',
    arrange(site) {
      listenForClients(site, { kind: 'drip' })
    },
    problems: onBoth('not_xmpp', 'xmpp-client'),
  },
  {
    name: 'starttls-stripped',
    title: 'a proxy removes STARTTLS from the features',
    arrange(site) {
      const real = site.serve()
      const pair = site.newAddress()
      const port = PORTS['xmpp-client']
      site.listen(pair, port, { kind: 'strip-starttls', to: real.ipv4, port })
      announce(site, pair, ['xmpp-client'])
      site.srv('xmpp-server', 'real')
      site.address('real', real)
    },
    problems: onBoth('starttls_missing', 'xmpp-client'),
  },
  ...CONFIGURATION_FAULTS,
  otherHost('13.0.1'),
  otherHost('0.12.3'),
  otherHost('ejabberd'),
  ...WRONG_PORT_FAULTS,
]

/** Faults of host-meta (XEP-0156), and of the BOSH and WebSocket services that it announces. */

import type { ProblemCode } from '../../../src/outside/problem-severity.js'
import { DAY_MS } from '../certificate.js'
import { onBothAt, type Fault } from './fault.js'
import { announce, type ServedHost, type Site } from './lab-site.js'
import type { Page } from './listeners.js'

const HTTPS = 443
/** The ports of Prosody for HTTPS, and for HTTP, on which nothing listens. */
const PROSODY_HTTPS = 5281
const PROSODY_HTTP = 5280
const CLOSED = 5282
const HOST_META = '/.well-known/host-meta'
const RELATIONS = {
  bosh: 'urn:xmpp:alt-connections:xbosh',
  websocket: 'urn:xmpp:alt-connections:websocket',
} as const

type WebLinks = Readonly<Partial<Record<keyof typeof RELATIONS, string>>>

const hostMeta = (links: WebLinks): Page => ({
  status: 200,
  body: [
    '<?xml version="1.0"?><XRD xmlns="http://docs.oasis-open.org/ns/xri/xrd-1.0">',
    ...Object.entries(links).map(
      ([name, url]) => `<Link rel="${RELATIONS[name as keyof WebLinks]}" href="${url}"/>`,
    ),
    '</XRD>',
  ].join(''),
})

/** Serves web pages at the addresses of the domain. */
function serveWebsite(
  site: Site,
  pages: Readonly<Record<string, Page>>,
  certificate = site.certificate(),
): void {
  const pair = site.newAddress()
  site.address('', pair)
  site.listen(pair, HTTPS, { kind: 'https', certificate, pages })
}

/** Serves the domain, and BOSH and WebSocket at `chat.DOMAIN`, with Prosody. */
function serveChat(site: Site, options: Partial<Pick<ServedHost, 'kind' | 'domain'>> = {}): void {
  const host = `chat.${site.domain}`
  const certificate = site.certificate({ names: [site.domain, host] })
  const lua = ['modules_enabled = { "bosh"; "websocket" }', `http_host = "${host}"`]
  const pair = site.serve({ certificate, lua, ...options })
  site.address('chat', pair)
  if (options.domain === undefined) announce(site, pair)
  else announce(site, site.serve({ kind: '0.12.3' }))
}

/** The addresses of the services of Prosody. */
const prosodyLinks = ({ domain }: Site) => ({
  bosh: `https://chat.${domain}:${PROSODY_HTTPS}/http-bind`,
  websocket: `wss://chat.${domain}:${PROSODY_HTTPS}/xmpp-websocket`,
})

type LinkFault = {
  readonly name: string
  readonly title: string
  readonly links: (domain: string) => WebLinks
  readonly service: keyof WebLinks
  readonly code: ProblemCode
  readonly target?: string
  readonly port?: number
}

const LINK_FAULTS: readonly LinkFault[] = [
  {
    name: 'bosh-wrong-path',
    title: 'host-meta announces BOSH at a path that Prosody does not have',
    links: (domain) => ({ bosh: `https://chat.${domain}:${PROSODY_HTTPS}/bosh` }),
    service: 'bosh',
    code: 'web_status',
  },
  {
    name: 'websocket-wrong-path',
    title: 'host-meta announces WebSocket at a path that Prosody does not have',
    links: (domain) => ({ websocket: `wss://chat.${domain}:${PROSODY_HTTPS}/ws` }),
    service: 'websocket',
    code: 'web_status',
  },
  {
    name: 'bosh-website',
    title: 'a website answers where host-meta announces BOSH',
    links: (domain) => ({ bosh: `https://${domain}/http-bind` }),
    service: 'bosh',
    code: 'web_not_xmpp',
    target: '',
    port: HTTPS,
  },
  {
    name: 'websocket-website',
    title: 'a website answers where host-meta announces WebSocket',
    links: (domain) => ({ websocket: `wss://${domain}/xmpp-websocket` }),
    service: 'websocket',
    code: 'web_status',
    target: '',
    port: HTTPS,
  },
  {
    name: 'bosh-insecure',
    title: 'host-meta announces BOSH without TLS',
    links: (domain) => ({ bosh: `http://chat.${domain}:${PROSODY_HTTP}/http-bind` }),
    service: 'bosh',
    code: 'web_insecure',
    port: PROSODY_HTTP,
  },
  {
    name: 'websocket-insecure',
    title: 'host-meta announces WebSocket without TLS',
    links: (domain) => ({ websocket: `ws://chat.${domain}:${PROSODY_HTTP}/xmpp-websocket` }),
    service: 'websocket',
    code: 'web_insecure',
    port: PROSODY_HTTP,
  },
  {
    name: 'bosh-closed',
    title: 'the port of BOSH is closed',
    links: (domain) => ({ bosh: `https://chat.${domain}:${CLOSED}/http-bind` }),
    service: 'bosh',
    code: 'connection_refused',
    port: CLOSED,
  },
]

const toFault = ({
  name,
  title,
  links,
  service,
  code,
  target = 'chat',
  port = PROSODY_HTTPS,
}: LinkFault): Fault => ({
  name,
  title,
  arrange(site) {
    serveChat(site)
    const website: Page = { status: 200, body: '<html><body>Welcome</body></html>' }
    serveWebsite(site, {
      [HOST_META]: hostMeta(links(site.domain)),
      '/http-bind': website,
      '/xmpp-websocket': website,
    })
  },
  problems: onBothAt({ code, service, target, port }),
})

const hostMetaFault = (name: string, title: string, code: ProblemCode, page: Page): Fault => ({
  name,
  title,
  arrange(site) {
    announce(site, site.serve())
    serveWebsite(site, { [HOST_META]: page })
  },
  problems: onBothAt({ code, service: 'host-meta', target: '', port: HTTPS }),
})

export const FAULTS_OF_WEB: readonly Fault[] = [
  ...LINK_FAULTS.map(toFault),
  hostMetaFault('host-meta-error', 'the web server fails for host-meta', 'web_status', {
    status: 500,
    body: 'Internal Server Error',
  }),
  hostMetaFault('host-meta-garbage', 'host-meta is no XML document', 'host_meta_invalid', {
    status: 200,
    body: 'To be written.',
  }),
  {
    name: 'website-expired',
    title: 'the certificate of the website with host-meta has expired',
    arrange(site) {
      serveChat(site)
      const [from, to] = [new Date(Date.now() - 20 * DAY_MS), new Date(Date.now() - DAY_MS)]
      const pages = { [HOST_META]: hostMeta(prosodyLinks(site)) }
      serveWebsite(site, pages, site.certificate({ from, to }))
    },
    problems: onBothAt({
      code: 'certificate_expired',
      service: 'host-meta',
      target: '',
      port: HTTPS,
    }),
  },
  {
    name: 'bosh-host-unknown',
    title: 'BOSH and WebSocket serve another domain',
    arrange(site) {
      serveChat(site, { domain: `renamed.${site.domain}` })
      serveWebsite(site, { [HOST_META]: hostMeta(prosodyLinks(site)) })
    },
    problems: (['bosh', 'websocket'] as const).flatMap((service) =>
      onBothAt({ code: 'host_unknown', service, target: 'chat', port: PROSODY_HTTPS }),
    ),
  },
  {
    name: 'bosh-silent',
    title: 'the server for BOSH does not answer inside TLS',
    arrange(site) {
      announce(site, site.serve())
      const pair = site.newAddress()
      site.address('chat', pair)
      const certificate = site.certificate({ names: [`chat.${site.domain}`] })
      site.listen(pair, HTTPS, { kind: 'script', direct: true, certificate, steps: [] })
      serveWebsite(site, {
        [HOST_META]: hostMeta({ bosh: `https://chat.${site.domain}/http-bind` }),
      })
    },
    problems: onBothAt({ code: 'web_failed', service: 'bosh', target: 'chat', port: HTTPS }),
  },
]

/** Domains whose web services have no fault. */
export const HEALTHY_WEB: readonly Fault[] = (['0.12.3', '13.0.1'] as const).map((kind) => ({
  name: `healthy-web-${kind.replaceAll('.', '-')}`,
  title: `BOSH and WebSocket of Prosody ${kind}`,
  arrange(site) {
    serveChat(site, { kind })
    serveWebsite(site, { [HOST_META]: hostMeta(prosodyLinks(site)) })
  },
  problems: [],
}))

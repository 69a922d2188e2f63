import { normalizeHostName } from '../dns/host-name.js'
import type { WebLink, WebLinkService } from './parse-host-meta.js'

/** The announced URLs of one kind at one host and port, which are one endpoint. */
export type AnnouncedService = {
  readonly service: WebLinkService
  readonly target: string
  readonly port: number
  /** Whether one of the URLs has no TLS. */
  readonly isInsecure: boolean
  readonly urls: readonly URL[]
}

/** The number of URLs of one kind that are checked. */
const MAX_URLS = 4

const SCHEMES = {
  bosh: { secure: 'https:', insecure: 'http:' },
  websocket: { secure: 'wss:', insecure: 'ws:' },
} as const

/** Groups the links of a host-meta by their endpoint. `invalid` has a line for each kind with a link that has no usable URL. */
export function readWebLinks(links: readonly WebLink[]): {
  readonly services: readonly AnnouncedService[]
  readonly invalid: readonly string[]
} {
  const services = new Map<string, AnnouncedService>()
  const invalid = new Set<string>()
  for (const kind of ['bosh', 'websocket'] as const) {
    const hrefs = new Set(links.filter(({ service }) => service === kind).map(({ href }) => href))
    for (const href of [...hrefs].slice(0, MAX_URLS)) {
      const found = readHref(kind, href)
      if (!found) {
        invalid.add(`${kind}: ${href}`)
        continue
      }
      const key = `${kind} ${found.target}:${found.port}`
      const { urls = [], isInsecure = false } = services.get(key) ?? {}
      services.set(key, {
        ...found,
        isInsecure: isInsecure || found.isInsecure,
        urls: [...urls, ...found.urls],
      })
    }
  }
  return { services: [...services.values()], invalid: [...invalid] }
}

function readHref(service: WebLinkService, href: string): AnnouncedService | undefined {
  if (!URL.canParse(href)) return undefined
  const url = new URL(href)
  const { secure, insecure } = SCHEMES[service]
  // An IP address has no name that a certificate and the filter for private networks could be applied to.
  const target = normalizeHostName(url.hostname)
  const isKnown = url.protocol === secure || url.protocol === insecure
  if (target === undefined || !isKnown || url.username !== '' || url.password !== '')
    return undefined
  const isInsecure = url.protocol === insecure
  const port = Number(url.port || (isInsecure ? 80 : 443))
  return { service, target, port, isInsecure, urls: [url] }
}

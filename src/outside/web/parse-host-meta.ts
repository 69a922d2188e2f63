import { parseXmlDocument } from './xml-document.js'

/** The kinds of connections that a host-meta announces (XEP-0156 §2). */
export const LINK_RELATIONS = {
  bosh: 'urn:xmpp:alt-connections:xbosh',
  websocket: 'urn:xmpp:alt-connections:websocket',
} as const

export type WebLinkService = keyof typeof LINK_RELATIONS

/** A link in a host-meta to a BOSH or WebSocket service. */
export type WebLink = { readonly service: WebLinkService; readonly href: string }

// OASIS Extensible Resource Descriptor 1.0, the format of RFC 6415 (host-meta).
const NS_XRD = 'http://docs.oasis-open.org/ns/xri/xrd-1.0'

type Link = { readonly rel: unknown; readonly href: unknown }

/** Returns the XMPP links of a host-meta in XML, or undefined if the text is no XRD. */
export function parseXrd(text: string): WebLink[] | undefined {
  const root = parseXmlDocument(text)
  if (root?.is('XRD', NS_XRD) !== true) return undefined
  return selectLinks(
    root.getChildren('Link').map(({ attrs }) => ({ rel: attrs['rel'], href: attrs['href'] })),
  )
}

/** Returns the XMPP links of a host-meta in JSON (RFC 6415 appendix A), or undefined if the text is none. */
export function parseJrd(text: string): WebLink[] | undefined {
  let document: unknown
  try {
    document = JSON.parse(text.replace(/^\uFEFF/, ''))
  } catch {
    return undefined
  }
  if (!isRecord(document)) return undefined
  // `links` may be missing: a JRD can have other members only.
  const { links = [] } = document
  if (!Array.isArray(links) || !links.every(isRecord)) return undefined
  return selectLinks(links.map((link) => ({ rel: link['rel'], href: link['href'] })))
}

function selectLinks(links: readonly Link[]): WebLink[] {
  return (Object.keys(LINK_RELATIONS) as WebLinkService[]).flatMap((service) =>
    links.flatMap(({ rel, href }) =>
      // A link without an address is announced too; its address is invalid.
      rel === LINK_RELATIONS[service]
        ? { service, href: typeof href === 'string' ? href : '' }
        : [],
    ),
  )
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

import { findFamilyAddresses, type AddressOptions } from '../dns/find-addresses.js'
import { normalizeHostName } from '../dns/host-name.js'
import type { AddressFamily } from '../outside-check.js'
import { createHttpsClient, type HttpsResponse } from './https-request.js'
import { parseJrd, parseXrd, type WebLink } from './parse-host-meta.js'
import { createFindings } from './web-check.js'
import {
  addProblem,
  WebFailure,
  withWebConnection,
  type WebFindings,
  type WebOptions,
  type WebTarget,
} from './web-connection.js'

export type HostMetaOptions = AddressOptions &
  WebOptions & {
    /** The address families over which the domain is checked. Default: both. */
    readonly families?: readonly AddressFamily[]
    /** The port of the host-meta. Default: 443. Only tests set it. */
    readonly hostMetaPort?: number
  }

/** What one address of the domain answered. */
export type HostMetaAnswer = {
  readonly findings: WebFindings
  readonly links: readonly WebLink[]
  /** Whether the problems show a broken host-meta, and not only that there is none. */
  readonly isBroken: boolean
  /** Why this address has no host-meta, if its problems do not say it. */
  readonly absence: string
}

/** The two formats of a host-meta (XEP-0156 §4). A domain can have either or both. */
const DOCUMENTS = [
  { path: '/.well-known/host-meta', parse: parseXrd },
  { path: '/.well-known/host-meta.json', parse: parseJrd },
] as const

type HostMetaDocument = (typeof DOCUMENTS)[number]
type Fetched = { readonly document: HostMetaDocument; readonly response: HttpsResponse }

export const HTTPS_PORT = 443
const MAX_REDIRECTS = 3

/** Fetches both formats of the host-meta of a domain from one of its addresses. */
export async function fetchHostMeta(
  domain: string,
  address: string,
  family: AddressFamily,
  options: HostMetaOptions,
): Promise<HostMetaAnswer> {
  const findings = createFindings()
  const { hostMetaPort: port = HTTPS_PORT } = options
  const fetched = await fetchDocuments({ address, host: domain, port }, findings, options)
  const links: WebLink[] = []
  let absence = ''
  let isBroken = false
  for (const { document, response } of fetched) {
    const url = new URL(document.path, `https://${domain}:${port}`)
    const final = await followRedirects(url, response, { address, family }, findings, options)
    const { status, body } = final
    const parsed = isSuccess(final) ? document.parse(body) : undefined
    links.push(...(parsed ?? []))
    if (parsed) continue
    absence = `HTTP ${status}`
    if (status >= 500) addProblem(findings, 'web_status', `HTTP ${status} for ${document.path}`)
    else if (isSuccess(final) && !isHtml(final))
      addProblem(findings, 'host_meta_invalid', document.path)
    else continue
    isBroken = true
  }
  return { findings, links, isBroken, absence }
}

const isSuccess = ({ status }: HttpsResponse): boolean => status >= 200 && status < 300

/** Many websites answer each path with the same page. Such a page is no host-meta, and no broken one either. */
const isHtml = ({ contentType, body }: HttpsResponse): boolean =>
  /html/i.test(contentType) || /^\s*<(?:!doctype\s+html|html)\b/i.test(body)

/** Fetches the documents over one connection, unless the server closes it after the first response. */
async function fetchDocuments(
  target: WebTarget,
  findings: WebFindings,
  options: WebOptions,
): Promise<readonly Fetched[]> {
  const fetched: Fetched[] = []
  const left: HostMetaDocument[] = [...DOCUMENTS]
  let hasProgress = true
  while (hasProgress && left.length > 0) {
    const { length } = fetched
    await withWebConnection(target, findings, options, async (connection) => {
      const client = createHttpsClient(connection, findings)
      do {
        const document = left.shift()!
        const url = new URL(document.path, `https://${target.host}:${target.port}`)
        fetched.push({ document, response: await client.send({ method: 'GET', url }) })
      } while (left.length > 0 && client.isReusable())
    })
    hasProgress = fetched.length > length
  }
  return fetched
}

/** Follows the redirects of a response. Returns the last response. */
async function followRedirects(
  from: URL,
  first: HttpsResponse,
  at: { readonly address: string; readonly family: AddressFamily },
  findings: WebFindings,
  options: HostMetaOptions,
): Promise<HttpsResponse> {
  let url = from
  let response = first
  let { address } = at
  for (let count = 0; count < MAX_REDIRECTS; count++) {
    const next = readRedirect(url, response)
    // A redirect to http: is not followed. Most often, it redirects all paths of a website without a host-meta.
    if (next?.protocol !== 'https:') return response
    if (next.hostname !== url.hostname) {
      const found = await findRedirectAddress(next, at.family, options)
      if (typeof found !== 'string') {
        addProblem(findings, found.code, found.detail)
        return response
      }
      address = found
    }
    url = next
    const answers: HttpsResponse[] = []
    const target = { address, host: url.hostname, port: Number(url.port || HTTPS_PORT) }
    await withWebConnection(target, findings, options, async (connection) => {
      answers.push(await createHttpsClient(connection, findings).send({ method: 'GET', url }))
    })
    const [answer] = answers
    if (!answer) return response
    response = answer
  }
  return response
}

function readRedirect(url: URL, { status, location }: HttpsResponse): URL | undefined {
  const isRedirect = [301, 302, 303, 307, 308].includes(status)
  if (!isRedirect || location === undefined || !URL.canParse(location, url.href)) return undefined
  return new URL(location, url.href)
}

/** Returns an address of the target of a redirect, of the same family if it has one. */
async function findRedirectAddress(
  { hostname }: URL,
  family: AddressFamily,
  options: HostMetaOptions,
): Promise<string | WebFailure> {
  const host = normalizeHostName(hostname)
  if (host === undefined) return new WebFailure('web_failed', `A redirect to ${hostname}.`)
  const families = family === 'ipv4' ? (['ipv4', 'ipv6'] as const) : (['ipv6', 'ipv4'] as const)
  const found = await Promise.all(families.map((each) => findFamilyAddresses(host, each, options)))
  const [address] = found.flatMap(({ addresses }) => addresses)
  if (address !== undefined) return address
  const [problem] = found.flatMap(({ problems }) => problems)
  return new WebFailure(
    problem?.code ?? 'web_failed',
    `A redirect to ${host}, which has no address.`,
  )
}

import { findFamilyAddresses } from '../dns/find-addresses.js'
import {
  ADDRESS_FAMILIES,
  type AddressFamily,
  type Endpoint,
  type EndpointCheck,
  type WebService,
} from '../outside-check.js'
import { isError } from '../problem-severity.js'
import { checkBosh } from './bosh.js'
import { fetchHostMeta, HTTPS_PORT, type HostMetaOptions } from './fetch-host-meta.js'
import { readWebLinks, type AnnouncedService } from './read-web-links.js'
import { chooseCheck, createFindings, toWebCheck } from './web-check.js'
import { addProblem, withWebConnection } from './web-connection.js'
import { checkWebSocket } from './web-socket.js'

/**
 * Fetches the host-meta of a domain (XEP-0156), and checks the BOSH and WebSocket services that it announces. The result
 * is empty if the domain announces none: then no client expects them, and a web server that does not answer is not a
 * problem of XMPP.
 *
 * @throws The reason of `options.signal`, when it is aborted.
 */
export async function checkWeb(
  domain: string,
  options: HostMetaOptions,
): Promise<readonly EndpointCheck[]> {
  const { families = ADDRESS_FAMILIES } = options
  const answers = (
    await Promise.all(families.map((family) => fetchFromFamily(domain, family, options)))
  ).flat()
  const links = answers.flatMap((answer) => answer.links)
  const isAnnounced = links.length > 0
  const { services, invalid } = readWebLinks(links)
  const hostMetaChecks = families.flatMap((family) => {
    const checks = answers.flatMap(({ endpoint, findings, ...answer }) => {
      if (endpoint.family !== family || !(isAnnounced || answer.isBroken)) return []
      const hasReason = answer.links.length > 0 || findings.problems.length > 0
      if (isAnnounced && !hasReason) addProblem(findings, 'web_status', answer.absence)
      for (const detail of invalid) addProblem(findings, 'host_meta_invalid', detail)
      return toWebCheck(endpoint, findings)
    })
    return chooseCheck(checks) ?? []
  })
  const announcedOver = hostMetaChecks.map(({ endpoint }) => endpoint.family)
  const checks = await Promise.all(
    services.map((service) => checkService(domain, service, announcedOver, options)),
  )
  return [...hostMetaChecks, ...checks.flat()]
}

/** Fetches the host-meta from each address of a family. */
async function fetchFromFamily(domain: string, family: AddressFamily, options: HostMetaOptions) {
  const { addresses } = await findFamilyAddresses(domain, family, options)
  const endpoint: Endpoint<WebService> = {
    ...{ domain, service: 'host-meta', target: domain, port: options.hostMetaPort ?? HTTPS_PORT },
    ...{ family, addresses },
  }
  const answers = []
  for (const address of addresses)
    answers.push({ ...(await fetchHostMeta(domain, address, family, options)), endpoint })
  return answers
}

/** Checks an announced service over each address family of its host. */
async function checkService(
  domain: string,
  announced: AnnouncedService,
  announcedOver: readonly AddressFamily[],
  options: HostMetaOptions,
): Promise<readonly EndpointCheck[]> {
  const { service, target, port } = announced
  const { families = ADDRESS_FAMILIES } = options
  const toEndpoint = (family: AddressFamily, addresses: readonly string[]) => ({
    ...{ domain, service, target, port },
    ...{ family, addresses },
  })
  if (announced.isInsecure) {
    return announcedOver.map((family) => {
      const findings = createFindings()
      addProblem(findings, 'web_insecure', announced.urls[0]?.href)
      return toWebCheck(toEndpoint(family, []), findings)
    })
  }
  const found = await Promise.all(
    families.map(async (family) => ({
      family,
      ...(await findFamilyAddresses(target, family, options)),
    })),
  )
  const checks = await Promise.all(
    found.map(async ({ family, addresses, problems }) => {
      const endpoint = toEndpoint(family, addresses)
      if (addresses.length > 0) return await checkAddresses(endpoint, announced.urls, options)
      const findings = createFindings()
      findings.problems.push(...problems)
      return problems.some(({ code }) => isError(code)) ? toWebCheck(endpoint, findings) : undefined
    }),
  )
  const existing = checks.filter((check) => check !== undefined)
  if (existing.length > 0) return existing
  const findings = createFindings()
  addProblem(findings, 'web_failed', `${target} has no address.`)
  return [toWebCheck(toEndpoint(announcedOver[0] ?? 'ipv4', []), findings)]
}

/** Checks each address with each URL, one connection after the other. */
async function checkAddresses(
  endpoint: Endpoint<'bosh' | 'websocket'>,
  urls: readonly URL[],
  options: HostMetaOptions,
): Promise<EndpointCheck | undefined> {
  const { domain, service, target: host, port } = endpoint
  const check = service === 'bosh' ? checkBosh : checkWebSocket
  const checks: EndpointCheck[] = []
  for (const address of endpoint.addresses) {
    for (const url of urls) {
      const findings = createFindings()
      await withWebConnection({ address, host, port }, findings, options, (connection) =>
        check(domain, url, connection, findings),
      )
      checks.push(toWebCheck(endpoint, findings))
    }
  }
  return chooseCheck(checks)
}

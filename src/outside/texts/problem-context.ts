import { isIP } from 'node:net'
import { formatFamily, type Problem, type SrvService } from '../outside-check.js'
import type { ProblemCode } from '../problem-severity.js'

/** What the texts of a problem name. */
export type ProblemContext = {
  readonly domain: string
  /** The SRV service of the problem. If the problem has none, that of clients. */
  readonly service: SrvService
  /** The host name of the target. The domain, if the problem has no target, or one that is not a host name. */
  readonly host: string
  readonly port: number
  readonly family: 'IPv4' | 'IPv6' | undefined
  /** The endpoint in words, for example `port 5222 of xmpp.example.org over IPv6`. */
  readonly place: string
  /** The name that was looked up in DNS, in words. */
  readonly lookup: string
  /** The name of the SRV record, for example `_xmpp-client._tcp.example.org`. */
  readonly recordName: string
  /** An SRV record in zone-file form, with the port of the problem. */
  readonly record: string
  /** An SRV record in zone-file form, with the usual port. */
  readonly usualRecord: string
  /** The programs that use the service: `clients` or `other servers`. */
  readonly users: string
  /** The prefix of options in prosody.cfg.lua. */
  readonly side: 'c2s' | 's2s'
  /** The option of prosody.cfg.lua that lists the port. */
  readonly portsOption: string
  /** The command that installs a certificate. */
  readonly importCommand: string
  /** The name of a web service. `undefined` for an SRV service. */
  readonly web: 'host-meta' | 'BOSH' | 'WebSocket' | undefined
}

/** The sentences about one problem. `describeProblem` adds the detail to the cause. */
export type ProblemText = {
  readonly cause: (context: ProblemContext) => string
  readonly remedy: (context: ProblemContext) => string
  /** The detail is a private address, which must not leave the machine. */
  readonly hidesDetail?: true
}

export type ProblemTexts = Readonly<Partial<Record<ProblemCode, ProblemText>>>

/** RFC 6120 §3.2.1 and §14.7. Direct TLS has no port of its own; 5223 and 5270 are in common use. */
const USUAL_PORTS: Readonly<Record<SrvService, number>> = {
  'xmpp-client': 5222,
  'xmpps-client': 5223,
  'xmpp-server': 5269,
  'xmpps-server': 5270,
}

/** The options of Prosody 0.12 and 13.0. Prosody 0.11 has only `legacy_ssl_ports` for direct TLS. */
const PORTS_OPTIONS: Readonly<Record<SrvService, string>> = {
  'xmpp-client': 'c2s_ports',
  'xmpps-client': 'c2s_direct_tls_ports',
  'xmpp-server': 's2s_ports',
  'xmpps-server': 's2s_direct_tls_ports',
}

const WEB_NAMES = { 'host-meta': 'host-meta', bosh: 'BOSH', websocket: 'WebSocket' } as const

const HTTPS_PORT = 443

const HOST_NAME = /^[\w-]+(?:\.[\w-]+)*$/

export function createProblemContext(problem: Problem, domain: string): ProblemContext {
  const { family: problemFamily } = problem
  const web = isWebService(problem.service) ? WEB_NAMES[problem.service] : undefined
  const service = isWebService(problem.service) ? 'xmpp-client' : (problem.service ?? 'xmpp-client')
  const usualPort = USUAL_PORTS[service]
  const [, name = problem.target ?? '', portText] = /^(.*):(\d+)$/.exec(problem.target ?? '') ?? []
  const host = HOST_NAME.test(name) && isIP(name) === 0 ? name : domain
  const port = portText === undefined ? (web ? HTTPS_PORT : usualPort) : Number(portText)
  const family = problemFamily === undefined ? undefined : formatFamily(problemFamily)
  const recordName = `_${service}._tcp.${domain}`
  const formatRecord = (port: number) => `${recordName}. 3600 IN SRV 5 0 ${port} ${host}.`
  const side = service.endsWith('client') ? 'c2s' : 's2s'
  return {
    ...{ domain, service, host, port, family, web, side, recordName },
    place: `port ${port} of ${host}${family === undefined ? '' : ` over ${family}`}`,
    lookup:
      problem.target !== undefined || problem.service === undefined || web
        ? `the addresses of ${host}`
        : `the SRV records ${recordName}`,
    record: formatRecord(port === 0 ? usualPort : port),
    usualRecord: formatRecord(usualPort),
    users: side === 'c2s' ? 'clients' : 'other servers',
    portsOption: PORTS_OPTIONS[service],
    importCommand: `"prosodyctl --root cert import ${domain} /etc/letsencrypt/live"`,
  }
}

function isWebService(service: Problem['service']): service is keyof typeof WEB_NAMES {
  return service !== undefined && Object.hasOwn(WEB_NAMES, service)
}

/** Returns the text with a capital letter at its start. */
export const capitalize = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1)

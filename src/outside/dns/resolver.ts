import { promises, type SrvRecord } from 'node:dns'
import { realTime, type Schedule } from '../../xmpp/schedule.js'
import type { AddressFamily } from '../outside-check.js'

/**
 * `no_data`: the name exists, but has no record of this type. `not_found`: the name does not exist (NXDOMAIN).
 * `failed`: the DNS server returned an error. `timeout`: no DNS server answered.
 */
export type DnsState = 'found' | 'no_data' | 'not_found' | 'failed' | 'timeout'

export type DnsAnswer<DnsData> = {
  readonly state: DnsState
  /** Empty unless `state` is `found`. */
  readonly records: readonly DnsData[]
  /** How long the DNS server needed for this answer, without the time of servers that did not answer. */
  readonly seconds: number
  /** The name of the error, for example `SERVFAIL`. */
  readonly detail?: string
}

/** Looks up names for one check of a domain. Each name and type is requested only once. No function rejects. */
export type Resolver = {
  srv(name: string): Promise<DnsAnswer<SrvRecord>>
  /** The A or AAAA records of a name. If the name is an alias (CNAME), those at its end. */
  addresses(name: string, family: AddressFamily): Promise<DnsAnswer<string>>
  /** The target of the CNAME record of a name. */
  alias(name: string): Promise<DnsAnswer<string>>
  /** Cancels all pending lookups. Their state becomes `failed`. */
  readonly close: () => void
}

export type ResolverOptions = {
  /** For example `192.0.2.1`, `192.0.2.1:53` or `[2001:db8::1]:53`. By default, the DNS servers of the system. */
  readonly nameServers?: readonly string[]
  /** For each DNS server. */
  readonly timeoutMs: number
  readonly schedule?: Schedule
  /** Returns the time of a monotonic clock in milliseconds. */
  readonly now?: () => number
}

type Query<DnsData> = (channel: promises.Resolver) => Promise<DnsData[]>

/** c-ares must not time out before this file does, because its timer cannot be replaced in tests. */
const NEVER_MS = 24 * 60 * 60 * 1000

/**
 * Creates a resolver that asks one DNS server after the other until one of them knows the answer.
 *
 * Each request has its own channel of c-ares with one server. With several servers, c-ares hides which error occurred,
 * and the only way to cancel a request is to cancel all requests of its channel.
 */
export function createResolver(options: ResolverOptions): Resolver {
  const { timeoutMs, schedule = realTime, now = () => performance.now() } = options
  const servers = getServers(options.nameServers)
  const silent = new Set<string>()
  const answers = new Map<string, Promise<DnsAnswer<unknown>>>()
  const pending = new Set<(answer: DnsAnswer<never>) => void>()
  let isClosed = false

  /** Sends a request to one server, and repeats it once, because a UDP packet can be lost. */
  function askServer<DnsData>(server: string, query: Query<DnsData>): Promise<DnsAnswer<DnsData>> {
    return new Promise((resolve) => {
      const channels: promises.Resolver[] = []
      const finish = (answer: DnsAnswer<DnsData>): void => {
        pending.delete(finish)
        cancelTimers.forEach((cancel) => {
          cancel()
        })
        channels.forEach((channel) => {
          channel.cancel()
        })
        resolve(answer)
      }
      const send = (): void => {
        const startedAtMs = now()
        const getSeconds = () => (now() - startedAtMs) / 1000
        const channel = new promises.Resolver({ timeout: NEVER_MS, tries: 1 })
        channel.setServers([server])
        channels.push(channel)
        query(channel).then(
          (records) => {
            // An answer can have aliases alone.
            const state = records.length > 0 ? 'found' : 'no_data'
            finish({ state, records, seconds: getSeconds() })
          },
          (error: unknown) => {
            finish({ ...readError(error), records: [], seconds: getSeconds() })
          },
        )
      }
      const cancelTimers = [
        schedule(timeoutMs / 2, send),
        schedule(timeoutMs, () => {
          finish({ state: 'timeout', records: [], seconds: timeoutMs / 1000 })
        }),
      ]
      pending.add(finish)
      send()
    })
  }

  async function askServers<DnsData>(query: Query<DnsData>): Promise<DnsAnswer<DnsData>> {
    let failure: DnsAnswer<DnsData> = NO_SERVER
    // A server that did not answer an earlier request is asked last.
    for (const server of sortBy(servers, (each) => silent.has(each))) {
      if (isClosed) return CLOSED
      const answer = await askServer(server, query)
      if (answer.state === 'timeout') silent.add(server)
      if (answer.state !== 'timeout' && answer.state !== 'failed') return answer
      // An error says more than silence.
      if (failure.state === 'timeout') failure = answer
    }
    return failure
  }

  function lookUp<DnsData>(key: string, query: Query<DnsData>): Promise<DnsAnswer<DnsData>> {
    const known = answers.get(key) as Promise<DnsAnswer<DnsData>> | undefined
    const answer = known ?? askServers(query)
    answers.set(key, answer)
    return answer
  }

  return {
    srv: (name) => lookUp(`SRV ${name}`, (channel) => channel.resolveSrv(name)),
    addresses: (name, family) =>
      family === 'ipv4'
        ? lookUp(`A ${name}`, (channel) => channel.resolve4(name))
        : lookUp(`AAAA ${name}`, (channel) => channel.resolve6(name)),
    alias: (name) => lookUp(`CNAME ${name}`, (channel) => channel.resolveCname(name)),
    close() {
      isClosed = true
      for (const finish of [...pending]) finish(CLOSED)
    },
  }
}

const NO_SERVER = { state: 'timeout', records: [], seconds: 0, detail: 'no DNS server' } as const
const CLOSED = { state: 'failed', records: [], seconds: 0, detail: 'canceled' } as const

function getServers(configured: readonly string[] = []): readonly string[] {
  return configured.length > 0 ? configured : new promises.Resolver().getServers()
}

/** Reads an error of c-ares. @see https://nodejs.org/api/dns.html#error-codes */
function readError(error: unknown): Pick<DnsAnswer<never>, 'state' | 'detail'> {
  const { code = 'unknown error' } = error as { code?: string }
  if (code === 'ENODATA') return { state: 'no_data' }
  if (code === 'ENOTFOUND') return { state: 'not_found' }
  if (code === 'ETIMEOUT') return { state: 'timeout' }
  // Nothing listens on the port of the server.
  if (code === 'ECONNREFUSED') return { state: 'timeout', detail: code }
  return { state: 'failed', detail: code.replace(/^E(?=[A-Z])/, '') }
}

/** Returns the items for which `isLast` is false, and then the others. */
function sortBy<T>(items: readonly T[], isLast: (item: T) => boolean): T[] {
  return [...items.filter((item) => !isLast(item)), ...items.filter(isLast)]
}

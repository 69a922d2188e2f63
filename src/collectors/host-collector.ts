import type { Documented } from '../catalogue/index.js'
import { LinkError } from '../errors.js'
import { family, type Family, type Sample } from '../metrics/family.js'
import { requestForm, runCommand, type CommandResult } from '../xmpp/ad-hoc-command.js'
import type { Connection } from '../xmpp/connection.js'
import { submitForm, type DataForm } from '../xmpp/data-form.js'
import { NS_ADMIN } from '../xmpp/namespaces.js'
import type { Element } from '../xmpp/xml.js'
import type { Collected, Collector } from './collector.js'
import type { Host } from './describe-host.js'
import { hasAnswered } from './failure.js'
import type { Hosts } from './hosts.js'
import { createSilentHosts, timeLeft } from './silent-hosts.js'

/** Reads the samples of one collector from a host. The collector does this for each host that supports the request. */
export type HostSource = {
  /**
   * Whether the values stay the same as long as nobody changes the configuration of the host. If so, the collector
   * caches them until the next search for hosts. Default: false.
   */
  readonly isSteady?: boolean
  /**
   * For how many milliseconds the collector uses the samples of a host again, instead of a new request. The next search
   * for hosts ends this time early. Default: 0. Use it for values that change rarely, and whose request is expensive.
   */
  readonly maxAgeMs?: number
  appliesTo(host: Host): boolean
  /** @throws The errors of `Ask`, or CollectorError. The samples of the other hosts are still exported. */
  read(host: Host, ask: Ask): Promise<readonly HostSample[]>
}

/** A sample of one host, without the label `host`. `createHostCollector` adds this label. */
export type HostSample = {
  readonly family: string
  readonly value: number
  readonly labels?: Readonly<Record<string, string>>
}

/** Functions that send requests to one host. A request fails when the time for the collection is over. */
export type Ask = {
  /** Sends an iq stanza of type `get` with this child element, and returns the reply. */
  iq(child: Element): Promise<Element>
  /**
   * Runs an ad-hoc command on the host.
   *
   * @param form The fields of a form in the first request, for a command that accepts a form there. Without this
   *   argument, the request has no form.
   * @param formType The FORM_TYPE of the form, or null for a form without FORM_TYPE. Default: the FORM_TYPE of
   *   XEP-0133.
   */
  command(
    node: string,
    form?: Readonly<Record<string, string>>,
    formType?: string | null,
  ): Promise<CommandResult>
  /** Returns the form for which an ad-hoc command of the host asks, or undefined if it asks for none. */
  form(node: string): Promise<DataForm | undefined>
}

// The longest time that a collection waits for a host. A scrape waits for the slowest host, so a host that hangs
// delays the samples of all other hosts.
const MAX_TIMEOUT_MS = 3000

type HostReading = HostSample & { readonly host: string }

/**
 * Creates a collector that queries all hosts to which the source applies, concurrently. If a host does not answer or
 * answers with an error, the collection counts as failed, and returns the samples of the other hosts.
 */
export function createHostCollector(
  connection: Pick<Connection, 'request' | 'isConnected' | 'connects'>,
  hosts: Hosts,
  { name, families }: { readonly name: string; readonly families: readonly Documented[] },
  source: HostSource,
  now: () => number = () => performance.now(),
): Collector {
  // The cached samples of each host, and the time when they expire. The next search for hosts clears the cache.
  let cache = new Map<
    string,
    { readonly readings: readonly HostReading[]; readonly untilMs: number }
  >()
  const maxAgeMs = source.isSteady === true ? Infinity : (source.maxAgeMs ?? 0)
  let cachedHosts: readonly Host[] | undefined
  const silentHosts = createSilentHosts(() => connection.connects(), now)

  async function readHost(
    host: Host,
    list: readonly Host[],
    left: () => number,
    counted: ReplyCounter['counted'],
  ): Promise<readonly HostReading[]> {
    const cached = cache.get(host.jid)
    if (cached && now() < cached.untilMs) return cached.readings
    const untilMs = now() + maxAgeMs
    const readings = await silentHosts.read(host.jid, left, async (left) => {
      const samples = await source.read(host, createAsk(connection, host, left, counted))
      return samples.map((sample) => ({ host: host.jid, ...sample }))
    })
    if (maxAgeMs > 0 && cachedHosts === list) cache.set(host.jid, { readings, untilMs })
    return readings
  }

  return {
    name,

    async collect({ timeoutMs }) {
      const left = timeLeft(now, Math.min(timeoutMs, MAX_TIMEOUT_MS))
      if (!connection.isConnected()) throw new LinkError('not connected to the server')
      // If the hosts are known, there is no `await` before the requests. So all collectors send their requests in the
      // order in which they start.
      const list = hosts.known() ?? (await hosts.list(left()))
      if (cachedHosts !== list) cache = new Map()
      cachedHosts = list
      const replies = countReplies()
      const results = await Promise.allSettled(
        list
          .filter((host) => source.appliesTo(host))
          .map((host) => readHost(host, list, left, replies.counted)),
      )
      return toCollected(families, results, replies.count())
    },
  }
}

/**
 * Builds the result of a collection from the results of the hosts.
 *
 * @param replies How many requests of the collection the server answered. An error stanza is an answer.
 * @throws The first failure, if it is a time-out or a lost stream and the server answered no request of the collection.
 */
function toCollected(
  families: readonly Documented[],
  results: readonly PromiseSettledResult<readonly HostReading[]>[],
  replies: number,
): Collected {
  const failed = results.find((result) => result.status === 'rejected')
  const readings = results.flatMap((result) => (result.status === 'fulfilled' ? result.value : []))
  if (failed && replies === 0 && !hasAnswered(failed.reason)) throw failed.reason
  return {
    families: families
      .map((documented) => toFamily(documented, readings))
      .filter(({ length }) => length > 0),
    invalid: new Map(),
    isFromCache: replies === 0,
    isIdle: readings.length === 0 && !failed,
    ...(failed && { failure: failed.reason as unknown }),
  }
}

type ReplyCounter = ReturnType<typeof countReplies>

function countReplies() {
  let count = 0
  return {
    count: () => count,
    /** Waits for a reply and counts it. An error stanza of the server counts as a reply. */
    counted: async <T>(reply: Promise<T>): Promise<T> => {
      try {
        const result = await reply
        count++
        return result
      } catch (error) {
        if (hasAnswered(error)) count++
        throw error
      }
    },
  }
}

function createAsk(
  connection: Pick<Connection, 'request'>,
  { jid }: Host,
  left: () => number,
  counted: ReplyCounter['counted'],
): Ask {
  return {
    iq: (child) => counted(connection.request('get', child, { to: jid, timeoutMs: left() })),
    command: (node, form, formType = NS_ADMIN) =>
      counted(
        runCommand(connection, node, {
          to: jid,
          timeoutMs: left(),
          ...(form && { payload: submitForm(formType, form) }),
        }),
      ),
    form: (node) => counted(requestForm(connection, node, { to: jid, timeoutMs: left() })),
  }
}

function toFamily({ name, meaning }: Documented, readings: readonly HostReading[]): Family {
  const samples = readings
    .filter((reading) => reading.family === name)
    .map(({ host, labels, value }): Sample => ({ labels: { host, ...labels }, value }))
  return family('gauge', name, meaning, samples)
}

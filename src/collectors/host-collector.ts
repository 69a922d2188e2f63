import { LinkError } from '../errors.js'
import { family, type Family, type Sample } from '../metrics/family.js'
import { runCommand, type CommandResult } from '../xmpp/ad-hoc-command.js'
import type { Connection } from '../xmpp/connection.js'
import { submitForm } from '../xmpp/data-form.js'
import { NS_ADMIN } from '../xmpp/namespaces.js'
import type { Element } from '../xmpp/stream.js'
import type { Collector } from './collector.js'
import { hasAnswered } from './failure.js'
import type { Host, Hosts } from './hosts.js'
import { createSilentHosts, timeLeft } from './silent-hosts.js'

/** A question that is put to each host that can answer it; one file each beside this one. */
export type HostSource = {
  /** Of the collector: `--collector.NAME`. */
  readonly name: string
  /** What it tells changes with the host's configuration only, and is asked for as often as that. */
  readonly isSteady?: boolean
  readonly families: readonly HostFamily[]
  appliesTo(host: Host): boolean
  /** @throws What `Ask` throws, or CollectorError; it concerns this host alone. */
  read(host: Host, ask: Ask): Promise<readonly HostSample[]>
}

export type HostFamily = { readonly name: string; readonly help: string }

/** A sample of one of the source's families, without the label `host`, which is added. */
export type HostSample = {
  readonly family: string
  readonly value: number
  readonly labels?: Readonly<Record<string, string>>
}

/** Puts questions to one host within the collection's time. */
export type Ask = {
  /** An iq of type `get` with that child; its reply. */
  iq(child: Element): Promise<Element>
  /** An ad-hoc command, with a form sent along where it takes one at once. Default: of XEP-0133. */
  command(
    node: string,
    form?: Readonly<Record<string, string>>,
    formType?: string | null,
  ): Promise<CommandResult>
}

// A scrape waits for the slowest of all: a host that hangs must not make it late for the others.
const MAX_TIMEOUT_MS = 3000

/**
 * A collector that asks all hosts at once. What some of them did not answer is missing, and makes the
 * collection a failure that still has the rest.
 */
export function createHostCollector(
  connection: Pick<Connection, 'request' | 'isConnected' | 'connects'>,
  hosts: Hosts,
  source: HostSource,
  now: () => number = () => performance.now(),
): Collector {
  // What steady sources told of each host, for as long as the same hosts are known.
  let kept = new Map<string, readonly HostReading[]>()
  let keptOf: readonly Host[] | undefined
  const silent = createSilentHosts(() => connection.connects(), now)

  return {
    name: source.name,

    async collect({ timeoutMs }) {
      const left = timeLeft(now, Math.min(timeoutMs, MAX_TIMEOUT_MS))
      if (!connection.isConnected()) throw new LinkError('no stream to the server')
      // No `await` where it isn't needed: the order of the collectors is that of their questions.
      const all = hosts.known() ?? (await hosts.list(left()))
      if (keptOf !== all) kept = new Map()
      keptOf = all
      let answers = 0
      const counted = async <T>(reply: Promise<T>): Promise<T> => {
        try {
          const answer = await reply
          answers++
          return answer
        } catch (error) {
          if (hasAnswered(error)) answers++
          throw error
        }
      }
      const read = async (host: Host): Promise<readonly HostReading[]> => {
        const known = kept.get(host.jid)
        if (known) return known
        const told = await silent.read(host.jid, left, async (left) => {
          const readings = await source.read(host, createAsk(connection, host, left, counted))
          return readings.map((reading) => ({ host: host.jid, ...reading }))
        })
        if (source.isSteady === true && keptOf === all) kept.set(host.jid, told)
        return told
      }
      const results = await Promise.allSettled(
        all.filter((host) => source.appliesTo(host)).map(read),
      )
      const failed = results.find((result) => result.status === 'rejected')
      const told = results.flatMap((result) => (result.status === 'fulfilled' ? result.value : []))
      if (failed && answers === 0 && !hasAnswered(failed.reason)) throw failed.reason
      return {
        families: source.families
          .map((meta) => toFamily(meta, told))
          .filter(({ length }) => length > 0),
        invalid: new Map(),
        isFromCache: answers === 0,
        isIdle: told.length === 0 && !failed,
        ...(failed && { failure: failed.reason as unknown }),
      }
    },
  }
}

/** @param counted Told of each reply as it comes. */
function createAsk(
  connection: Pick<Connection, 'request'>,
  { jid }: Host,
  left: () => number,
  counted: <T>(reply: Promise<T>) => Promise<T>,
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
  }
}

type HostReading = HostSample & { readonly host: string }

function toFamily({ name, help }: HostFamily, readings: readonly HostReading[]): Family {
  const samples = readings
    .filter((reading) => reading.family === name)
    .map(({ host, labels, value }): Sample => ({ labels: { host, ...labels }, value }))
  return family('gauge', name, help, samples)
}

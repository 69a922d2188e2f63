import { createExposition, render } from '../exposition/exposition.js'
import type { ScrapeSource } from '../http/routes.js'
import type { Family } from '../metrics/family.js'
import { settleWithin } from '../scrape/settle-within.js'
import type { Snapshot } from '../scrape/snapshot.js'
import { normalizeHostName } from './dns/host-name.js'
import {
  formatTarget,
  type DomainCheck,
  type EndpointCheck,
  type Problem,
} from './outside-check.js'
import {
  createCheckSeries,
  createLabelSeries,
  createPartialSeries,
  joinSeries,
  type DomainSeries,
} from './outside-families.js'
import type { Rounds } from './rounds.js'

/** Responds to requests at `/probe?module=outside`. */
export type OutsideProbe = {
  /** Returns the names that `target` can have. */
  readonly names: () => readonly string[]
  /** Returns the source of the metrics of a domain; `undefined` if the domain is not configured. */
  readonly find: (domain: string) => ScrapeSource<Snapshot> | undefined
  /** Returns the conversations of a check, and its metrics, as text for people. The domain must be configured. */
  readonly debug: (domain: string, waitMs: number) => Promise<string>
}

export type OutsideProbeOptions = {
  readonly domains: () => readonly string[]
  readonly rounds: Pick<Rounds<DomainCheck>, 'checkNow' | 'getLast'>
  /** Returns the endpoints that a running check has checked. */
  readonly getProgress: (domain: string) => readonly EndpointCheck[]
  /** Returns the time in monotonic milliseconds. */
  readonly now: () => number
}

// Several Prometheus servers that probe a domain cause one check.
const REUSE_MS = 30_000

type ProbeResult = {
  /** `undefined` if no result is known. */
  readonly check: DomainCheck | undefined
  /** Whether the check ended in time. If not, `check` is the previous result. */
  readonly isFinished: boolean
}

export function createOutsideProbe(options: OutsideProbeOptions): OutsideProbe {
  const { domains, rounds, getProgress, now } = options
  // The limit of concurrent requests belongs to the source, so that each domain needs a source of its own.
  const sources = new Map<string, ScrapeSource<Snapshot>>()

  async function probe(domain: string, waitMs: number): Promise<ProbeResult> {
    const last = rounds.getLast(domain)
    if (last && now() - last.endedAtMs < REUSE_MS) return { check: last.result, isFinished: true }
    return checkWithin(domain, waitMs)
  }

  /** Runs a check, or joins the one that runs. */
  async function checkWithin(domain: string, waitMs: number): Promise<ProbeResult> {
    const checkNow = async () => {
      const check = await rounds.checkNow(domain)
      return check ? { check, isFinished: true } : getPrevious(domain)
    }
    return settleWithin(waitMs, checkNow(), () => getPrevious(domain))
  }

  function getPrevious(domain: string): ProbeResult {
    const last = rounds.getLast(domain)
    const isRecent = last !== undefined && now() < last.expiresAtMs
    return { check: isRecent ? last.result : undefined, isFinished: false }
  }

  function createFamilies(domain: string, { check, isFinished }: ProbeResult): readonly Family[] {
    const result: DomainSeries = check
      ? createCheckSeries(check)
      : createPartialSeries(getProgress(domain))
    const finished = [[domain, Number(isFinished)]] as const
    const state = createLabelSeries('xmpp_domain_check_finished', 'host', finished)
    return joinSeries([result, state])
  }

  function createSource(domain: string): ScrapeSource<Snapshot> {
    const source: ScrapeSource<Snapshot> = {
      collectors: [],
      scrape: async (waitMs) => createSnapshot(createFamilies(domain, await probe(domain, waitMs))),
    }
    sources.set(domain, source)
    return source
  }

  return {
    names: domains,
    find(target) {
      const domain = toDomain(target)
      if (domains().includes(domain)) return sources.get(domain) ?? createSource(domain)
      sources.delete(domain)
      return undefined
    },
    async debug(target, waitMs) {
      const domain = toDomain(target)
      // Results are stored without their conversations.
      const result = await checkWithin(domain, waitMs)
      const endpoints = result.check?.endpoints ?? getProgress(domain)
      const families = createFamilies(domain, result)
      return [
        formatHeader(domain, result),
        ...(result.check?.problems ?? []).map(formatProblem),
        ...endpoints.flatMap(formatEndpoint),
        '',
        Buffer.from(render(families, 'text', { created: false }))
          .toString()
          .trimEnd(),
      ].join('\n')
    },
  }
}

const toDomain = (target: string) => normalizeHostName(target) ?? ''

function createSnapshot(families: readonly Family[]): Snapshot {
  return {
    // The state of the monitored servers, to which --web.fail-when-down refers, is not part of it.
    isUp: true,
    families,
    exposition: createExposition(families, { created: false }),
    filterByCollectors: () => families,
  }
}

function formatHeader(domain: string, { check, isFinished }: ProbeResult): string {
  if (!check) return `# ${domain}: the check has not ended. These endpoints were checked:`
  const endedAt = new Date(check.endedAtSeconds * 1000).toISOString()
  const seconds = (check.endedAtSeconds - check.startedAtSeconds).toFixed(1)
  const prefix = isFinished ? '' : 'the check has not ended. The previous '
  return `# ${domain}: ${prefix}check ended at ${endedAt} after ${seconds} s`
}

function formatEndpoint({ endpoint, isUp, problems, transcript }: EndpointCheck): string[] {
  const { service, family } = endpoint
  return [
    '',
    `# ${service} ${formatTarget(endpoint)} ${family}: ${isUp ? 'up' : 'down'}`,
    ...problems.map(formatProblem),
    ...transcript.map(cleanLine),
  ]
}

function formatProblem({ code, service, target, family, detail }: Problem): string {
  const where = [service, target, family].filter((part) => part !== undefined).join(' ')
  return `# problem: ${[code, where, detail && cleanLine(detail)].filter(Boolean).join(' ')}`
}

/** The text comes from the network, and people read it in a terminal. */
const cleanLine = (text: string) => text.replace(/\p{C}/gu, '\u{FFFD}')

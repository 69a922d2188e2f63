import { isDeepStrictEqual } from 'node:util'
import type { OutsideConfig } from '../config/read-config.js'
import type { Log } from '../log/log.js'
import type { Family } from '../metrics/family.js'
import type { MonitoredServer } from '../servers/monitored-server.js'
import { realTime, type Schedule } from '../xmpp/schedule.js'
import { createConfiguredCheck, type ConfiguredCheck } from './configured-check.js'
import { createDomainLog } from './domain-log.js'
import { createDomainSides, type DomainSides } from './domain-sides.js'
import { createLoadedStore } from './loaded-store.js'
import type { DomainCheck, EndpointCheck } from './outside-check.js'
import {
  createCheckSeries,
  createOutdatedSeries,
  joinSeries,
  type DomainSeries,
} from './outside-families.js'
import { createOutsideProbe, type OutsideProbe } from './outside-probe.js'
import { createRemotePings } from './remote-pings.js'
import { createRounds, type Rounds } from './rounds.js'

/** The part of the exporter that checks domains from outside. */
export type Outside = {
  /** Called at the start, and after each reload of the configuration. */
  readonly applyConfig: () => void
  /** Called after each login at a server that succeeded. */
  readonly onOnline: (server: string) => void
  /** Called with the families of each collection from an XMPP server. */
  readonly onCollection: (server: string, families: readonly Family[]) => void
  readonly getFamilies: () => readonly Family[]
  /** Returns the last result of each domain, in the order of the configuration. A domain without a recent result is missing. */
  readonly getChecks: () => readonly DomainCheck[]
  readonly probe: OutsideProbe
  readonly stop: () => void
  readonly close: () => Promise<void>
}

export type OutsideOptions = {
  /** Returns the current configuration. A reload replaces it; `undefined` turns the checks off. */
  readonly config: () => OutsideConfig | undefined
  readonly log: Log
  readonly findServer: (name: string) => MonitoredServer | undefined
  /** Returns the names of all servers in the configuration. */
  readonly serverNames: () => readonly string[]
  /** Called when a check has a new result. */
  readonly onChange: () => void
  /** A file with additional trusted certificates, from NODE_EXTRA_CA_CERTS. */
  readonly extraCaFile: string | undefined
  /** Tests replace the check, and the clock. */
  readonly check?: ConfiguredCheck
  readonly now?: () => number
  readonly schedule?: Schedule
}

// A collection for the certificates of a server ends after this time at the latest.
const COLLECT_MS = 5000

export function createOutside(options: OutsideOptions): Outside {
  const { config, log, findServer, onChange } = options
  const { now = () => performance.now(), schedule = realTime } = options
  const getSides = createDomainSides()
  const { check = createConfiguredCheck({ ...options, now, getSides }) } = options
  const domains = () => [...getSides(config()).keys()]
  const loaded = createLoadedStore({
    serverNames: options.serverNames,
    collect: async (server) => findServer(server)?.scraper.collectNow(COLLECT_MS),
    now,
  })
  const domainLog = createDomainLog(log, now)
  const checks = createDomainChecks({ config, check, loaded })
  const rounds = createRounds<DomainCheck>({
    check: checks.run,
    hasReached: ({ endpoints }) => endpoints.some(({ seconds }) => seconds.tcp !== undefined),
    toStored: dropTranscripts,
    onResult(_, result) {
      if (result) domainLog.report(result)
      results.invalidate()
      onChange()
    },
    ...{ log, now, schedule },
  })
  const results = createResults({ domains, rounds, now })
  const pings = createRemotePings({
    ...{ config, log, now, schedule },
    findConnection: (name) => findServer(name)?.connection,
    onChange: () => {
      results.invalidate()
      onChange()
    },
  })
  let applied: OutsideConfig | undefined

  return {
    applyConfig() {
      const next = config()
      const isChanged =
        applied !== undefined &&
        (!isDeepStrictEqual(toSettings(next), toSettings(applied)) ||
          hasMoved(getSides(next), getSides(applied)))
      applied = next
      rounds.apply(domains(), next?.intervalMs ?? 0, isChanged)
      domainLog.retain(new Set(domains()))
      pings.applyConfig()
      results.invalidate()
    },
    onOnline(server) {
      pings.onOnline(server)
    },
    onCollection(server, families) {
      loaded.onCollection(server, families)
    },
    getFamilies: () => (config()?.intervalMs ? results.getFamilies(pings.getSeries) : []),
    getChecks: results.getChecks,
    probe: createOutsideProbe({ domains, rounds, getProgress: checks.getProgress, now }),
    stop() {
      rounds.stop()
      pings.stop()
    },
    async close() {
      await Promise.all([rounds.close(), pings.close()])
    },
  }
}

/** The conversations of a thousand domains would need many megabytes, and only `debug=true` shows them. */
function dropTranscripts(check: DomainCheck): DomainCheck {
  const endpoints = check.endpoints.map((each) => ({ ...each, transcript: [] }))
  return { ...check, endpoints }
}

/** Whether a domain has moved to another list. */
const hasMoved = (next: DomainSides, last: DomainSides): boolean =>
  [...last].some(([domain, sides]) => (next.get(domain) ?? sides) !== sides)

/** Returns the settings that change what the checks of all domains find. */
function toSettings(config: OutsideConfig | undefined) {
  const names = { domains: [], clientDomains: [], serverDomains: [], remotes: [], server: '' }
  return config && { ...config, ...names, intervalMs: 0 }
}

type DomainChecksOptions = Pick<OutsideOptions, 'config'> & {
  readonly check: ConfiguredCheck
  readonly loaded: ReturnType<typeof createLoadedStore>
}

/** Runs single checks, and stores which endpoints a running check has checked. */
function createDomainChecks({ config, check, loaded }: DomainChecksOptions) {
  const progress = new Map<string, EndpointCheck[]>()

  async function run(domain: string, signal: AbortSignal): Promise<DomainCheck | undefined> {
    const settings = config()
    if (!settings) return undefined
    const startedAtSeconds = Date.now() / 1000
    const endpoints: EndpointCheck[] = []
    progress.set(domain, endpoints)
    const onEndpoint = (each: EndpointCheck) => {
      endpoints.push(each)
    }
    try {
      const found = await check(domain, settings, { loaded: loaded.get(), signal, onEndpoint })
      return await loaded.verify(found)
    } catch (error) {
      if (!signal.aborted) throw error
      // The check took too long. Its findings so far are the result.
      const endedAtSeconds = Date.now() / 1000
      const problems = [{ code: 'check_incomplete' }] as const
      return { domain, startedAtSeconds, endedAtSeconds, lookups: [], endpoints, problems }
    } finally {
      if (progress.get(domain) === endpoints) progress.delete(domain)
    }
  }

  return { run, getProgress: (domain: string) => progress.get(domain) ?? [] }
}

type ResultsOptions = {
  readonly domains: () => readonly string[]
  readonly rounds: Rounds<DomainCheck>
  readonly now: () => number
}

/** Caches the families of all results until one of them changes, or becomes too old. */
function createResults({ domains, rounds, now }: ResultsOptions) {
  const series = new WeakMap<DomainCheck, DomainSeries>()
  let families: readonly Family[] | undefined
  let expiresAtMs = Infinity

  const listLast = () =>
    domains().flatMap((domain) => {
      const last = rounds.getLast(domain)
      return last ? [{ ...last, isOutdated: now() >= last.expiresAtMs }] : []
    })

  function getSeries(check: DomainCheck): DomainSeries {
    const known = series.get(check) ?? createCheckSeries(check)
    series.set(check, known)
    return known
  }

  return {
    invalidate(): void {
      families = undefined
    },
    getFamilies(getPingSeries: () => readonly DomainSeries[]): readonly Family[] {
      if (families && now() < expiresAtMs) return families
      const last = listLast()
      const recent = last.filter(({ isOutdated }) => !isOutdated)
      expiresAtMs = recent.reduce((min, each) => Math.min(min, each.expiresAtMs), Infinity)
      families = joinSeries([
        ...last.map(({ result, isOutdated }) =>
          isOutdated ? createOutdatedSeries(result) : getSeries(result),
        ),
        ...getPingSeries(),
      ])
      return families
    },
    getChecks: (): readonly DomainCheck[] =>
      listLast().flatMap(({ result, isOutdated }) => (isOutdated ? [] : [result])),
  }
}

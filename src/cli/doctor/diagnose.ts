import { setTimeout } from 'node:timers/promises'
import { explainEvictions } from '../../xmpp/advice.js'
import type { MonitoredServer } from '../../servers/monitored-server.js'
import { serverMask } from '../../log/mask.js'
import type { Diagnosis } from './diagnosis.js'
import { examineCollectors, type Outcome } from './examine-collectors.js'
import { COMPONENT_STEP, createReporter, type Finding, type Reporter } from './findings.js'
import { probePort } from './probe-port.js'

// After this time, a first connection attempt that still runs counts as failed.
const FIRST_CONNECTION_MS = 12_000
const POLL_INTERVAL_MS = 50

type DiagnosedServer = Pick<MonitoredServer, 'config' | 'connection' | 'scraper' | 'advice'>

export type Service = Pick<Diagnosis, 'version' | 'pid' | 'url' | 'certificateProblem'> & {
  /** Whether another exporter on this machine recently tried to use the same component. */
  readonly isShared: boolean
}

/**
 * Diagnoses a server for `prosody-exporter doctor`, with the connection and the collectors of the running
 * service. This causes one or two collections from the server, whose results are also served to scrapes.
 */
export async function diagnose(
  server: DiagnosedServer | undefined,
  { isShared, ...service }: Service,
): Promise<Diagnosis> {
  const findings: Finding[] = []
  // A finding can quote text from the server, which may contain the secret.
  const mask = serverMask(server?.config.xmpp.secret ?? '')
  const report = createReporter((finding) =>
    findings.push({ ...finding, text: mask(finding.text) }),
  )
  if (server) {
    const series = await examineService(server, { isShared, version: service.version }, report)
    return { ...service, findings, ...(series !== undefined && { series }) }
  }
  report.failed(
    'connection',
    'The service is starting or stopping, or has reloaded its configuration. Run doctor again.',
  )
  return { ...service, findings }
}

/** @returns The number of series, if the statistics work. */
async function examineService(
  server: DiagnosedServer,
  { isShared, version }: { isShared: boolean; version: string },
  report: Reporter,
): Promise<number | undefined> {
  const { connection, scraper } = server
  const { service, domain } = server.config.xmpp
  let waitedMs = 0
  for (; isConnecting(server) && waitedMs < FIRST_CONNECTION_MS; waitedMs += POLL_INTERVAL_MS) {
    await setTimeout(POLL_INTERVAL_MS)
  }
  if (reportConflicts(connection, isShared, report)) return undefined
  if (!connection.isConnected()) {
    const other = await probePort({ service, domain }, connection.lastEnd())
    const problem = other ?? connection.problem() ?? `No answer yet from ${service}.`
    report.failed('connection', problem)
    return undefined
  }
  report.ok('connection', `the service is connected to ${service}`)
  report.ok('login', `logged in as component ${domain}`)
  const collect = async () =>
    new Map<string, Outcome>(
      (await scraper.collectNext()).map(({ name, output, error }) => [
        name,
        output?.collected ?? { failure: error, families: [] },
      ]),
    )
  const subject = { connection, advice: () => server.advice(), collect }
  return await examineCollectors(subject, version, report)
}

/**
 * Reports another program that uses the component. Returns whether that is a failure, because the two programs
 * disconnect each other again and again.
 *
 * @param isShared Whether another exporter on this machine uses the component.
 */
function reportConflicts(
  connection: DiagnosedServer['connection'],
  isShared: boolean,
  { note, failed }: Reporter,
): boolean {
  const step = COMPONENT_STEP
  const { domain } = connection
  const evictions = connection.evictions()
  const remedy = 'Stop one of the two exporters, or configure a component for each of them.'
  const isEvicted = connection.lastEnd()?.condition === 'conflict'
  // While Prosody does not answer, for example, there is another cause, which is more important.
  if (!connection.isConnected() && !isEvicted) return false
  if (evictions > 1) {
    failed(step, explainEvictions(domain, evictions, isShared))
    return true
  }
  if (isShared) {
    note(step, `Another exporter on this machine uses component "${domain}". ${remedy}`)
  } else if (evictions === 1 && connection.isConnected()) {
    const normal =
      'This is normal after a restart of the exporter. If it repeats, two exporters share one component.'
    note(
      step,
      `Another program logged in as component "${domain}" in the last five minutes. ${normal} ${remedy}`,
    )
  }
  return false
}

/** Returns whether the first connection attempt still runs, so that there is neither a connection nor an error. */
function isConnecting({ connection }: DiagnosedServer): boolean {
  return !connection.isConnected() && connection.problem() === undefined
}

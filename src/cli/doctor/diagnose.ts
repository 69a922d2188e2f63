import { setTimeout } from 'node:timers/promises'
import type { MonitoredServer } from '../../servers/monitored-server.js'
import { serverMask } from '../../log/mask.js'
import type { Diagnosis } from './diagnosis.js'
import { examineCollectors, type Outcome } from './examine-collectors.js'
import { createReporter, type Finding, type Reporter } from './findings.js'

// After this time, a first connection attempt that still runs counts as failed.
const FIRST_CONNECTION_MS = 12_000
const POLL_INTERVAL_MS = 50

type DiagnosedServer = Pick<MonitoredServer, 'config' | 'connection' | 'scraper' | 'advice'>

/**
 * Diagnoses a server for `prosody-exporter doctor`, with the connection and the collectors of the running
 * service. This causes one or two collections from the server, whose results are also served to scrapes.
 */
export async function diagnose(
  server: DiagnosedServer | undefined,
  { version, pid }: Pick<Diagnosis, 'version' | 'pid'>,
): Promise<Diagnosis> {
  const findings: Finding[] = []
  // A finding can quote text from the server, which may contain the secret.
  const mask = serverMask(server?.config.xmpp.secret ?? '')
  const report = createReporter((finding) =>
    findings.push({ ...finding, text: mask(finding.text) }),
  )
  if (server) await examineService(server, version, report)
  else
    report.failed(
      'connection',
      'The service is starting or stopping, or has reloaded its configuration. Run doctor again.',
    )
  return { version, pid, findings }
}

async function examineService(
  server: DiagnosedServer,
  version: string,
  report: Reporter,
): Promise<void> {
  const { connection, scraper } = server
  const { service, domain } = server.config.xmpp
  let waitedMs = 0
  for (; isConnecting(server) && waitedMs < FIRST_CONNECTION_MS; waitedMs += POLL_INTERVAL_MS) {
    await setTimeout(POLL_INTERVAL_MS)
  }
  if (!connection.isConnected()) {
    const problem = connection.problem() ?? `No answer yet from ${service}.`
    report.failed(
      'connection',
      `${problem} (This is the last error of the service, which tries again and again.)`,
    )
    return
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
  await examineCollectors({ connection, advice: () => server.advice(), collect }, version, report)
}

/** Returns whether the first connection attempt still runs, so that there is neither a connection nor an error. */
function isConnecting({ connection }: DiagnosedServer): boolean {
  return !connection.isConnected() && connection.problem() === undefined
}

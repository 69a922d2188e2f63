import { setTimeout } from 'node:timers/promises'
import type { MonitoredServer } from '../../servers/monitored-server.js'
import { serverMask } from '../../log/mask.js'
import type { Diagnosis } from './diagnosis.js'
import { examineCollectors, type Outcome } from './examine-collectors.js'
import { createReporter, type Finding, type Reporter } from './findings.js'

// As long as a first connection may take before it has failed.
const FIRST_MS = 12_000
const LOOK_EVERY_MS = 50

type Diagnosed = Pick<MonitoredServer, 'config' | 'connection' | 'scraper' | 'advice'>

/**
 * The service's own diagnosis of a server: the examination of `prosody-exporter doctor`, by the connection
 * and the collectors that the service has. It costs the server two or three scrapes, which other scrapes
 * share.
 */
export async function diagnose(
  server: Diagnosed | undefined,
  { version, pid }: Pick<Diagnosis, 'version' | 'pid'>,
): Promise<Diagnosis> {
  const findings: Finding[] = []
  // A finding can quote the server.
  const mask = serverMask(server?.config.xmpp.secret ?? '')
  const say = createReporter((finding) => findings.push({ ...finding, text: mask(finding.text) }))
  if (server) await examineService(server, version, say)
  else say.failed('connection', 'The service is starting or stopping. Run doctor again.')
  return { version, pid, findings }
}

async function examineService(server: Diagnosed, version: string, say: Reporter): Promise<void> {
  const { connection, scraper } = server
  const { service, domain } = server.config.xmpp
  for (let waitedMs = 0; isDialing(server) && waitedMs < FIRST_MS; waitedMs += LOOK_EVERY_MS) {
    await setTimeout(LOOK_EVERY_MS)
  }
  if (!connection.isConnected()) {
    const problem = connection.problem() ?? `no answer yet from ${service}`
    say.failed('connection', `${problem} (the service's last error; it retries by itself)`)
    return
  }
  say.ok('connection', `the service is connected to ${service}`)
  say.ok('login', `logged in as component ${domain}`)
  const collect = async () =>
    new Map<string, Outcome>(
      (await scraper.nextResults()).map(({ name, told, error }) => [
        name,
        told?.collected ?? { failure: error, families: [] },
      ]),
    )
  await examineCollectors({ connection, advice: () => server.advice(), collect }, version, say)
}

/** For the first time, so that there is no error to report either. */
function isDialing({ connection }: Diagnosed): boolean {
  return !connection.isConnected() && connection.problem() === undefined
}

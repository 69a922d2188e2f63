import type { ServerConfig } from '../../config/read-config.js'
import { askService } from '../../control/ask-service.js'
import type { Owner } from '../../control/socket-directories.js'
import { parseDiagnosis } from './diagnosis.js'
import type { Finding, Reporter } from './findings.js'

/**
 * Reports the diagnosis of the service that holds this component. Doctor must not log in as the component
 * itself then: the server would disconnect the service, or refuse doctor.
 *
 * @returns False when no service runs, and nothing was reported.
 */
export async function consultService(
  { xmpp }: ServerConfig,
  { owner, version, timeoutMs }: { owner: Owner; version: string; timeoutMs: number },
  say: Reporter,
): Promise<boolean> {
  let text: string | undefined
  try {
    text = await askService(xmpp, owner, timeoutMs)
  } catch (error) {
    say.failed('service', (error as Error).message)
    return true
  }
  if (text === undefined) return false
  const diagnosis = parseDiagnosis(text)
  const isSame = diagnosis.version === version
  const skew =
    `The running service is version ${diagnosis.version ?? 'unknown'}, and this command is version ${version}. ` +
    'Restart the service (systemctl restart prosody-exporter)'
  if (!('findings' in diagnosis)) {
    say.failed('service', `${skew}, and run doctor again: its answer cannot be read.`)
    return true
  }
  if (isSame) say.ok('service', `runs as process ${diagnosis.pid}; doctor asks it`)
  else say.note('service', `${skew} to use this version.`)
  diagnosis.findings.forEach((finding: Finding) => {
    say[finding.result](finding.step, finding.text)
  })
  return true
}

import type { ServerConfig } from '../../config/read-config.js'
import { askService } from '../../control/ask-service.js'
import type { Owner } from '../../control/socket-directories.js'
import { parseDiagnosis, type Diagnosis } from './diagnosis.js'
import type { Finding, Reporter } from './findings.js'

export type Consultation = Pick<Diagnosis, 'series' | 'url' | 'certificateProblem'>

/**
 * Reports the diagnosis of the running exporter that uses this component ("the service"). While it runs, doctor must
 * not log in as the component itself: the XMPP server would disconnect the service, or reject doctor.
 *
 * @param show Called with each finding of the service.
 * @returns Undefined when no running exporter has a control socket for the component. Then nothing was reported.
 */
export async function consultService(
  { xmpp }: ServerConfig,
  { owner, version, timeoutMs }: { owner: Owner; version: string; timeoutMs: number },
  report: Reporter,
  show: (finding: Finding) => void,
): Promise<Consultation | undefined> {
  let text: string | undefined
  try {
    text = await askService(xmpp, owner, timeoutMs)
  } catch (error) {
    report.failed('service', (error as Error).message)
    return {}
  }
  if (text === undefined) return undefined
  const diagnosis = parseDiagnosis(text)
  const isSame = diagnosis.version === version
  const mismatch =
    `The running service is version ${diagnosis.version ?? 'unknown'}, and this command is version ${version}. ` +
    'Restart the service (systemctl restart prosody-exporter)'
  if (!('findings' in diagnosis)) {
    report.failed(
      'service',
      `${mismatch}, and run doctor again: this version of doctor cannot read the response of the service.`,
    )
    return {}
  }
  if (isSame) report.ok('service', `runs as process ${diagnosis.pid}; it made the checks below`)
  else report.note('service', `${mismatch} to use this version.`)
  diagnosis.findings.forEach(show)
  return diagnosis
}

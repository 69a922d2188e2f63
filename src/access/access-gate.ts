import type { Gate } from '../http/gated-server.js'
import { family, type Family } from '../metrics/family.js'
import { clientProblem } from './tls.js'
import type { WebAccess } from './access.js'

/** The web configuration as the HTTP server asks it. */
export function createAccessGate(web: WebAccess): Gate {
  return {
    tls: web.tls,
    tlsOptions: () => {
      web.refresh()
      return web.currentTls()!.options
    },
    clientProblem: (client) => {
      const { auth, allowedSans } = web.currentTls()!
      return clientProblem(client, auth, allowedSans)
    },
    headers: () => web.headers(),
    refusal: (request) => web.refusal(request),
  }
}

export function webFamilies(state: ReturnType<WebAccess['state']>): Family[] {
  const name = 'prosody_exporter_web_config_last_reload'
  return [
    family(
      'gauge',
      `${name}_successful`,
      'Whether the last reload of the web configuration file was successful.',
      [{ value: Number(state.isSuccessful) }],
    ),
    family(
      'gauge',
      `${name}_success_timestamp_seconds`,
      'Unix time of the last successful reload of the web configuration file.',
      [{ value: state.lastSuccessSeconds }],
    ),
  ]
}

import type { Gate } from '../http/gated-server.js'
import { family, type Family } from '../metrics/family.js'
import { findClientProblem } from './tls.js'
import type { WebAccess } from './access.js'

/** Creates a gate that lets the HTTP server apply the web configuration file. */
export function createAccessGate(web: WebAccess): Gate {
  return {
    tls: web.tls,
    getTlsOptions: () => {
      web.refresh()
      return web.getTls()!.options
    },
    findClientProblem: (client) => {
      const { auth, allowedSans } = web.getTls()!
      return findClientProblem(client, auth, allowedSans)
    },
    getHeaders: () => web.getHeaders(),
    checkRequest: (request) => web.checkRequest(request),
  }
}

export function getWebConfigFamilies(state: ReturnType<WebAccess['getReloadState']>): Family[] {
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

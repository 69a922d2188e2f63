import { hostname } from 'node:os'
import type { Config, ServerConfig } from '../../config/read-config.js'
import { serverMask } from '../../log/mask.js'
import { prometheusJobs, type Access } from '../../servers/prometheus-job.js'
import { readWebConfig } from '../../access/read-web-config.js'
import { shouldRequestCertificate } from '../../access/tls.js'
import type { Owner } from '../../control/socket-directories.js'
import { consultService } from './consult-service.js'
import { examineServer } from './examine-server.js'
import { createReporter } from './findings.js'

export const SHOW_PROSODY = '--show.prosody'
export const SHOW_PROMETHEUS = '--show.prometheus'

/** Of the longest step, a collector's name. */
const WIDTH = 17

// A service ends the collections under way before it makes two of its own; then it compares clocks.
const COLLECTIONS = 4
const STEPS_MS = 30_000

const SIGNS = { ok: 'ok    ', note: 'note  ', failed: 'FAILED' } as const

/**
 * `prosody-exporter doctor`: goes the whole way to each server's statistics and says in plain words
 * how far it came, with what to change where it did not. Where a service holds the component it is the
 * service that goes. `--show.prosody` and `--show.prometheus`
 * print the lines that belong into their configuration instead.
 *
 * @returns The exit code: 0 when all is well, else 1.
 */
export async function doctorCommand(
  config: Config,
  shows: ReadonlySet<string>,
  { version, owner, print }: { version: string; owner: Owner; print: (line: string) => void },
): Promise<0 | 1> {
  const { servers } = config
  if (shows.has(SHOW_PROSODY)) for (const server of servers) print(renderProsodyLines(server))
  if (shows.has(SHOW_PROMETHEUS)) {
    print(prometheusJobs(config, choosePrometheusTarget(config), undefined, readAccess(config)))
  }
  if (shows.size > 0) return 0
  let failures = 0
  for (const server of servers) {
    const { name, xmpp } = server
    print(`${name === xmpp.domain ? '' : `${name}: `}${xmpp.domain} at ${xmpp.service}`)
    const mask = serverMask(xmpp.secret)
    const say = createReporter(({ step, result, text }) => {
      if (result === 'failed') failures++
      print(`  ${SIGNS[result]} ${step.padEnd(WIDTH)} ${mask(text)}`)
    })
    const timeoutMs = COLLECTIONS * (config.collection.timeoutMs + 1000) + STEPS_MS
    const isConsulted = await consultService(server, { owner, version, timeoutMs }, say)
    if (!isConsulted) await examineServer(server, version, say)
  }
  return failures === 0 ? 0 : 1
}

/** Where Prometheus finds us, if that is not where we listen. */
function choosePrometheusTarget({ web: { listenAddresses } }: Config): string | undefined {
  const [first] = listenAddresses
  const isAll = first && 'port' in first && first.host === undefined
  return isAll ? `${hostname()}:${first.port}` : undefined
}

function readAccess({ web: { configFile } }: Config): Access | undefined {
  if (!configFile) return undefined
  const { tls, users, tokens } = readWebConfig(configFile)
  return {
    isEncrypted: tls !== undefined,
    asksCertificate: tls !== undefined && shouldRequestCertificate(tls.auth),
    user: users.keys().next().value,
    asksToken: tokens.length > 0,
  }
}

/** The lines that prosody.cfg.lua needs; the secret itself is never printed. */
function renderProsodyLines({ xmpp: { domain }, collectors }: ServerConfig): string {
  const component = `Component "${domain}"
    component_secret = "…" -- what the file of --xmpp.secret-file holds
    component_conflict_resolve = "kick_old"`
  if (collectors.get('registry') === false) return component
  return `-- in the global section, above the first VirtualHost
statistics = "internal"
statistics_interval = "manual" -- before 0.12: your scrape interval in seconds

-- at the end; mod_adhoc_statistics has to be in a directory of plugin_paths
${component}
    modules_enabled = { "adhoc_statistics" }`
}

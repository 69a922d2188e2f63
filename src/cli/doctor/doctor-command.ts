import { hostname } from 'node:os'
import type { Config, ServerConfig } from '../../config/read-config.js'
import { serverMask } from '../../log/mask.js'
import { formatPrometheusJobs, type PrometheusAccess } from '../../servers/prometheus-job.js'
import { readWebConfig } from '../../access/read-web-config.js'
import { shouldRequestCertificate } from '../../access/tls.js'
import type { Owner } from '../../control/socket-directories.js'
import { consultService } from './consult-service.js'
import { examineServer } from './examine-server.js'
import { createReporter } from './findings.js'

export const SHOW_PROSODY = '--show.prosody'
export const SHOW_PROMETHEUS = '--show.prometheus'

/** The width of the column with the step, whose longest value is the name of a collector. */
const STEP_WIDTH = 17

// The running exporter answers doctor after at most four collections: those that already run, and two more. For the
// other checks, for example the comparison of clocks, doctor waits for OTHER_STEPS_MS.
const MAX_COLLECTIONS = 4
const OTHER_STEPS_MS = 30_000

const SIGNS = { ok: 'ok    ', note: 'note  ', failed: 'FAILED' } as const

/**
 * `prosody-exporter doctor`: checks each step from the connection to the statistics of each server. For a step that
 * fails, it prints what to change. If a running exporter has a control socket for the component, that exporter
 * makes the checks. With `--show.prosody` or `--show.prometheus`, it instead prints lines for the configuration of
 * that program.
 *
 * @returns The exit code: 0 when no step failed, else 1.
 */
export async function doctorCommand(
  config: Config,
  shows: ReadonlySet<string>,
  { version, owner, print }: { version: string; owner: Owner; print: (line: string) => void },
): Promise<0 | 1> {
  const { servers } = config
  if (shows.has(SHOW_PROSODY)) for (const server of servers) print(renderProsodyLines(server))
  if (shows.has(SHOW_PROMETHEUS)) {
    print(
      formatPrometheusJobs(config, choosePrometheusTarget(config), undefined, readAccess(config)),
    )
  }
  if (shows.size > 0) return 0
  let failures = 0
  for (const server of servers) {
    const { name, xmpp } = server
    print(`${name === xmpp.domain ? '' : `${name}: `}${xmpp.domain} at ${xmpp.service}`)
    const mask = serverMask(xmpp.secret)
    const report = createReporter(({ step, result, text }) => {
      if (result === 'failed') failures++
      print(`  ${SIGNS[result]} ${step.padEnd(STEP_WIDTH)} ${mask(text)}`)
    })
    const timeoutMs = MAX_COLLECTIONS * (config.collection.timeoutMs + 1000) + OTHER_STEPS_MS
    const isConsulted = await consultService(server, { owner, version, timeoutMs }, report)
    if (!isConsulted) await examineServer(server, version, report)
  }
  return failures === 0 ? 0 : 1
}

/** Returns the address under which Prometheus reaches an exporter that listens on all addresses. */
function choosePrometheusTarget({ web: { listenAddresses } }: Config): string | undefined {
  const [first] = listenAddresses
  const isAll = first && 'port' in first && first.host === undefined
  return isAll ? `${hostname()}:${first.port}` : undefined
}

function readAccess({ web: { configFile } }: Config): PrometheusAccess | undefined {
  if (!configFile) return undefined
  const { tls, users, tokens } = readWebConfig(configFile)
  return {
    isEncrypted: tls !== undefined,
    requiresCertificate: tls !== undefined && shouldRequestCertificate(tls.auth),
    user: users.keys().next().value,
    requiresToken: tokens.length > 0,
  }
}

/** Returns the lines for prosody.cfg.lua, without the secret. */
function renderProsodyLines({ xmpp: { domain }, collectors }: ServerConfig): string {
  const component = `Component "${domain}"
    component_secret = "…" -- the contents of the exporter's secret file
    component_conflict_resolve = "kick_old"`
  if (collectors.get('registry') === false) return component
  return `-- in the global section, above the first VirtualHost
statistics = "internal"
statistics_interval = "manual" -- before 0.12: your scrape interval in seconds

-- at the end; a directory in plugin_paths must contain mod_adhoc_statistics
${component}
    modules_enabled = { "adhoc_statistics" }`
}

import type { Config } from '../config.js'
import { addressText } from '../http/listen-address.js'
import { examine } from './examine.js'

export const SHOW_PROSODY = '--show.prosody'
export const SHOW_PROMETHEUS = '--show.prometheus'

const SIGNS = { ok: 'ok    ', note: 'note  ', failed: 'FAILED' } as const

/**
 * `prosody-exporter doctor`: goes the whole way to each server's statistics and says in plain words
 * how far it came, with what to change where it did not. `--show.prosody` and `--show.prometheus`
 * print the lines that belong into their configuration instead.
 *
 * @returns The exit code: 0 when all is well, else 1.
 */
export async function doctorCommand(
  { servers, web }: Config,
  shows: ReadonlySet<string>,
  { version, print }: { version: string; print: (line: string) => void },
): Promise<0 | 1> {
  if (shows.has(SHOW_PROSODY)) for (const { xmpp } of servers) print(prosodyLines(xmpp.domain))
  if (shows.has(SHOW_PROMETHEUS)) {
    print(prometheusJob(addressText(web.listenAddresses[0]!), web.telemetryPath))
  }
  if (shows.size > 0) return 0
  let isWell = true
  for (const { xmpp } of servers) {
    print(`${xmpp.domain} at ${xmpp.service}, asked by prosody-exporter ${version}`)
    const well = await examine(xmpp, version, ({ step, result, text }) => {
      print(`  ${SIGNS[result]} ${step.padEnd(10)} ${text}`)
    })
    isWell &&= well
  }
  return isWell ? 0 : 1
}

/** The lines that prosody.cfg.lua needs; the secret itself is never printed. */
function prosodyLines(domain: string): string {
  return `-- in the global section, above the first VirtualHost
statistics = "internal"
statistics_interval = "manual"

-- at the end; mod_adhoc_statistics has to be in a directory of plugin_paths
Component "${domain}"
    component_secret = "…" -- what the file of --xmpp.secret-file holds
    component_conflict_resolve = "kick_old"
    modules_enabled = { "adhoc_statistics" }`
}

/** The job that prometheus.yml needs. */
function prometheusJob(target: string, path: string): string {
  return `scrape_configs:
  - job_name: prosody
${path === '/metrics' ? '' : `    metrics_path: ${path}\n`}    static_configs:
      - targets: ['${target}']`
}

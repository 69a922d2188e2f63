import type { Config } from './config.js'
import { addressText } from './http/listen-address.js'

/**
 * The jobs that prometheus.yml needs.
 *
 * @param target Where Prometheus finds us. Default: the first address on which we listen.
 * @param base What is in front of each path there. Default: our own prefix.
 */
export function prometheusJobs(
  { servers, web }: Pick<Config, 'servers' | 'web'>,
  target: string = addressText(web.listenAddresses[0]!),
  base: string = web.routePrefix,
): string {
  const path = `${base}${web.telemetryPath}`
  const own = (name: string) => `  - job_name: ${name}
${path === '/metrics' ? '' : `    metrics_path: ${path}\n`}    static_configs:
      - targets: ['${target}']`
  if (servers.length === 1) return `scrape_configs:\n${own('prosody')}`
  return `scrape_configs:
  - job_name: prosody
    http_sd_configs:
      - url: http://${target}${base}/sd
${own('prosody-exporter')}`
}

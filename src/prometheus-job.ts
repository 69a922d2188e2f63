import type { Config } from './config.js'
import { addressText } from './http/listen-address.js'

/**
 * The jobs that prometheus.yml needs.
 *
 * @param target Where Prometheus finds us. Default: the first address on which we listen.
 * @param isEncrypted Whether it asks over TLS. Default: no.
 * @param base What is in front of each path there. Default: our own prefix.
 */
export function prometheusJobs(
  { servers, web }: Pick<Config, 'servers' | 'web'>,
  target: string = addressText(web.listenAddresses[0]!),
  base: string = web.routePrefix,
  isEncrypted = false,
): string {
  const path = `${base}${web.telemetryPath}`
  const scheme = isEncrypted ? 'https' : 'http'
  const own = (name: string) => `  - job_name: ${name}
${isEncrypted ? '    scheme: https\n' : ''}${path === '/metrics' ? '' : `    metrics_path: ${path}\n`}    static_configs:
      - targets: ['${target}']`
  if (servers.length === 1) return `scrape_configs:\n${own('prosody')}`
  return `scrape_configs:
  - job_name: prosody
    http_sd_configs:
      - url: ${scheme}://${target}${base}/sd
${own('prosody-exporter')}`
}

import type { Config } from '../config/read-config.js'
import { formatAddress } from '../config/listen-address.js'

/** What Prometheus needs to scrape the exporter, as the web configuration file requires. */
export type PrometheusAccess = {
  readonly isEncrypted: boolean
  readonly requiresCertificate?: boolean
  /** The user that logs in with a password; `undefined` if no password is required. */
  readonly user?: string | undefined
  readonly requiresToken?: boolean
}

/**
 * Formats the jobs for prometheus.yml.
 *
 * @param target The address of the exporter for Prometheus. Default: the first listen address.
 * @param base The path prefix at that address. Default: the route prefix.
 * @param access Default: neither TLS nor a login. The file names in the jobs are relative to prometheus.yml.
 */
export function formatPrometheusJobs(
  { servers, web }: Pick<Config, 'servers' | 'web'>,
  target: string = formatAddress(web.listenAddresses[0]!),
  base: string = web.routePrefix,
  access: PrometheusAccess = { isEncrypted: false },
): string {
  const path = `${base}${web.telemetryPath}`
  const scheme = access.isEncrypted ? 'https' : 'http'
  const formatJob = (name: string) => [
    `  - job_name: ${name}`,
    ...(access.isEncrypted ? ['    scheme: https'] : []),
    ...formatAccess(access).map((line) => `    ${line}`),
  ]
  const formatExporterJob = (name: string) => [
    ...formatJob(name),
    ...(path === '/metrics' ? [] : [`    metrics_path: ${path}`]),
    '    static_configs:',
    `      - targets: ['${target}']`,
  ]
  if (servers.length === 1) return ['scrape_configs:', ...formatExporterJob('prosody')].join('\n')
  return [
    'scrape_configs:',
    ...formatJob('prosody'),
    '    http_sd_configs:',
    `      - url: ${scheme}://${target}${base}/sd`,
    ...formatAccess(access).map((line) => `        ${line}`),
    ...formatExporterJob('prosody-exporter'),
  ].join('\n')
}

function formatAccess({
  isEncrypted,
  requiresCertificate,
  user,
  requiresToken,
}: PrometheusAccess): string[] {
  const files = requiresCertificate ? ', cert_file: prometheus.crt, key_file: prometheus.key' : ''
  const password = 'password_file: prosody-exporter.password'
  return [
    // Without ca_file, Prometheus trusts the certificate authorities of the system.
    ...(isEncrypted ? [`tls_config: { ca_file: prosody-exporter.crt${files} }`] : []),
    ...(user === undefined
      ? []
      : [`basic_auth: { username: ${JSON.stringify(user)}, ${password} }`]),
    ...(requiresToken && user === undefined
      ? ['authorization: { credentials_file: prosody-exporter.token }']
      : []),
  ]
}

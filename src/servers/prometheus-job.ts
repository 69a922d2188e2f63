import type { Config } from '../config/read-config.js'
import { formatAddress } from '../config/listen-address.js'

/** How Prometheus has to connect and log in to the exporter, according to the web configuration file. */
export type PrometheusAccess = {
  readonly isEncrypted: boolean
  readonly requiresCertificate?: boolean
  /** The name of the user that logs in with a password; `undefined` if no password is required. */
  readonly user?: string | undefined
  readonly requiresToken?: boolean
}

type JobSettings = {
  readonly servers: readonly unknown[]
  readonly web: Pick<Config['web'], 'listenAddresses' | 'routePrefix' | 'telemetryPath'>
}

/**
 * Formats the jobs for prometheus.yml that scrape the exporter. File names in the jobs are relative to prometheus.yml.
 *
 * @param target The host and port at which Prometheus reaches the exporter. Default: the first listen address.
 * @param base The path prefix of the exporter at this address. Default: the route prefix.
 * @param access How Prometheus has to connect and log in. Default: with neither TLS nor a login.
 */
export function formatPrometheusJobs(
  { servers, web }: JobSettings,
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
  if (servers.length < 2) return ['scrape_configs:', ...formatExporterJob('prosody')].join('\n')
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
    // ca_file is necessary for a self-signed certificate. Without it, Prometheus trusts only the system's authorities.
    ...(isEncrypted ? [`tls_config: { ca_file: prosody-exporter.crt${files} }`] : []),
    ...(user === undefined
      ? []
      : [`basic_auth: { username: ${JSON.stringify(user)}, ${password} }`]),
    ...(requiresToken && user === undefined
      ? ['authorization: { credentials_file: prosody-exporter.token }']
      : []),
  ]
}

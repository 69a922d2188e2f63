import type { Config } from '../config/read-config.js'
import { formatAddress } from '../config/listen-address.js'

/** What the web configuration file asks of Prometheus. */
export type Access = {
  readonly isEncrypted: boolean
  readonly asksCertificate?: boolean
  /** Whose password is wanted. */
  readonly user?: string | undefined
  readonly asksToken?: boolean
}

/**
 * The jobs that prometheus.yml needs.
 *
 * @param target Where Prometheus finds us. Default: the first address on which we listen.
 * @param base What is in front of each path there. Default: our own prefix.
 * @param access Default: anybody, without TLS. Files that it needs are named as beside prometheus.yml.
 */
export function prometheusJobs(
  { servers, web }: Pick<Config, 'servers' | 'web'>,
  target: string = formatAddress(web.listenAddresses[0]!),
  base: string = web.routePrefix,
  access: Access = { isEncrypted: false },
): string {
  const path = `${base}${web.telemetryPath}`
  const scheme = access.isEncrypted ? 'https' : 'http'
  const job = (name: string) => [
    `  - job_name: ${name}`,
    ...(access.isEncrypted ? ['    scheme: https'] : []),
    ...accessLines(access).map((line) => `    ${line}`),
  ]
  const own = (name: string) => [
    ...job(name),
    ...(path === '/metrics' ? [] : [`    metrics_path: ${path}`]),
    '    static_configs:',
    `      - targets: ['${target}']`,
  ]
  if (servers.length === 1) return ['scrape_configs:', ...own('prosody')].join('\n')
  return [
    'scrape_configs:',
    ...job('prosody'),
    '    http_sd_configs:',
    `      - url: ${scheme}://${target}${base}/sd`,
    ...accessLines(access).map((line) => `        ${line}`),
    ...own('prosody-exporter'),
  ].join('\n')
}

function accessLines({ isEncrypted, asksCertificate, user, asksToken }: Access): string[] {
  const files = asksCertificate ? ', cert_file: prometheus.crt, key_file: prometheus.key' : ''
  const password = 'password_file: prosody-exporter.password'
  return [
    // Without ca_file it is one of the authorities that the system trusts.
    ...(isEncrypted ? [`tls_config: { ca_file: prosody-exporter.crt${files} }`] : []),
    ...(user === undefined
      ? []
      : [`basic_auth: { username: ${JSON.stringify(user)}, ${password} }`]),
    ...(asksToken && user === undefined
      ? ['authorization: { credentials_file: prosody-exporter.token }']
      : []),
  ]
}

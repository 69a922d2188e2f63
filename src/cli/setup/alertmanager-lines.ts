import { fileURLToPath } from 'node:url'
import { TOKEN_FILE } from './plan-alerts.js'
import { resolveDirectory } from './prosody-installation.js'

/**
 * Formats the lines for alertmanager.yml: the receiver that posts alerts to the exporter, and the route to a second
 * receiver for the alerts that XMPP cannot deliver.
 *
 * @param url The URL to which Alertmanager posts alerts.
 * @param tokenFile A file with the token, which Alertmanager can read.
 */
export function formatReceiver(url: string, tokenFile: string): string {
  return `route:
  receiver: xmpp
  group_by: [alertname, instance]
  routes:
    # These alerts say that Prosody or the exporter is down, so XMPP may be unable to deliver them.
    - matchers: ['without_xmpp="true"']
      receiver: without-xmpp

receivers:
  - name: xmpp
    webhook_configs:
      - url: ${url}
        send_resolved: true
        max_alerts: 100
        http_config:
          authorization:
            credentials_file: ${tokenFile}
  - name: without-xmpp
    email_configs:
      # Replace the addresses, the mail server and its login.
      - to: admin@example.net
        from: alertmanager@example.net
        smarthost: mail.example.net:587
        auth_username: alertmanager@example.net
        auth_password_file: /etc/prometheus/mail-password
        send_resolved: true
`
}

/**
 * @param options.page The URL of the status page of the exporter.
 * @param options.directory The directory of main.js. The packages have the rules next to it.
 * @param options.canGroupRead Whether the group of the file with the token can read it.
 */
export function formatAlertmanagerLines({
  page,
  directory,
  canGroupRead,
}: {
  readonly page: string
  readonly directory: URL
  readonly canGroupRead: boolean
}): string[] {
  const rules = new URL('../deploy/prometheus/rules.yml', directory)
  const url = new URL('alerts', page)
  return [
    'For alertmanager.yml:',
    '',
    formatReceiver(url.href, TOKEN_FILE),
    ...(url.protocol === 'https:'
      ? [
          'The exporter uses TLS. Add tls_config, and the password if it has one: docs/alerts.md, "Configure by hand".',
        ]
      : []),
    ...(canGroupRead
      ? []
      : [
          `Alertmanager must be able to read ${TOKEN_FILE}. On the same machine, let its group read the file, for example: ` +
            `chgrp prometheus ${TOKEN_FILE} && chmod 640 ${TOKEN_FILE}`,
        ]),
    `Alert rules for rule_files in prometheus.yml: ${resolveDirectory(fileURLToPath(rules))}`,
    'The next steps, for Alertmanager and Prometheus: docs/alerts.md, "Set up".',
  ]
}

import { existsSync, lstatSync, readFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { dirname, join } from 'node:path'
import { parse } from 'yaml'
import * as z from 'zod/mini'
import { DEFAULT_CONFIG_FILE as CONFIG_FILE } from '../doctor/default-config-file.js'
import {
  ALERTS,
  normalizeRecipients,
  parseOrUndefined,
  type AlertRecipients,
} from './alert-recipients.js'
import { SetupFailure } from './setup-failure.js'
import type { SetupRecord } from './setup-record.js'
import type { PlannedFile } from './write-files.js'

/** The file with the token with which Alertmanager posts alerts. */
export const TOKEN_FILE = join(dirname(CONFIG_FILE), 'alerts-token')

const DROP_IN = '/etc/systemd/system/prosody-exporter.service.d/alerts.conf'

const hasNone = ({ to, rooms }: AlertRecipients) => to.length + rooms.length === 0

/**
 * Renders the section `alerts` of the exporter's configuration. Without recipients, the result is empty.
 *
 * @param server The name of the server that delivers the alerts, if the configuration has several.
 */
export function renderAlertsSection(recipients: AlertRecipients, server?: string): string {
  if (hasNone(recipients)) return ''
  const { to, rooms } = recipients
  const list = (key: string, jids: readonly string[]) =>
    jids.length === 0 ? [] : [`  ${key}: [${jids.map((jid) => JSON.stringify(jid)).join(', ')}]`]
  return [
    '',
    '# Alerts that Alertmanager posts to /alerts, and that the exporter sends as XMPP messages. See docs/alerts.md.',
    'alerts:',
    ...(server === undefined ? [] : [`  server: ${JSON.stringify(server)}`]),
    ...list('to', to),
    ...list('rooms', rooms),
    '  # A file in this directory with the token that Alertmanager sends.',
    '  token_file: alerts-token',
    '',
  ].join('\n')
}

/**
 * Plans the files that alerts need besides the configuration: the token, and the settings of the service that let it read
 * the token.
 *
 * @param options.groupId The number of the group that may read the token, that of Alertmanager; `undefined` if only root
 *   may read it.
 */
export function planAlertFiles(options: {
  readonly token: string
  readonly groupId: number | undefined
  readonly hasService: boolean
}): PlannedFile[] {
  const { token, groupId, hasService } = options
  const tokenFile: PlannedFile = {
    path: TOKEN_FILE,
    content: `${token}\n`,
    mode: groupId === undefined ? 0o600 : 0o640,
    groupId: groupId ?? 0,
  }
  const dropIn: PlannedFile = {
    path: DROP_IN,
    mode: 0o644,
    groupId: 0,
    content: `# Written by prosody-exporter setup. systemd reads the token as root, and passes it to the exporter only.
[Service]
LoadCredential=alerts-token:${TOKEN_FILE}
Environment=PROSODY_EXPORTER_ALERTS_TOKEN_FILE=%d/alerts-token
`,
  }
  return [tokenFile, ...(hasService ? [dropIn] : [])]
}

/**
 * Whether setup writes the files of `planAlertFiles`. The configuration decides whether the exporter sends alerts. If an
 * operator has removed the section `alerts` or written it by hand, setup does not add a token.
 *
 * @param alerts.before The recipients in the configuration before this setup; `undefined` without a section `alerts`.
 * @param alerts.added The recipients that the operator named.
 */
export function needsAlertFiles(
  { before, added }: { before: AlertRecipients | undefined; added: readonly string[] },
  previous: SetupRecord | undefined,
): boolean {
  if (before === undefined && added.length > 0) return true
  const hasWritten = (path: string) => previous?.created.some((each) => each.path === path) ?? false
  // The service cannot start if the drop-in names a token that does not exist.
  const isNamed = hasWritten(DROP_IN) && existsSync(DROP_IN)
  return hasWritten(TOKEN_FILE) && (before !== undefined || isNamed)
}

/** The parts of the exporter's configuration that matter here. */
const CONFIGURATION = z.looseObject({
  servers: z.array(z.looseObject({ name: z.optional(z.string()), domain: z.string() })),
  alerts: ALERTS,
})

/**
 * Adds the section `alerts` to a configuration of the exporter that the operator has changed.
 *
 * @param domain The domain of the component that sends the alerts.
 * @returns The new text of the file. It is the same text if the file already has the recipients.
 * @throws SetupFailure if setup cannot add the section without a risk.
 */
export function addAlertsSection(
  text: string,
  recipients: AlertRecipients,
  domain: string,
): string {
  const before = CONFIGURATION.safeParse(parseOrUndefined(text)).data
  const byHand = (server?: string) =>
    new SetupFailure(
      `${CONFIG_FILE} was changed after setup wrote it, and setup cannot add the alerts to it. Add them by hand, and run ` +
        `setup again: ${formatFlow(recipients, server)}`,
    )
  if (before === undefined) throw byHand()
  if (before.alerts) {
    const { to, rooms } = normalizeRecipients(before.alerts)
    const isMissing = (jid: string) => !to.includes(jid) && !rooms.includes(jid)
    const list = (key: string, jids: readonly string[]) =>
      jids.length === 0 ? [] : [`${jids.join(', ')} to ${key}`]
    const missing = [
      ...list('alerts.to', recipients.to.filter(isMissing)),
      ...list('alerts.rooms', recipients.rooms.filter(isMissing)),
    ]
    if (missing.length === 0) return text
    throw new SetupFailure(
      `${CONFIG_FILE} was changed after setup wrote it, and already has a section alerts. Add ` +
        `${missing.join(' and ')} by hand, and run: systemctl reload prosody-exporter`,
    )
  }
  const own = before.servers.find((server) => server.domain === domain)
  const server = before.servers.length > 1 ? (own?.name ?? own?.domain) : undefined
  const section = renderAlertsSection(recipients, server)
  const added = `${text}${text.endsWith('\n') ? '' : '\n'}${section}`
  const expected = { ...before, ...(parse(section) as { alerts: unknown }) }
  if (!isDeepStrictEqual(parseOrUndefined(added), expected)) throw byHand(server)
  return added
}

/** Formats the section `alerts` in one line of YAML. */
function formatFlow(recipients: AlertRecipients, server: string | undefined): string {
  const { alerts } = parse(renderAlertsSection(recipients, server)) as { alerts: unknown }
  return `alerts: ${JSON.stringify(alerts)}`
}

/**
 * Plans the addition of the section `alerts` to the configuration file, which the operator has changed.
 *
 * @throws SetupFailure if setup cannot add the section without a risk.
 */
export function planExtension(recipients: AlertRecipients, domain: string): PlannedFile {
  const status = lstatSync(CONFIG_FILE)
  const text = readFileSync(CONFIG_FILE, 'utf8')
  // Setup would replace the link, and not the file to which it leads.
  if (!status.isFile()) {
    throw new SetupFailure(
      `${CONFIG_FILE} is a link, so setup does not change it. Add this line to the file, and run setup again: ` +
        formatFlow(recipients, undefined),
    )
  }
  return {
    path: CONFIG_FILE,
    content: addAlertsSection(text, recipients, domain),
    mode: status.mode & 0o777,
    groupId: status.gid,
    isExtension: true,
  }
}

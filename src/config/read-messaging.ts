import { ConfigError } from '../errors.js'
import { valueError } from './given.js'
import { readSecretFile } from './read-secret-file.js'
import { findGiven, readValue, refuseDuplicate, type Settings } from './read-settings.js'
import type { ServerConfig } from './read-servers.js'

/** The alerts that Alertmanager posts to `/alerts`, and to whom the exporter sends them. */
export type AlertsConfig = {
  /** The name of the server that delivers the alerts. */
  readonly server: string
  /** Bare JIDs of people. */
  readonly to: readonly string[]
  /** Bare JIDs of rooms. */
  readonly rooms: readonly string[]
  readonly nick: string
  readonly token: string
  readonly template: string | undefined
  readonly correctResolved: boolean
}

export type ChatConfig = {
  /** The name of the server whose users can ask. */
  readonly server: string
  /** Bare JIDs of the people who get answers. */
  readonly allow: readonly string[]
}

export type MessagingConfig = {
  /** `undefined` if the exporter sends no alerts. */
  readonly alerts: AlertsConfig | undefined
  /** `undefined` if the exporter answers no questions. */
  readonly chat: ChatConfig | undefined
  /** `undefined` if chat cannot silence alerts. */
  readonly alertmanager: { readonly url: string } | undefined
}

/** Reads the sections `alerts`, `chat` and `alertmanager`. @throws ConfigError */
export function readMessaging(
  settings: Settings,
  servers: readonly ServerConfig[],
): MessagingConfig {
  const url = readValue(settings, 'alertmanager.url')
  return {
    alerts: readAlerts(settings, servers),
    chat: readChat(settings, servers),
    alertmanager: url === undefined ? undefined : { url },
  }
}

function readAlerts(
  settings: Settings,
  servers: readonly ServerConfig[],
): AlertsConfig | undefined {
  const to = readValue(settings, 'alerts.to')
  const rooms = readValue(settings, 'alerts.rooms')
  const tokenFile = findGiven(settings, 'alerts.token-file')
  const recipients = [...settings.all('alerts.to'), ...settings.all('alerts.rooms')]
  refuseDuplicate(recipients, [...to, ...rooms], 'each recipient of alerts once')
  const [recipient] = recipients
  if (recipient === undefined) {
    // A drop-in of the service sets the variable. It is harmless after an operator has removed the section `alerts`.
    if (tokenFile === undefined || tokenFile.from === 'variable') return undefined
    throw new ConfigError(
      `${tokenFile.source}: expected recipients of the alerts (alerts.to or alerts.rooms), got none`,
    )
  }
  if (tokenFile === undefined) {
    throw new ConfigError(
      `${recipient.source}: expected alerts.token_file too, because without a token anyone could send alerts`,
    )
  }
  return {
    server: readServerOf(settings, 'alerts.server', servers, recipient.source),
    to,
    rooms,
    nick: readValue(settings, 'alerts.nick'),
    token: readSecretFile(tokenFile, 'the token of the alerts'),
    template: readValue(settings, 'alerts.template'),
    correctResolved: readValue(settings, 'alerts.correct-resolved'),
  }
}

function readChat(settings: Settings, servers: readonly ServerConfig[]): ChatConfig | undefined {
  const allow = readValue(settings, 'chat.allow')
  refuseDuplicate(settings.all('chat.allow'), allow, 'each person once')
  const [first] = settings.all('chat.allow')
  if (first === undefined) return undefined
  return {
    server: readServerOf(settings, 'chat.server', servers, first.source),
    allow,
  }
}

/** Returns the name of the server that a section uses. With several servers, the section has to name one. */
export function readServerOf(
  settings: Settings,
  name: 'alerts.server' | 'chat.server' | 'outside.server',
  servers: readonly ServerConfig[],
  source: string,
): string {
  const names = servers.map((server) => server.name)
  const given = findGiven(settings, name)
  if (given === undefined) {
    if (names.length === 1) return names[0]!
    throw new ConfigError(
      `${source}: expected ${name} too, because the configuration has ${names.length} servers`,
    )
  }
  const found = names.find((each) => each === given.text)
  if (found === undefined) throw valueError(given, 'the name of a server in this configuration')
  return found
}

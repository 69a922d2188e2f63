import { stringify } from 'yaml'
import type { DropRule } from '../collectors/registry/registry-filter.js'
import { maskJids } from '../log/mask.js'
import type { AlertsConfig, Config, OutsideConfig, ServerConfig } from './read-config.js'
import { formatDuration } from './duration.js'
import { formatAddress } from './listen-address.js'
import { formatMode, type SocketAccess } from './socket-access.js'

/**
 * Formats the current configuration as YAML, with all defaults. It also has settings that the configuration file
 * cannot have. The names of people and rooms are masked, because each client that can scrape can read the text. This
 * function lists every key, so that a new setting with a secret is not shown by accident.
 */
export function formatConfig(config: Config): string {
  const { collection, exposition, registry, page, limits, web } = config
  return stringify({
    servers: config.servers.map(formatServer),
    collection: {
      min_age: formatDuration(collection.minAgeMs),
      timeout: formatDuration(collection.timeoutMs),
      serve_stale_for: formatDuration(collection.serveStaleForMs),
    },
    exposition: {
      names: exposition.names,
      created: exposition.created,
      timestamps: exposition.timestamps,
    },
    registry: { drop: registry.drop.map(formatDropRule) },
    page: { interval: formatDuration(page.intervalMs) },
    state: { directory: config.stateDirectory },
    alerts: config.alerts && formatAlerts(config.alerts),
    chat: config.chat && { ...config.chat, allow: config.chat.allow.map(maskJids) },
    alertmanager: config.alertmanager,
    outside: config.outside && formatOutside(config.outside),
    limits: { series: limits.series, label_value_length: limits.labelValueLength },
    web: {
      listen_address: web.listenAddresses.map(formatAddress),
      telemetry_path: web.telemetryPath,
      config_file: web.configFile?.text,
      external_url: web.external.origin && `${web.external.origin}${web.external.path}`,
      route_prefix: web.routePrefix || '/',
      max_requests: web.maxRequests,
      disable_exporter_metrics: web.disableExporterMetrics,
      fail_when_down: web.failWhenDown,
      ...formatSocketAccess(web.socketAccess),
      enable_lifecycle: web.enableLifecycle,
    },
    timeout_offset: formatDuration(config.timeoutOffsetMs),
    log: { level: config.log.level, format: config.log.format },
  })
}

function formatSocketAccess({ mode, group }: SocketAccess) {
  return {
    ...(mode && { socket_mode: formatMode(mode.value) }),
    ...(group && { socket_group: group.id }),
  }
}

function formatAlerts({ server, to, rooms, nick, template, correctResolved }: AlertsConfig) {
  return {
    server,
    to: to.map(maskJids),
    rooms: rooms.map(maskJids),
    nick,
    token: '<secret>',
    template,
    correct_resolved: correctResolved,
  }
}

function formatOutside(outside: OutsideConfig) {
  return {
    domains: outside.domains,
    client_domains: outside.clientDomains,
    server_domains: outside.serverDomains,
    interval: formatDuration(outside.intervalMs),
    timeout: formatDuration(outside.timeoutMs),
    name_servers: outside.nameServers,
    allow_private: outside.allowPrivate,
    own_addresses: outside.ownAddresses,
    s2s_from: outside.s2sFrom,
    web: outside.checksWeb,
    remotes: outside.remotes,
    server: outside.server,
  }
}

function formatServer({ name, xmpp, hosts, collectors }: ServerConfig) {
  return {
    name,
    service: xmpp.service,
    domain: xmpp.domain,
    secret: '<secret>',
    hosts,
    collectors: Object.fromEntries(collectors),
  }
}

function formatDropRule({ family, labels }: DropRule) {
  return {
    family: formatPattern(family),
    ...(labels.size > 0 && {
      labels: Object.fromEntries(Array.from(labels, ([name, p]) => [name, formatPattern(p)])),
    }),
  }
}

/** Returns the regular expression as the operator wrote it, before `parsePattern` in read-config.ts put it into a group. */
function formatPattern({ source, flags }: RegExp): string {
  const text = source.replace(/^\^\(\?:|\)\$$/g, '')
  return flags.includes('i') ? `(?i)${text}` : text
}

import { stringify } from 'yaml'
import type { DropRule } from '../collectors/registry/registry-filter.js'
import type { Config, ServerConfig } from './read-config.js'
import { addressText } from './listen-address.js'
import { octal, type SocketAccess } from './socket-access.js'

/**
 * The configuration that runs, as YAML for people: the sections of the file with every default, then
 * what has flags only. Each key is named here, so that nothing secret can be shown by being added.
 */
export function formatConfig(config: Config): string {
  const { collection, exposition, registry, page, limits, web } = config
  return stringify({
    servers: config.servers.map(serverText),
    collection: {
      min_age: durationText(collection.minAgeMs),
      timeout: durationText(collection.timeoutMs),
      serve_stale_for: durationText(collection.serveStaleForMs),
    },
    exposition: {
      names: exposition.names,
      created: exposition.created,
      timestamps: exposition.timestamps,
    },
    registry: { drop: registry.drop.map(ruleText) },
    page: { interval: durationText(page.intervalMs) },
    limits: { series: limits.series, label_value_length: limits.labelValueLength },
    web: {
      listen_address: web.listenAddresses.map(addressText),
      telemetry_path: web.telemetryPath,
      config_file: web.configFile?.text,
      external_url: web.external.origin && `${web.external.origin}${web.external.path}`,
      route_prefix: web.routePrefix || '/',
      max_requests: web.maxRequests,
      disable_exporter_metrics: web.disableExporterMetrics,
      fail_when_down: web.failWhenDown,
      ...socketText(web.socketAccess),
      enable_lifecycle: web.enableLifecycle,
    },
    timeout_offset: durationText(config.timeoutOffsetMs),
    log: { level: config.log.level, format: config.log.format },
  })
}

function socketText({ mode, group }: SocketAccess) {
  return {
    ...(mode && { socket_mode: octal(mode.value) }),
    ...(group && { socket_group: group.id }),
  }
}

function serverText({ name, xmpp, hosts, collectors }: ServerConfig) {
  return {
    name,
    service: xmpp.service,
    domain: xmpp.domain,
    secret: '<secret>',
    hosts,
    collectors: Object.fromEntries(collectors),
  }
}

function ruleText({ family, labels }: DropRule) {
  return {
    family: patternText(family),
    ...(labels.size > 0 && {
      labels: Object.fromEntries(Array.from(labels, ([name, p]) => [name, patternText(p)])),
    }),
  }
}

/** As it was given: `wholeMatch` in config.ts put brackets around it. */
function patternText({ source, flags }: RegExp): string {
  const text = source.replace(/^\^\(\?:|\)\$$/g, '')
  return flags.includes('i') ? `(?i)${text}` : text
}

function durationText(ms: number): string {
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`
}

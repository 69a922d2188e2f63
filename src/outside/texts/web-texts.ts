import type { ProblemContext, ProblemTexts } from './problem-context.js'

/** The service in words. A problem without a service is one of host-meta. */
const nameOf = ({ web = 'host-meta', place }: ProblemContext) => `The ${web} service on ${place}`

/** The default paths of Prosody's modules, and the modules. http_altconnect is a community module for Prosody 0.12. */
const WEB_MODULES = {
  'host-meta': { path: '/.well-known/host-meta', module: 'http_altconnect' },
  BOSH: { path: '/http-bind', module: 'bosh' },
  WebSocket: { path: '/xmpp-websocket', module: 'websocket' },
} as const

const moduleOf = ({ web = 'host-meta' }: ProblemContext) => WEB_MODULES[web]

/** The problems of host-meta (XEP-0156), BOSH (XEP-0206) and WebSocket (RFC 7395). */
export const WEB_TEXTS = {
  host_meta_invalid: {
    cause: ({ domain }) =>
      `https://${domain}/.well-known/host-meta exists, but is not a valid host-meta document.`,
    remedy: () =>
      'Let the web server return the XRD document of XEP-0156, or pass the path to Prosody with mod_http_altconnect.',
  },
  web_failed: {
    cause: (context) => `${nameOf(context)} gives no HTTP response.`,
    remedy: (context) =>
      `Check the web server on this port, and its certificate. In Prosody, "${moduleOf(context).module}" must be in modules_enabled, and https_ports must have the port.`,
  },
  web_status: {
    cause: (context) => `${nameOf(context)} answers with an HTTP error.`,
    remedy: (context) =>
      `Let the web server pass ${moduleOf(context).path} to port 5280 of Prosody, with the host name of the request. Also add "${moduleOf(context).module}" to modules_enabled in prosody.cfg.lua.`,
  },
  web_not_xmpp: {
    cause: (context) => `${nameOf(context)} answers, but not with XMPP.`,
    remedy: (context) =>
      `Let the web server pass ${moduleOf(context).path} to port 5280 of Prosody, or correct the address in host-meta.`,
  },
  web_insecure: {
    cause: ({ web = 'web', domain }) =>
      `The host-meta document of ${domain} announces ${web} without TLS.`,
    remedy: ({ host }) =>
      `Set http_external_url = "https://${host}/" in prosody.cfg.lua, or write https: and wss: into the host-meta document.`,
  },
} as const satisfies ProblemTexts

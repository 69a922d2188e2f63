import type { IncomingMessage } from 'node:http'
import { timingSafeEqual } from 'node:crypto'
import { isIPv6 } from 'node:net'
import type { Given } from '../config/given.js'
import type { Log } from '../log/log.js'
import { createPasswords, type Passwords } from './passwords.js'
import { createRateLimit } from './rate-limit.js'
import type { TlsConfig } from './read-tls.js'
import { digest, type WebConfig } from './read-web-config.js'
import { createReloadedWebConfig, type WebConfigReloadState } from './reloaded-web-config.js'

/** The response to a request that may not reach the app. */
export type AccessDenial = {
  readonly status: 401 | 403 | 429
  readonly text: string
  readonly headers: Readonly<Record<string, string>>
}

/** `undefined` allows the request. A promise only when bcrypt has to compare a password. */
type Decision = AccessDenial | undefined | Promise<AccessDenial | undefined>

export type WebAccess = {
  /** Whether connections use TLS and may use HTTP/2. Only a restart changes this. */
  readonly tls: { readonly http2: boolean } | undefined
  /** The current TLS configuration: certificates may have changed since the last connection. */
  getTls(): TlsConfig | undefined
  /** Headers that every response has. */
  getHeaders(): readonly (readonly [string, string])[]
  checkRequest(request: Pick<IncomingMessage, 'headers' | 'socket'>): Decision
  /** Reads the web configuration file and the files that it names again, if one of them has changed. */
  refresh(): void
  getReloadState(): WebConfigReloadState
  stop(): Promise<void>
}

const REALM = 'realm="prosody-exporter"'

/**
 * Applies the web configuration file: TLS, headers, networks, rate limit, passwords and tokens. The file is
 * reloaded when it changes; see `createReloadedWebConfig`.
 *
 * @param now Milliseconds of a monotonic clock.
 * @throws ConfigError when the configuration is invalid at the start.
 */
export function createWebAccess(
  file: Given,
  log: Log,
  now: () => number = () => performance.now(),
): WebAccess {
  const reloaded = createReloadedWebConfig(file, log, now)
  const { tls, http2 } = reloaded.current()
  const passwords = createPasswords()
  const takeToken = createConfiguredRateLimit(() => reloaded.current().rateLimit, now)
  return {
    tls: tls && { http2 },
    getTls: () => reloaded.current().tls,
    getHeaders: () => reloaded.current().headers,
    refresh: () => {
      reloaded.refresh()
    },
    checkRequest({ headers, socket }) {
      reloaded.refresh()
      const config = reloaded.current()
      // Before the rate limit, so that other networks cannot use it up.
      if (config.networks && !isInside(config.networks, socket.remoteAddress)) {
        return {
          status: 403,
          text: 'Forbidden: your address is not in allowed_networks of the web configuration file.',
          headers: {},
        }
      }
      if (!takeToken()) {
        return createTooManyRequests('Too many requests: rate_limit is reached. Try again later.')
      }
      if (config.users.size === 0 && config.tokens.length === 0) return undefined
      const client = socket.remoteAddress ?? ''
      return authenticate(headers.authorization ?? '', client, config, passwords)
    },
    getReloadState: () => reloaded.getState(),
    stop: () => passwords.stop(),
  }
}

/** Applies the configured rate limit. A reload that leaves the limit unchanged does not refill the bucket. */
function createConfiguredRateLimit(
  getSetting: () => WebConfig['rateLimit'],
  now: () => number,
): () => boolean {
  let setting = getSetting()
  let takeToken = createRateLimit(setting, now)
  return () => {
    const { intervalMs, burst } = getSetting()
    if (intervalMs !== setting.intervalMs || burst !== setting.burst) {
      setting = { intervalMs, burst }
      takeToken = createRateLimit(setting, now)
    }
    return takeToken()
  }
}

/** Checks the value of the header `Authorization` against the configured users and tokens. */
function authenticate(
  authorization: string,
  client: string,
  config: WebConfig,
  passwords: Passwords,
): Decision {
  const { users, tokens } = config
  const [, scheme = '', credentials = ''] = /^(\w+) +(\S+) *$/.exec(authorization) ?? []
  if (scheme.toLowerCase() === 'bearer') {
    const given = digest(credentials)
    // Compares with every token, so that the time does not depend on which one matches.
    const isRight = tokens.map((token) => timingSafeEqual(token, given)).includes(true)
    return isRight ? undefined : createUnauthorized(config)
  }
  if (scheme.toLowerCase() !== 'basic' || users.size === 0) return createUnauthorized(config)
  const text = Buffer.from(credentials, 'base64').toString()
  const colon = text.indexOf(':')
  if (colon < 0) return createUnauthorized(config)
  const [user, password] = [text.slice(0, colon), text.slice(colon + 1)]
  if (passwords.isKnown(user, password, users)) return undefined
  return passwords.check(user, password, users, client).then((verdict) => {
    if (verdict === 'right') return undefined
    return verdict === 'busy'
      ? createTooManyRequests('Too many logins: passwords wait to be checked. Try again later.')
      : createUnauthorized(config)
  })
}

function isInside(networks: NonNullable<WebConfig['networks']>, address: string | undefined) {
  // A client of a Unix socket has no address. The permissions of the socket decide who may use it.
  if (address === undefined || address === '') return true
  // A socket for IPv6 and IPv4 shows an IPv4 client as ::ffff:192.0.2.1. A link-local address has a zone (%eth0).
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '')
  return networks.check(plain, isIPv6(plain) ? 'ipv6' : 'ipv4')
}

function createUnauthorized({ users, tokens }: WebConfig): AccessDenial {
  const schemes = [
    ...(users.size > 0 ? [`Basic ${REALM}, charset="UTF-8"`] : []),
    ...(tokens.length > 0 ? [`Bearer ${REALM}`] : []),
  ]
  const expected = [
    ...(users.size > 0 ? ['a user and password of basic_auth_users'] : []),
    ...(tokens.length > 0 ? ['a token of bearer_token_files'] : []),
  ]
  return {
    status: 401,
    text: `Unauthorized: send ${expected.join(', or ')}.`,
    headers: { 'WWW-Authenticate': schemes.join(', ') },
  }
}

function createTooManyRequests(text: string): AccessDenial {
  return { status: 429, text, headers: { 'Retry-After': '1' } }
}

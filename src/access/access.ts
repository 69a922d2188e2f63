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

/** The response to a request that the web configuration file does not allow. */
export type AccessDenial = {
  readonly status: 401 | 403 | 429
  readonly text: string
  readonly headers: Readonly<Record<string, string>>
}

/**
 * The response to a denied request; `undefined` if the request is allowed. It is a promise only for a password that
 * is not in the cache of right passwords.
 */
type Decision = AccessDenial | undefined | Promise<AccessDenial | undefined>

export type WebAccess = {
  /**
   * `undefined` for connections without TLS. `http2` says whether clients can use HTTP/2. Only a restart
   * changes both.
   */
  readonly tls: { readonly http2: boolean } | undefined
  /** Returns the current TLS configuration; `undefined` without TLS. A reload can change it. */
  getTls(): TlsConfig | undefined
  /** Returns the headers that are added to every response. */
  getHeaders(): readonly (readonly [string, string])[]
  checkRequest(request: Pick<IncomingMessage, 'headers' | 'socket'>): Decision
  /** Reloads the web configuration file if it, or a file that it names, has changed. */
  refresh(): void
  getReloadState(): WebConfigReloadState
  stop(): Promise<void>
}

const REALM = 'realm="prosody-exporter"'

/**
 * Applies the settings of the web configuration file: TLS, headers, networks, rate limit, passwords and tokens.
 * The file is reloaded when it changes, see `createReloadedWebConfig`.
 *
 * @param now Returns the time of a monotonic clock in milliseconds.
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
      // The network is checked before the rate limit, so that clients of other networks cannot use up the rate
      // limit.
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

/**
 * Applies the configured rate limit with a token bucket. A reload that does not change `rate_limit` does not
 * refill the bucket.
 */
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
    // The given token is compared with every configured token, so that the time does not reveal which one
    // matches.
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
      ? createTooManyRequests(
          'Too many logins: the queue of passwords to check is full. Try again later.',
        )
      : createUnauthorized(config)
  })
}

function isInside(networks: NonNullable<WebConfig['networks']>, address: string | undefined) {
  // A client of a Unix socket has no address, so it is allowed. The permissions of the socket file decide who
  // can connect.
  if (address === undefined || address === '') return true
  // On a socket for both IPv6 and IPv4, the address of an IPv4 client is for example ::ffff:192.0.2.1. A
  // link-local address ends with a zone, for example %eth0.
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

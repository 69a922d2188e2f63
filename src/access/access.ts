import { statSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { timingSafeEqual } from 'node:crypto'
import { isIPv6 } from 'node:net'
import { ConfigError } from '../errors.js'
import type { Given } from '../config/given.js'
import type { Log } from '../log/log.js'
import { handshakeProblem, rememberLast } from './tls-handshake.js'
import { createPasswords } from './passwords.js'
import { createRateLimit } from './rate-limit.js'
import type { TlsConfig } from './read-tls.js'
import { digest, readWebConfig, type WebConfig } from './read-web-config.js'
import { asksClients } from './tls.js'

/** What becomes of a request before it is one of the app's. */
export type AccessDenial = {
  readonly status: 401 | 403 | 429
  readonly text: string
  readonly headers: Readonly<Record<string, string>>
}

export type WebAccess = {
  /** Whether connections are encrypted, and may be HTTP/2: as it was at the start. */
  readonly tls: { readonly http2: boolean } | undefined
  /** Of now: certificates may have changed since the last connection. */
  currentTls(): TlsConfig | undefined
  /** Headers of every response. */
  headers(): readonly (readonly [string, string])[]
  /** Why the request is refused; `undefined`: it isn't. A promise only where a password is compared. */
  refusal(
    request: Pick<IncomingMessage, 'headers' | 'socket'>,
  ): AccessDenial | undefined | Promise<AccessDenial | undefined>
  /** Reads the file and what it names anew, if any of it has changed. */
  refresh(): void
  /** Whether what is there now could be read, and when it was last. */
  state(): { readonly isSuccessful: boolean; readonly lastSuccessSeconds: number }
  stop(): Promise<void>
}

// The toolkit reads the file at each request; looking whether it has changed is enough, and not each time.
const LOOK_AFTER_MS = 1000
const REALM = 'realm="prosody-exporter"'

/**
 * The web configuration file at work. It is read anew when it, or a file that it names, has changed; while
 * what is there now is wrong the last that was right stays.
 *
 * @throws ConfigError when it is wrong at the start.
 */
export function createWebAccess(
  file: Given,
  log: Log,
  now: () => number = () => performance.now(),
): WebAccess {
  const handshake = rememberLast(handshakeProblem)
  let config = readWebConfig(file, handshake)
  const isEncrypted = config.tls !== undefined
  const isHttp2 = config.http2
  const isAsking = config.tls !== undefined && asksClients(config.tls.auth)
  let limit = createRateLimit(config.rateLimit, now)
  let seen = fingerprint(config.files)
  let lookedAt = now()
  let state = { isSuccessful: true, lastSuccessSeconds: Date.now() / 1000 }
  let problem = ''
  const passwords = createPasswords()

  function refresh(): void {
    if (now() - lookedAt < LOOK_AFTER_MS) return
    lookedAt = now()
    const current = fingerprint(config.files)
    if (current === seen && state.isSuccessful) return
    seen = current
    try {
      const read = readWebConfig(file, handshake)
      const asks = read.tls !== undefined && asksClients(read.tls.auth)
      const isSame = (read.tls !== undefined) === isEncrypted && asks === isAsking
      if (!isSame || (isEncrypted && read.http2 !== isHttp2)) {
        throw new ConfigError(
          `${file.source}: expected TLS, HTTP/2 and NoClientCert as at the start, got a change: restart for it`,
        )
      }
      // An empty file is a right one, and what a full disk or an editor makes of it.
      const left = guardsOf(read)
      const gone = guardsOf(config).filter((guard) => !left.includes(guard))
      if (gone.length > 0) {
        throw new ConfigError(
          `${file.source}: expected ${gone.join(' and ')} as before, got none at all: restart for it`,
        )
      }
      // A bucket that was emptied is not full again for a change elsewhere.
      const { intervalMs, burst } = read.rateLimit
      if (intervalMs !== config.rateLimit.intervalMs || burst !== config.rateLimit.burst) {
        limit = createRateLimit(read.rateLimit, now)
      }
      // As they were before: what has changed since is read the next time.
      seen = read.files.join() === config.files.join() ? current : fingerprint(read.files)
      config = read
      problem = ''
      state = { isSuccessful: true, lastSuccessSeconds: Date.now() / 1000 }
      log.info('web configuration read anew', {})
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      state = { ...state, isSuccessful: false }
      if (error.message === problem) return
      problem = error.message
      log.error('web configuration not read anew, the one before goes on', { error: problem })
    }
  }

  function authorize(
    authorization: string,
    client: string,
  ): AccessDenial | undefined | Promise<AccessDenial | undefined> {
    const { users, tokens } = config
    const [, scheme = '', credentials = ''] = /^(\w+) +(\S+) *$/.exec(authorization) ?? []
    if (scheme.toLowerCase() === 'bearer') {
      const given = digest(credentials)
      const isRight = tokens.map((token) => timingSafeEqual(token, given)).includes(true)
      return isRight ? undefined : unauthorized(config)
    }
    if (scheme.toLowerCase() !== 'basic' || users.size === 0) return unauthorized(config)
    const text = Buffer.from(credentials, 'base64').toString()
    const colon = text.indexOf(':')
    if (colon < 0) return unauthorized(config)
    const [user, password] = [text.slice(0, colon), text.slice(colon + 1)]
    if (passwords.isKnown(user, password, users)) return undefined
    return passwords.check(user, password, users, client).then((verdict) => {
      if (verdict === 'right') return undefined
      return verdict === 'busy' ? tooMany('Too many logins at once.') : unauthorized(config)
    })
  }

  return {
    tls: isEncrypted ? { http2: isHttp2 } : undefined,
    currentTls: () => config.tls,
    headers: () => config.headers,
    refresh,
    refusal({ headers, socket }) {
      refresh()
      // First, so that strangers don't use up what the others may ask.
      if (config.networks && !isInside(config.networks, socket.remoteAddress)) {
        return { status: 403, text: 'Not from this address.', headers: {} }
      }
      if (!limit()) return tooMany('Too many requests.')
      if (config.users.size === 0 && config.tokens.length === 0) return undefined
      return authorize(headers.authorization ?? '', socket.remoteAddress ?? '')
    },
    state: () => state,
    stop: () => passwords.stop(),
  }
}

/** What keeps somebody out; turned off altogether it is more likely a mistake. */
function guardsOf({ users, tokens, networks, tls }: WebConfig): string[] {
  return [
    ...(users.size > 0 || tokens.length > 0 ? ['logins'] : []),
    ...(networks ? ['allowed_networks'] : []),
    ...(tls?.allowedSans ? ['client_allowed_sans'] : []),
  ]
}

function isInside(networks: NonNullable<WebConfig['networks']>, address: string | undefined) {
  // A socket file has none: its permissions say who may use it.
  if (address === undefined || address === '') return true
  // An IPv4 client of a socket that has both.
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '')
  return networks.check(plain, isIPv6(plain) ? 'ipv6' : 'ipv4')
}

function unauthorized({ users, tokens }: WebConfig): AccessDenial {
  const schemes = [
    ...(users.size > 0 ? [`Basic ${REALM}, charset="UTF-8"`] : []),
    ...(tokens.length > 0 ? [`Bearer ${REALM}`] : []),
  ]
  return {
    status: 401,
    text: 'Unauthorized.',
    headers: { 'WWW-Authenticate': schemes.join(', ') },
  }
}

function tooMany(text: string): AccessDenial {
  return { status: 429, text, headers: { 'Retry-After': '1' } }
}

/** Tells whether any of the files has been changed, exchanged or removed. */
function fingerprint(files: readonly string[]): string {
  return files
    .map((file) => {
      try {
        const { ino, size, mtimeMs, ctimeMs } = statSync(file)
        return [ino, size, mtimeMs, ctimeMs].join()
      } catch {
        return 'none'
      }
    })
    .join(' ')
}

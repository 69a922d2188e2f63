import { createPublicKey, X509Certificate } from 'node:crypto'
import { createSecureContext, type TlsOptions } from 'node:tls'
import type { Path } from '../config/parse-yaml.js'
import type { ConfigError } from '../errors.js'
import type { WebFile } from './web-schema.js'
import type { Handshake } from './tls-handshake.js'
import { CIPHERS, cipherText, CLIENT_AUTH, clientOptions, CURVES, VERSIONS } from './tls.js'
import type { ClientAuth } from './tls.js'

export type TlsConfig = {
  readonly options: TlsOptions
  readonly auth: ClientAuth
  /** `undefined`: any name is right. */
  readonly allowedSans: readonly string[] | undefined
}

/** A value of the file that is wrong: where, and what was expected. Never what it is. */
export type Wrong = (path: Path, what: string, of?: 'value' | 'key') => ConfigError
type Named = 'min_version' | 'max_version' | 'cipher_suites' | 'curve_preferences'
/** A file that a value names, as text. */
export type ReadFile = (path: Path, file: string, isSecret?: boolean) => string

type Section = NonNullable<WebFile['tls_server_config']>
type Pem = 'cert' | 'key' | 'client_ca'

/** What the reading of a section needs of its file. */
type Reader = { readonly wrong: Wrong; readonly read: ReadFile; readonly handshake: Handshake }

const at = (key: string): Path => ['tls_server_config', key]
/** HTTP/2 asks for one of them below TLS 1.3. @see RFC 9113 §9.2.2 */
const HTTP2_SUITES = [
  'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256',
  'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
]

/** The section `tls_server_config`, with what it names. */
export function readTls(file: WebFile, isHttp2: boolean, reader: Reader): TlsConfig | undefined {
  const section = file.tls_server_config ?? {}
  const settings = namedSettings(section, reader.wrong)
  // As the toolkit has it, other keys alone don't turn TLS on.
  const isOn = [
    ...PEMS.flatMap((key) => [key, `${key}_file`] as const),
    'client_auth_type' as const,
  ]
  if (isOn.every((key) => (section[key] ?? '') === '')) return undefined
  const { wrong, handshake } = reader
  const { cert, key, ca } = pems(section, reader)
  const auth = clientAuth(section, ca !== undefined, wrong)
  const { minVersion, maxVersion, suites, curves } = settings
  if (minVersion > maxVersion) {
    throw wrong(at('min_version'), 'expected no later version than max_version, got one')
  }
  const isHttp2Possible = suites.length === 0 || suites.some((each) => HTTP2_SUITES.includes(each))
  if (isHttp2 && minVersion < 'TLSv1.3' && !isHttp2Possible) {
    throw wrong(
      at('cipher_suites'),
      `expected ${HTTP2_SUITES.join(' or ')} (or http2: false), got neither`,
    )
  }
  const options: TlsOptions = {
    cert,
    key,
    ...(ca !== undefined && { ca }),
    minVersion,
    maxVersion,
    honorCipherOrder: section.prefer_server_cipher_suites ?? true,
    ciphers: cipherText(suites, minVersion),
    ...(curves.length > 0 && { ecdhCurve: curves.join(':') }),
    ...clientOptions(auth),
  }
  check(options, { cert, key, ca }, wrong, (name) =>
    at((section[`${name}_file`] ?? '') === '' ? name : `${name}_file`),
  )
  const problem = handshake(options)
  if (problem !== undefined) {
    throw wrong(
      ['tls_server_config'],
      `expected settings with which a client can connect, got a test connection that failed (${problem}): ` +
        'change cipher_suites, max_version or curve_preferences, or take a key of another type',
    )
  }
  return { options, auth, allowedSans: section.client_allowed_sans }
}

const PEMS = ['cert', 'key', 'client_ca'] as const

/** The settings that have names, which are checked in a section without TLS too. */
function namedSettings(section: Section, wrong: Wrong) {
  function named<T>(key: Named, names: Readonly<Record<string, T>>): T[] {
    const values = [section[key] ?? []].flat()
    return values.map((name, i) => {
      const path = Array.isArray(section[key]) ? [...at(key), i] : at(key)
      if (!Object.hasOwn(names, name)) {
        throw wrong(path, `expected one of ${Object.keys(names).join(', ')}, got another`)
      }
      return names[name]!
    })
  }
  const [minVersion = 'TLSv1.2'] = named('min_version', VERSIONS)
  const [maxVersion = 'TLSv1.3'] = named('max_version', VERSIONS)
  named('cipher_suites', CIPHERS)
  const suites = section.cipher_suites ?? []
  return { minVersion, maxVersion, suites, curves: named('curve_preferences', CURVES) }
}

function pems(section: Section, { wrong, read }: Reader) {
  function pem(key: Pem): string | undefined {
    const inline = section[key] ?? ''
    const name = section[`${key}_file`] ?? ''
    // As the toolkit has it, of both the file counts.
    if (name !== '') return read(at(`${key}_file`), name)
    return inline === '' ? undefined : inline
  }
  const [cert, key, ca] = [pem('cert'), pem('key'), pem('client_ca')]
  if (cert === undefined) throw wrong(at('cert_file'), 'expected cert or cert_file, got neither')
  if (key === undefined) throw wrong(at('key_file'), 'expected key or key_file, got neither')
  return { cert, key, ca }
}

/** Without a `client_ca` the clients' certificates are those of authorities that Node.js trusts. */
function clientAuth(section: Section, hasCa: boolean, wrong: Wrong): ClientAuth {
  const { client_auth_type: name = '' } = section
  const auth = name === '' ? 'NoClientCert' : CLIENT_AUTH.find((each) => each === name)
  if (auth === undefined) {
    throw wrong(at('client_auth_type'), `expected one of ${CLIENT_AUTH.join(', ')}, got another`)
  }
  if (hasCa && auth === 'NoClientCert') {
    const isFile = (section.client_ca_file ?? '') !== ''
    throw wrong(
      at(isFile ? 'client_ca_file' : 'client_ca'),
      'expected client_auth_type with it, got none',
    )
  }
  return auth
}

/**
 * Whether OpenSSL takes it, each part by itself so that the message names the right one. It takes a
 * certificate and a key of different types, and then fails at each handshake: their public keys tell.
 */
function check(
  options: TlsOptions,
  { cert, key, ca }: { cert: string; key: string; ca: string | undefined },
  wrong: Wrong,
  placeOf: (key: Pem) => Path,
): void {
  const parts = [
    ['cert', { cert }, 'a certificate in PEM'],
    ['key', { key }, 'a private key in PEM without a passphrase'],
    ['client_ca', { ca }, 'certificates in PEM'],
    ['key', { cert, key }, 'the key of that certificate'],
  ] as const
  for (const [name, part, expected] of parts) {
    try {
      createSecureContext(part)
      if ('cert' in part && 'key' in part && !isPair(part.cert, part.key)) throw new Error(expected)
    } catch {
      throw wrong(placeOf(name), `expected ${expected}, got something else`)
    }
    if (name === 'client_ca' && ca !== undefined && !ca.includes('-----BEGIN CERTIFICATE-----')) {
      throw wrong(placeOf(name), `expected ${expected}, got something else`)
    }
  }
  try {
    createSecureContext(options)
  } catch (error) {
    const { message } = error as Error
    throw wrong(['tls_server_config'], `expected what OpenSSL takes, got: ${message}`)
  }
}

function isPair(cert: string, key: string): boolean {
  return new X509Certificate(cert).publicKey.equals(createPublicKey(key))
}

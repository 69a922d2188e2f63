import { createPublicKey, X509Certificate } from 'node:crypto'
import { createSecureContext, type TlsOptions } from 'node:tls'
import type { Path } from '../config/parse-yaml.js'
import type { ConfigError } from '../errors.js'
import type { WebFile } from './web-schema.js'
import type { HandshakeTest } from './tls-handshake.js'
import {
  CIPHERS,
  buildCipherList,
  CLIENT_AUTH,
  buildClientOptions,
  CURVES,
  VERSIONS,
} from './tls.js'
import type { ClientAuth } from './tls.js'

export type TlsConfig = {
  readonly options: TlsOptions
  readonly auth: ClientAuth
  /** The names of which a client certificate must have one; `undefined` allows a certificate with any names. */
  readonly allowedSans: readonly string[] | undefined
}

/**
 * Creates the error for a wrong value. The message has its place and what was expected, but not the value,
 * which can be a secret.
 */
export type CreateError = (path: Path, what: string, of?: 'value' | 'key') => ConfigError
type EnumKey = 'min_version' | 'max_version' | 'cipher_suites' | 'curve_preferences'
/** Reads a file whose name is the value at `path` in the web configuration file. */
export type ReadNamedFile = (path: Path, file: string, isSecret?: boolean) => string

type Section = NonNullable<WebFile['tls_server_config']>
type Pem = 'cert' | 'key' | 'client_ca'

/** What the functions of this file need from the web configuration file. */
type TlsReader = {
  readonly wrong: CreateError
  readonly read: ReadNamedFile
  readonly handshake: HandshakeTest
}

const at = (key: string): Path => ['tls_server_config', key]
/**
 * With TLS 1.2, HTTP/2 requires the first of these cipher suites (RFC 9113 §9.2.2). Like Go, the exporter accepts
 * the second instead.
 */
const HTTP2_SUITES = [
  'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256',
  'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
]

/**
 * Reads `tls_server_config` of the web configuration file, and the files that it names. Returns `undefined`
 * without TLS.
 */
export function readTls(file: WebFile, isHttp2: boolean, reader: TlsReader): TlsConfig | undefined {
  const section = file.tls_server_config ?? {}
  const settings = readNamedSettings(section, reader.wrong)
  // TLS is on if at least one of these keys has a value, like in exporter-toolkit. The other keys do not turn
  // it on.
  const keysThatTurnOn = [
    ...PEMS.flatMap((key) => [key, `${key}_file`] as const),
    'client_auth_type' as const,
  ]
  if (keysThatTurnOn.every((key) => (section[key] ?? '') === '')) return undefined
  const { wrong, handshake } = reader
  const { cert, key, ca } = readPems(section, reader)
  const auth = readClientAuth(section, ca !== undefined, wrong)
  const { minVersion, maxVersion, suites, curves } = settings
  if (minVersion > maxVersion) {
    throw wrong(at('min_version'), 'expected at most max_version, got a later version')
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
    ciphers: buildCipherList(suites, minVersion),
    ...(curves.length > 0 && { ecdhCurve: curves.join(':') }),
    ...buildClientOptions(auth),
  }
  checkWithOpenSsl(options, { cert, key, ca }, wrong, (name) =>
    at((section[`${name}_file`] ?? '') === '' ? name : `${name}_file`),
  )
  const problem = handshake(options)
  if (problem !== undefined) {
    throw wrong(
      ['tls_server_config'],
      `expected settings with which a client can connect, got a failed test handshake (${problem}). ` +
        'Change cipher_suites, max_version or curve_preferences, or use a key of another type.',
    )
  }
  return { options, auth, allowedSans: section.client_allowed_sans }
}

const PEMS = ['cert', 'key', 'client_ca'] as const

/** Reads the TLS versions, cipher suites and curves. Their names are checked even if TLS is off. */
function readNamedSettings(section: Section, wrong: CreateError) {
  function readNames<T>(key: EnumKey, names: Readonly<Record<string, T>>): T[] {
    const values = [section[key] ?? []].flat()
    return values.map((name, i) => {
      const path = Array.isArray(section[key]) ? [...at(key), i] : at(key)
      if (!Object.hasOwn(names, name)) {
        throw wrong(path, `expected one of ${Object.keys(names).join(', ')}, got another`)
      }
      return names[name]!
    })
  }
  const [minVersion = 'TLSv1.2'] = readNames('min_version', VERSIONS)
  const [maxVersion = 'TLSv1.3'] = readNames('max_version', VERSIONS)
  readNames('cipher_suites', CIPHERS)
  const suites = section.cipher_suites ?? []
  return { minVersion, maxVersion, suites, curves: readNames('curve_preferences', CURVES) }
}

function readPems(section: Section, { wrong, read }: TlsReader) {
  function pem(key: Pem): string | undefined {
    const inline = section[key] ?? ''
    const name = section[`${key}_file`] ?? ''
    // If both are set, for example cert_file and cert, the file overrides the inline value, like in
    // exporter-toolkit.
    if (name !== '') return read(at(`${key}_file`), name)
    return inline === '' ? undefined : inline
  }
  const [cert, key, ca] = [pem('cert'), pem('key'), pem('client_ca')]
  if (cert === undefined) throw wrong(at('cert_file'), 'expected cert or cert_file, got neither')
  if (key === undefined) throw wrong(at('key_file'), 'expected key or key_file, got neither')
  return { cert, key, ca }
}

/**
 * Reads `client_auth_type`. If its value requires verification and `client_ca` is not set, client certificates are
 * verified with the certificate authorities that Node.js trusts by default.
 */
function readClientAuth(section: Section, hasCa: boolean, wrong: CreateError): ClientAuth {
  const { client_auth_type: name = '' } = section
  const auth = name === '' ? 'NoClientCert' : CLIENT_AUTH.find((each) => each === name)
  if (auth === undefined) {
    throw wrong(at('client_auth_type'), `expected one of ${CLIENT_AUTH.join(', ')}, got another`)
  }
  if (hasCa && auth === 'NoClientCert') {
    const isFile = (section.client_ca_file ?? '') !== ''
    throw wrong(
      at(isFile ? 'client_ca_file' : 'client_ca'),
      'expected client_auth_type to be set together with client_ca, got none',
    )
  }
  return auth
}

/**
 * Checks with OpenSSL each certificate and key alone, so that the error message names the wrong one, and then
 * all TLS options together. OpenSSL accepts a certificate and a key of different types, with which every
 * handshake fails. So the public keys of both are compared.
 *
 * @throws ConfigError for the first wrong value.
 */
function checkWithOpenSsl(
  options: TlsOptions,
  { cert, key, ca }: { cert: string; key: string; ca: string | undefined },
  wrong: CreateError,
  placeOf: (key: Pem) => Path,
): void {
  const parts = [
    ['cert', { cert }, 'a certificate in PEM'],
    ['key', { key }, 'a private key in PEM without a passphrase'],
    ['client_ca', { ca }, 'certificates in PEM'],
    ['key', { cert, key }, 'the private key of the certificate'],
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
    throw wrong(
      ['tls_server_config'],
      `expected settings that OpenSSL accepts, got the error: ${message}`,
    )
  }
}

function isPair(cert: string, key: string): boolean {
  return new X509Certificate(cert).publicKey.equals(createPublicKey(key))
}

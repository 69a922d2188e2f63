import { createPublicKey, X509Certificate } from 'node:crypto'
import { createSecureContext, type TlsOptions } from 'node:tls'
import type { Path } from '../config-yaml.js'
import type { ConfigError } from '../errors.js'
import type { WebFile } from './schema.js'
import { CIPHERS, cipherText, CLIENT_AUTH, clientOptions, CURVES, VERSIONS } from './tls.js'
import type { ClientAuth } from './tls.js'

export type TlsConfig = {
  readonly options: TlsOptions
  readonly auth: ClientAuth
  /** `undefined`: any name is right. */
  readonly allowedSans: readonly string[] | undefined
}

/** A value of the file that is wrong: where, and what was expected. Never what it is. */
export type Wrong = (path: Path, what: string) => ConfigError
type Named =
  'client_auth_type' | 'min_version' | 'max_version' | 'cipher_suites' | 'curve_preferences'
/** A file that a value names, as text. */
export type Read = (path: Path, file: string, isSecret?: boolean) => string

/** The section `tls_server_config`, with what it names. */
export function readTls(file: WebFile, wrong: Wrong, read: Read): TlsConfig | undefined {
  const section = file.tls_server_config
  // As the toolkit has it, a section without anything in it is none.
  if (!section || Object.values(section).every((value) => value === '')) return undefined
  const at = (key: string): Path => ['tls_server_config', key]

  function pem(key: 'cert' | 'key' | 'client_ca'): string | undefined {
    const inline = section![key] ?? ''
    const name = section![`${key}_file`] ?? ''
    if (inline !== '' && name !== '') {
      throw wrong(at(`${key}_file`), `expected either ${key} or ${key}_file, got both`)
    }
    if (name !== '') return read(at(`${key}_file`), name)
    return inline === '' ? undefined : inline
  }

  function named<T>(key: Named, names: Readonly<Record<string, T>>): T[] {
    const values = [section![key] ?? []].flat()
    return values.map((name, i) => {
      const path = Array.isArray(section![key]) ? [...at(key), i] : at(key)
      if (!Object.hasOwn(names, name)) {
        throw wrong(path, `expected one of ${Object.keys(names).join(', ')}, got another`)
      }
      return names[name]!
    })
  }

  const [cert, key, ca] = [pem('cert'), pem('key'), pem('client_ca')]
  if (cert === undefined) throw wrong(at('cert_file'), 'expected cert or cert_file, got neither')
  if (key === undefined) throw wrong(at('key_file'), 'expected key or key_file, got neither')
  const authNames = Object.fromEntries(CLIENT_AUTH.map((name) => [name, name]))
  const [auth = 'NoClientCert'] =
    section.client_auth_type === '' ? [] : named<ClientAuth>('client_auth_type', authNames)
  if (ca !== undefined && auth === 'NoClientCert') {
    const path = at(section.client_ca === undefined ? 'client_ca_file' : 'client_ca')
    throw wrong(path, 'expected client_auth_type with it, got none')
  }
  if (ca === undefined && /Verify/.test(auth)) {
    throw wrong(at('client_auth_type'), 'expected client_ca_file with it, got none')
  }
  const [minVersion = 'TLSv1.2'] = named('min_version', VERSIONS)
  const [maxVersion = 'TLSv1.3'] = named('max_version', VERSIONS)
  if (minVersion > maxVersion) {
    throw wrong(at('min_version'), 'expected no later version than max_version, got one')
  }
  named('cipher_suites', CIPHERS)
  const suites = section.cipher_suites ?? []
  const curves = named('curve_preferences', CURVES)
  const options: TlsOptions = {
    cert,
    key,
    ...(ca !== undefined && { ca }),
    minVersion,
    maxVersion,
    honorCipherOrder: section.prefer_server_cipher_suites ?? true,
    ciphers: cipherText(suites),
    ...(curves.length > 0 && { ecdhCurve: curves.join(':') }),
    ...clientOptions(auth),
  }
  check(options, { cert, key, ca }, wrong, (name) =>
    at((section as Record<string, unknown>)[name] === undefined ? `${name}_file` : name),
  )
  return { options, auth, allowedSans: section.client_allowed_sans }
}

/**
 * Whether OpenSSL takes it, each part by itself so that the message names the right one. It takes a
 * certificate and a key of different types, and then fails at each handshake: their public keys tell.
 */
function check(
  options: TlsOptions,
  { cert, key, ca }: { cert: string; key: string; ca: string | undefined },
  wrong: Wrong,
  at: (key: string) => Path,
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
      throw wrong(at(name), `expected ${expected}, got something else`)
    }
    if (name === 'client_ca' && ca !== undefined && !ca.includes('-----BEGIN CERTIFICATE-----')) {
      throw wrong(at(name), `expected ${expected}, got something else`)
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

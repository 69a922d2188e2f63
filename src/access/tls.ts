import type { TlsOptions } from 'node:tls'
import { normalizeSan, readSans } from './sans.js'

/**
 * The values of `client_auth_type`: the five of Go's crypto/tls, and `RequireClientCert`, an old name of
 * `RequireAnyClientCert`.
 */
export const CLIENT_AUTH = [
  'NoClientCert',
  'RequestClientCert',
  'RequireAnyClientCert',
  'RequireClientCert',
  'VerifyClientCertIfGiven',
  'RequireAndVerifyClientCert',
] as const
export type ClientAuth = (typeof CLIENT_AUTH)[number]

export const VERSIONS = {
  TLS10: 'TLSv1',
  TLS11: 'TLSv1.1',
  TLS12: 'TLSv1.2',
  TLS13: 'TLSv1.3',
} as const

/** The names of curves in OpenSSL, by their names in Go. */
export const CURVES: Readonly<Record<string, string>> = {
  CurveP256: 'P-256',
  CurveP384: 'P-384',
  CurveP521: 'P-521',
  X25519: 'X25519',
}

const TLS13_SUITES = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
]

/** The names of cipher suites in OpenSSL, by their names in Go, which are the names of IANA. */
export const CIPHERS: Readonly<Record<string, string>> = {
  ...Object.fromEntries(TLS13_SUITES.map((name) => [name, name])),
  TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA: 'ECDHE-ECDSA-AES128-SHA',
  TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA: 'ECDHE-ECDSA-AES256-SHA',
  TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA: 'ECDHE-RSA-AES128-SHA',
  TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA: 'ECDHE-RSA-AES256-SHA',
  TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: 'ECDHE-ECDSA-AES128-GCM-SHA256',
  TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: 'ECDHE-ECDSA-AES256-GCM-SHA384',
  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: 'ECDHE-RSA-AES128-GCM-SHA256',
  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: 'ECDHE-RSA-AES256-GCM-SHA384',
  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: 'ECDHE-ECDSA-CHACHA20-POLY1305',
  TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: 'ECDHE-RSA-CHACHA20-POLY1305',
}

/**
 * Builds a cipher list for OpenSSL. Like in Go, the list always contains the cipher suites of TLS 1.3.
 *
 * @param names The names of cipher suites in Go. If empty, the list contains all cipher suites of `CIPHERS` with
 *   forward secrecy and authenticated encryption.
 * @param minVersion If this is a version below TLS 1.2, the list sets the security level to 0. Otherwise
 *   OpenSSL 3 would reject handshakes with TLS 1.0 and 1.1.
 */
export function buildCipherList(names: readonly string[], minVersion: string): string {
  if (names.length === 0)
    names = Object.keys(CIPHERS).filter((name) => /ECDHE.*(GCM|POLY)/.test(name))
  const suites = [...new Set([...TLS13_SUITES, ...names.map((name) => CIPHERS[name]!)])]
  return [...suites, ...(minVersion < 'TLSv1.2' ? ['@SECLEVEL=0'] : [])].join(':')
}

/**
 * Builds the TLS options that request a certificate from clients. With these options, Node.js accepts any
 * certificate. `findClientProblem` then checks the certificate with the current settings, which can change
 * while the server listens.
 */
export function buildClientOptions(
  auth: ClientAuth,
): Pick<TlsOptions, 'requestCert' | 'rejectUnauthorized'> {
  return {
    requestCert: shouldRequestCertificate(auth),
    rejectUnauthorized: false,
  }
}

export function shouldRequestCertificate(auth: ClientAuth): boolean {
  return auth !== 'NoClientCert'
}

/** The properties of a TLSSocket on the server side that describe the client. */
export type TlsClient = {
  readonly authorized: boolean
  getPeerCertificate(): { readonly raw?: Uint8Array } | undefined
}

/**
 * Returns why a client is rejected; `undefined` if the client is accepted.
 *
 * @param allowedSans The names of which the client certificate must have one. An empty list rejects every client,
 *   unless `auth` is `NoClientCert`. `undefined` allows a certificate with any names.
 */
export function findClientProblem(
  client: TlsClient,
  auth: ClientAuth,
  allowedSans: readonly string[] | undefined,
): string | undefined {
  if (auth === 'NoClientCert') return undefined
  const certificate = client.getPeerCertificate()?.raw
  const isNeeded = auth.startsWith('Require') || allowedSans !== undefined
  if (certificate === undefined) return isNeeded ? 'it sent no certificate' : undefined
  if (auth.includes('Verify') && !client.authorized)
    return 'its certificate is invalid, or client_ca did not sign it'
  if (allowedSans === undefined) return undefined
  const allowed = new Set(allowedSans.map(normalizeSan))
  return readSans(certificate).some((name) => allowed.has(name))
    ? undefined
    : 'none of the names in its certificate is in client_allowed_sans'
}

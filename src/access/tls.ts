import type { TlsOptions } from 'node:tls'
import { normalizeSan, readSans } from './sans.js'

/** The five of Go's crypto/tls, and the old name of one of them. */
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

/** Go's names of curves. */
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

/** Go's names of cipher suites, which are IANA's, and OpenSSL's of the same. */
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
 * OpenSSL's list of these suites, or without any of those that Go offers by default: each with forward
 * secrecy and authenticated encryption. As in Go, the suites of TLS 1.3 cannot be chosen.
 *
 * @param names Go's names.
 * @param minVersion OpenSSL 3 signs no handshake of TLS 1.1 and older, unless its security level is 0.
 */
export function buildCipherList(names: readonly string[], minVersion: string): string {
  if (names.length === 0)
    names = Object.keys(CIPHERS).filter((name) => /ECDHE.*(GCM|POLY)/.test(name))
  const suites = [...new Set([...TLS13_SUITES, ...names.map((name) => CIPHERS[name]!)])]
  return [...suites, ...(minVersion < 'TLSv1.2' ? ['@SECLEVEL=0'] : [])].join(':')
}

/**
 * What Node is told about certificates of clients: to ask for one. Whether it will do `clientProblem` looks
 * at, by what the file says now, for this can't be changed while the server listens.
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

/** The server's end of a TLS connection, as far as it concerns the client. */
export type TlsClient = {
  readonly authorized: boolean
  getPeerCertificate(): { readonly raw?: Uint8Array } | undefined
}

/**
 * Why a client is refused; `undefined` when it is not.
 *
 * @param allowedSans An empty list refuses every client. `undefined`: any name is right.
 */
export function findClientProblem(
  client: TlsClient,
  auth: ClientAuth,
  allowedSans: readonly string[] | undefined,
): string | undefined {
  if (auth === 'NoClientCert') return undefined
  const certificate = client.getPeerCertificate()?.raw
  const isNeeded = auth.startsWith('Require') || allowedSans !== undefined
  if (certificate === undefined) return isNeeded ? 'it has no certificate' : undefined
  if (auth.includes('Verify') && !client.authorized) return 'its certificate is not of client_ca'
  if (allowedSans === undefined) return undefined
  const allowed = new Set(allowedSans.map(normalizeSan))
  return readSans(certificate).some((name) => allowed.has(name))
    ? undefined
    : 'none of the names in its certificate is in client_allowed_sans'
}

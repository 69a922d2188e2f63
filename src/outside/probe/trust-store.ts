import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import * as tls from 'node:tls'
import { createRecentResults, type RecentResults } from './recent-results.js'

/** The certification authorities that the checks trust, and the TLS context with them. */
export type TrustStore = {
  /**
   * The TLS context of all checks. It accepts old versions and weak keys, so that a check can name them. A caller must
   * judge the certificate itself.
   */
  getContext(): tls.SecureContext
  /** Returns the trusted certificate that issued a certificate, or that is this certificate. */
  findIssuer(certificate: X509Certificate): X509Certificate | undefined
  /** What was judged of certificates. Most endpoints send the same ones in each round. */
  readonly judgements: RecentResults
}

/** An hour: a certificate that expires in the meantime has another verdict of OpenSSL. */
const JUDGEMENT_LIFETIME_MS = 3_600_000
const MAX_JUDGEMENTS = 5000

/**
 * TLS 1.3 needs its own cipher suites, because Node.js turns this version off if a list has only ciphers of older
 * versions. Level 0 of OpenSSL also allows TLS 1.0 and SHA-1, which the checks then report.
 */
const CIPHERS = [
  'DEFAULT@SECLEVEL=0',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_128_GCM_SHA256',
].join(':')

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/** The part of the module `tls` of newer versions of Node.js than the type definitions have. */
type NewerTls = { readonly getCACertificates?: (type: 'default') => readonly string[] }

/**
 * Creates the trust store of the process: the authorities that Node.js trusts, and those of a file. The certificates are
 * parsed when the first check needs them.
 *
 * @param options.extraFile The path of a file with further authorities in PEM, for example that of NODE_EXTRA_CA_CERTS.
 * @throws {Error} The file cannot be read, or it has no certificate.
 */
export function createTrustStore(options: { readonly extraFile?: string } = {}): TrustStore {
  const extra = options.extraFile === undefined ? [] : readAuthorities(options.extraFile)
  let context: tls.SecureContext | undefined
  let bySubject: Map<string, X509Certificate[]> | undefined

  const listAll = () => [
    ...((tls as NewerTls).getCACertificates?.('default') ?? tls.rootCertificates),
    ...extra,
  ]

  return {
    judgements: createRecentResults({
      maxAgeMs: JUDGEMENT_LIFETIME_MS,
      maxCount: MAX_JUDGEMENTS,
    }),
    getContext: () =>
      (context ??= tls.createSecureContext({
        ca: listAll(),
        ciphers: CIPHERS,
        minVersion: 'TLSv1',
      })),
    findIssuer(certificate) {
      bySubject ??= groupBySubject(listAll().map((pem) => new X509Certificate(pem)))
      const itself = bySubject
        .get(certificate.subject)
        ?.find(({ raw }) => raw.equals(certificate.raw))
      return (
        itself ?? bySubject.get(certificate.issuer)?.find((each) => isIssuedBy(certificate, each))
      )
    },
  }
}

function readAuthorities(file: string): readonly string[] {
  const found = readFileSync(file, 'utf8').match(PEM_CERTIFICATE)
  if (!found) throw new Error(`${file} has no certificate in PEM format.`)
  return found
}

function groupBySubject(certificates: readonly X509Certificate[]): Map<string, X509Certificate[]> {
  const groups = new Map<string, X509Certificate[]>()
  for (const each of certificates) {
    const group = groups.get(each.subject)
    if (group) group.push(each)
    else groups.set(each.subject, [each])
  }
  return groups
}

/** Returns whether a certificate names another one as its issuer, and has its signature. */
export function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)
}

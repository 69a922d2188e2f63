import type { X509Certificate } from 'node:crypto'
import type { SentCertificate, UnplacedProblem } from '../outside-check.js'
import {
  matchesDomain,
  readCertificateNames,
  readSignatureAlgorithm,
  type CertificateName,
  type CertificateService,
} from './certificate-names.js'
import { DETAIL_LENGTH } from './name-failure.js'
import { toPlainLine } from './transcript.js'
import { isIssuedBy, type TrustStore } from './trust-store.js'

export type CertificateJudgement = {
  readonly certificate: SentCertificate
  readonly problems: readonly UnplacedProblem[]
}

export type CertificateContext = {
  readonly domain: string
  readonly service: CertificateService
  readonly trust: TrustStore
  /** The verdict of OpenSSL on the chain, for example `CERT_HAS_EXPIRED`; `undefined` if it accepts the chain. */
  readonly verdict: string | undefined
  readonly now: Date
}

/** The alert rules of this project warn at the same time. */
const SOON_MS = 14 * 86_400_000
const MAX_NAMES = 32
const MAX_CHAIN = 10
// A certificate with 100 names has 4 KB. To parse 100 KB, which TLS allows, takes half a second.
const MAX_BYTES = 32 * 1024

/**
 * Judges a certificate and the chain that was sent with it.
 *
 * OpenSSL names only one reason why it rejects a chain. Therefore, this function looks for all reasons itself.
 *
 * @param leaf The first certificate. Its `issuerCertificate` is the next one that was sent.
 * @throws {Error} The certificate is too large, or cannot be read.
 */
export function judgeCertificate(
  leaf: X509Certificate,
  context: CertificateContext,
): CertificateJudgement {
  if (leaf.raw.length > MAX_BYTES) throw new Error(`a certificate of more than ${MAX_BYTES} bytes`)
  const { domain, service, trust, verdict = '', now } = context
  const sent = listSent(leaf)
  const fingerprints = [leaf, ...sent].map(({ fingerprint256 }) => fingerprint256)
  const key = [domain, service, verdict, ...fingerprints].join(' ')
  return trust.judgements.get(key, now.getTime(), () => judgeSent(leaf, sent, context))
}

function judgeSent(
  leaf: X509Certificate,
  sent: readonly X509Certificate[],
  context: CertificateContext,
): CertificateJudgement {
  const names = readCertificateNames(leaf.raw)
  const { path, hasTrustedEnd, problem } = judgeChain(leaf, sent, context)
  const times = judgeTimes(path, context.now)
  const weakness = describeWeakness(leaf)
  const problems: UnplacedProblem[] = [
    ...times,
    ...judgeNames(leaf, names, context),
    ...(problem ? [problem] : []),
    ...(weakness === undefined ? [] : [untrusted(weakness)]),
  ]
  const isRejected = times.some(({ code }) => code !== 'certificate_expires_soon')
  if (context.verdict !== undefined && hasTrustedEnd && !isRejected)
    problems.push(untrusted(context.verdict))
  return {
    certificate: {
      sha256: leaf.fingerprint256.replaceAll(':', '').toLowerCase(),
      names: [...new Set(names.map(({ value }) => toPlainLine(value, DETAIL_LENGTH)))].slice(
        0,
        MAX_NAMES,
      ),
      issuer: toPlainLine(findCommonName(leaf.issuer), DETAIL_LENGTH),
      expiresAtSeconds: Math.min(...path.map(({ validTo }) => Date.parse(validTo))) / 1000,
    },
    problems,
  }
}

const untrusted = (detail: string): UnplacedProblem => ({ code: 'certificate_untrusted', detail })

type Chain = {
  /** The certificates from the leaf to the one that a trusted certificate issued, or as far as the sent ones lead. */
  readonly path: readonly X509Certificate[]
  readonly hasTrustedEnd: boolean
  readonly problem?: UnplacedProblem
}

/**
 * Looks for a path to a trusted certificate. A server can send several certificates of one authority, for example an
 * expired one by an old root. Like OpenSSL, the function prefers a path through certificates that are valid now.
 */
function judgeChain(
  leaf: X509Certificate,
  sent: readonly X509Certificate[],
  { trust, verdict, now }: CertificateContext,
): Chain {
  const current = findPath(
    leaf,
    sent.filter((each) => isValidAt(each, now)),
    trust,
  )
  if (current.hasTrustedEnd) return current
  // OpenSSL reads more certificates than this function.
  if (verdict === undefined) return { path: [leaf], hasTrustedEnd: true }
  const found = findPath(leaf, sent, trust)
  return found.hasTrustedEnd
    ? found
    : { ...found, problem: nameMissingTrust(leaf, found.path.at(-1) ?? leaf) }
}

/** Follows the issuers, each certificate once. Without a trusted end, the path is the longest one. */
function findPath(
  leaf: X509Certificate,
  sent: readonly X509Certificate[],
  trust: TrustStore,
): Pick<Chain, 'path' | 'hasTrustedEnd'> {
  const seen = new Set([leaf])
  const paths = [[leaf]]
  for (const path of paths) {
    const last = path.at(-1)!
    if (trust.findIssuer(last)) return { path, hasTrustedEnd: true }
    for (const each of sent) {
      if (seen.has(each) || !isIssuedBy(last, each)) continue
      seen.add(each)
      paths.push([...path, each])
    }
  }
  return { path: paths.at(-1)!, hasTrustedEnd: false }
}

function nameMissingTrust(leaf: X509Certificate, last: X509Certificate): UnplacedProblem {
  const issuer = toPlainLine(findCommonName(last.issuer), DETAIL_LENGTH)
  if (isIssuedBy(last, last))
    return last === leaf ? { code: 'certificate_self_signed' } : untrusted(issuer)
  // A public authority says where its certificate can be fetched (RFC 5280 §4.2.2.1). A private one rarely does.
  return last.infoAccess?.includes('CA Issuers')
    ? { code: 'certificate_chain_incomplete', detail: issuer }
    : untrusted(issuer)
}

function listSent(leaf: X509Certificate): readonly X509Certificate[] {
  const sent: X509Certificate[] = []
  for (
    let each: X509Certificate | undefined = leaf.issuerCertificate;
    each && sent.length < MAX_CHAIN;
    each = each.issuerCertificate
  )
    sent.push(each)
  return sent
}

const isValidAt = ({ validFrom, validTo }: X509Certificate, now: Date): boolean =>
  now.getTime() >= Date.parse(validFrom) && now.getTime() <= Date.parse(validTo)

function judgeTimes(path: readonly X509Certificate[], now: Date): readonly UnplacedProblem[] {
  const at = now.getTime()
  for (const each of path) {
    const [from, to] = [Date.parse(each.validFrom), Date.parse(each.validTo)]
    if (Number.isNaN(from + to)) throw new Error('a certificate without valid dates')
    const detail = (time: number) => {
      const day = new Date(time).toISOString().slice(0, 10)
      return each === path[0] ? day : toPlainLine(`${findCommonName(each.subject)}, ${day}`, 200)
    }
    if (at > to) return [{ code: 'certificate_expired', detail: detail(to) }]
    if (at < from) return [{ code: 'certificate_not_yet_valid', detail: detail(from) }]
    if (to - at < SOON_MS) return [{ code: 'certificate_expires_soon', detail: detail(to) }]
  }
  return []
}

function judgeNames(
  leaf: X509Certificate,
  names: readonly CertificateName[],
  { domain, service }: CertificateContext,
): readonly UnplacedProblem[] {
  if (names.some((name) => matchesDomain(name, domain, service))) return []
  const listed =
    names.length > 0
      ? names.map(({ value }) => value).join(', ')
      : `only the common name ${findCommonName(leaf.subject)}`
  return [{ code: 'certificate_wrong_name', detail: toPlainLine(listed, DETAIL_LENGTH) }]
}

/** RFC 3279 §2.2.1 and §2.2.3: signatures with MD5 or SHA-1. */
const WEAK_SIGNATURES: Readonly<Partial<Record<string, string>>> = {
  '1.2.840.113549.1.1.4': 'signed with MD5',
  '1.2.840.113549.1.1.5': 'signed with SHA-1',
  '1.2.840.10045.4.1': 'signed with SHA-1',
}
const MIN_RSA_BITS = 2048

/** The checks accept old algorithms in order to name them, but clients of today reject such a certificate. */
function describeWeakness(leaf: X509Certificate): string | undefined {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = leaf.publicKey
  const bits = details?.modulusLength ?? MIN_RSA_BITS
  if (type === 'rsa' && bits < MIN_RSA_BITS) return `an RSA key of ${bits} bits`
  // The signature of a certificate by itself proves nothing, whatever its algorithm.
  return leaf.subject === leaf.issuer
    ? undefined
    : WEAK_SIGNATURES[readSignatureAlgorithm(leaf.raw) ?? '']
}

/** Returns the common name in a distinguished name of Node.js, or else the organization, or all of it. */
function findCommonName(name: string | undefined): string {
  const lines = (name ?? '').split('\n')
  const find = (type: string) =>
    lines.find((line) => line.startsWith(`${type}=`))?.slice(type.length + 1)
  return find('CN') ?? find('O') ?? lines.join(', ')
}

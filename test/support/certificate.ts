/** Creates certificates without openssl, because the unit tests must run no other programs. */

import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign,
  X509Certificate,
} from 'node:crypto'

/** Encodes an ASN.1 value in DER (X.690): its type, the length of its content, and the content. */
function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts)
  const { length } = content
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255] // prettier-ignore
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}

const sequence = (...parts: readonly Buffer[]) => der(0x30, ...parts)
const oid = (hex: string) => der(0x06, Buffer.from(hex, 'hex'))
const utf8 = (text: string) => der(0x0c, Buffer.from(text))
const octets = (value: Buffer) => der(0x04, value)
const utcTime = (date: Date | string) =>
  der(0x17, Buffer.from(typeof date === 'string' ? date : formatUtcTime(date)))
const formatUtcTime = (date: Date) => `${date.toISOString().replace(/\D/g, '').slice(2, 14)}Z`

const COMMON_NAME = oid('550403')
const SUBJECT_ALT_NAME = oid('551d11')
const BASIC_CONSTRAINTS = oid('551d13')
const AUTHORITY_INFO_ACCESS = oid('2b06010505070101')
const CA_ISSUERS = oid('2b06010505073002')
/** The OIDs of XmppAddr (RFC 6120 §13.7.1.4) and SRVName (RFC 4985). */
const XMPP_ADDR = oid('2b06010505070805')
const SRV_NAME = oid('2b06010505070807')
export const DAY_MS = 86_400_000

const otherName = (id: Buffer, value: Buffer) => der(0xa0, id, der(0xa0, value))

/** Encodes names for the subject alternative names of a certificate (RFC 5280 §4.2.1.6). */
export const generalName = {
  dns: (name: string) => der(0x82, Buffer.from(name)),
  ip: (...bytes: readonly number[]) => der(0x87, Buffer.from(bytes)),
  srv: (name: string) => otherName(SRV_NAME, der(0x16, Buffer.from(name))),
  xmpp: (name: string) => otherName(XMPP_ADDR, utf8(name)),
}

/** A certificate and its private key, both in PEM. */
export type KeyPair = { readonly cert: string; readonly key: string }

export type CertificateRequest = {
  readonly subject: string
  /** Default: the certificate is self-signed. */
  readonly issuer?: KeyPair
  /** Names that `generalName` encodes. */
  readonly names?: readonly Buffer[]
  readonly isAuthority?: boolean
  /** The address where the certificate of the issuer is, in the authority information access (RFC 5280 §4.2.2.1). */
  readonly caIssuers?: string
  /** The size of an RSA key. Default: a P-256 key. */
  readonly rsaBits?: number
  readonly hash?: 'sha1' | 'sha256'
  readonly from?: Date
  /** A text is encoded as it is, also if it is no time. */
  readonly to?: Date | string
  /** The certificate is for the key of this one. */
  readonly keyOf?: KeyPair
}

/** Creates a certificate (RFC 5280 §4.1). By default, it is valid since yesterday and until 90 days from now. */
export function createCertificate(request: CertificateRequest): KeyPair {
  const { publicKey, privateKey } = getKeys(request)
  const { from = new Date(Date.now() - DAY_MS), to = new Date(Date.now() + 90 * DAY_MS) } = request
  const { issuer, hash = 'sha256' } = request
  const signingKey = issuer ? createPrivateKey(issuer.key) : privateKey
  const algorithm = sequence(signatureAlgorithm(signingKey.asymmetricKeyType === 'rsa', hash))
  const nameOf = (text: string) => sequence(der(0x31, sequence(COMMON_NAME, utf8(text))))
  const issuerName = issuer
    ? new X509Certificate(issuer.cert).subject.replace(/^CN=/, '')
    : request.subject
  const extensions = listExtensions(request)
  const serial = Buffer.from([1, ...crypto.getRandomValues(new Uint8Array(7))])
  const content = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, serial),
    algorithm,
    nameOf(issuerName),
    sequence(utcTime(from), utcTime(to)),
    nameOf(request.subject),
    publicKey.export({ format: 'der', type: 'spki' }),
    ...(extensions.length > 0 ? [der(0xa3, sequence(...extensions))] : []),
  )
  const signature = sign(hash, content, signingKey)
  const certificate = sequence(content, algorithm, der(0x03, Buffer.from([0]), signature))
  return {
    cert: new X509Certificate(certificate).toString(),
    key: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
  }
}

function getKeys({ keyOf, rsaBits }: CertificateRequest) {
  if (keyOf) {
    const privateKey = createPrivateKey(keyOf.key)
    return { publicKey: createPublicKey(privateKey), privateKey }
  }
  return rsaBits === undefined
    ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
    : generateKeyPairSync('rsa', { modulusLength: rsaBits })
}

function signatureAlgorithm(isRsa: boolean, hash: 'sha1' | 'sha256'): Buffer {
  if (isRsa) return oid(hash === 'sha1' ? '2a864886f70d010105' : '2a864886f70d01010b')
  return oid(hash === 'sha1' ? '2a8648ce3d0401' : '2a8648ce3d040302')
}

function listExtensions({ names = [], isAuthority, caIssuers }: CertificateRequest): Buffer[] {
  const TRUE = der(0x01, Buffer.from([255]))
  const uri = der(0x86, Buffer.from(caIssuers ?? ''))
  return [
    ...(names.length > 0 ? [sequence(SUBJECT_ALT_NAME, octets(sequence(...names)))] : []),
    ...(isAuthority ? [sequence(BASIC_CONSTRAINTS, TRUE, octets(sequence(TRUE)))] : []),
    ...(caIssuers === undefined
      ? []
      : [sequence(AUTHORITY_INFO_ACCESS, octets(sequence(sequence(CA_ISSUERS, uri))))]),
  ]
}

/**
 * Creates a self-signed certificate for 127.0.0.1 and localhost, and its private key, both in PEM. By default, it is
 * valid since yesterday and until tomorrow.
 */
export function selfSigned({
  from = new Date(Date.now() - DAY_MS),
  to = new Date(Date.now() + DAY_MS),
} = {}): KeyPair {
  return createCertificate({
    subject: 'prosody-exporter test',
    names: [generalName.dns('localhost'), generalName.ip(127, 0, 0, 1)],
    from,
    to,
  })
}

/** Creates self-signed certificates without openssl, because the unit tests must run no other programs. */

import { generateKeyPairSync, sign, X509Certificate } from 'node:crypto'

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
const utcTime = (date: Date) =>
  der(0x17, Buffer.from(`${date.toISOString().replace(/\D/g, '').slice(2, 14)}Z`))

const ECDSA_WITH_SHA256 = sequence(oid('2a8648ce3d040302'))
const SUBJECT_ALT_NAME = oid('551d11')
const COMMON_NAME = oid('550403')
const DAY_MS = 86_400_000

/**
 * Creates a self-signed certificate for 127.0.0.1 and localhost, and its private key, both in PEM (RFC 5280 §4.1). By
 * default, it is valid since yesterday and until tomorrow.
 */
export function selfSigned({
  from = new Date(Date.now() - DAY_MS),
  to = new Date(Date.now() + DAY_MS),
} = {}): { readonly cert: string; readonly key: string } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const name = sequence(der(0x31, sequence(COMMON_NAME, utf8('prosody-exporter test'))))
  const names = sequence(
    der(0x82, Buffer.from('localhost')),
    der(0x87, Buffer.from([127, 0, 0, 1])),
  )
  const content = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.from([1])),
    ECDSA_WITH_SHA256,
    name,
    sequence(utcTime(from), utcTime(to)),
    name,
    publicKey.export({ format: 'der', type: 'spki' }),
    der(0xa3, sequence(sequence(SUBJECT_ALT_NAME, der(0x04, names)))),
  )
  const signature = sign('sha256', content, privateKey)
  const certificate = sequence(content, ECDSA_WITH_SHA256, der(0x03, Buffer.from([0]), signature))
  return {
    cert: new X509Certificate(certificate).toString(),
    key: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
  }
}

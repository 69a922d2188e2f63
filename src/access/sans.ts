import { isIPv6, SocketAddress } from 'node:net'
import {
  Constructed,
  fromBER,
  ObjectIdentifier,
  OctetString,
  Primitive,
  type BaseBlock,
} from 'asn1js'

const SUBJECT_ALT_NAME = '2.5.29.17'
/** The tag numbers of the kinds of GeneralName that `readSans` returns (RFC 5280 §4.2.1.6). */
const [EMAIL, DNS, URI, IP] = [1, 2, 6, 7]
/** The tag number of the extensions in a certificate (RFC 5280 §4.1). */
const EXTENSIONS = 3
const CONTEXT_SPECIFIC = 3

/**
 * Returns the subject alternative names of a certificate that `client_allowed_sans` can list: DNS names,
 * e-mail addresses, URIs and IP addresses. Other kinds of names, for example an otherName, are omitted,
 * because their text could look like a DNS name.
 *
 * @param der The certificate, encoded in DER.
 * @see RFC 5280 §4.2.1.6
 */
export function readSans(der: Uint8Array): string[] {
  return readGeneralNames(der).flatMap((name) => {
    if (!(name instanceof Primitive)) return []
    const bytes = Buffer.from(name.valueBlock.valueHexView)
    const { tagNumber } = name.idBlock
    if (tagNumber === IP) return formatIp(bytes)
    return [EMAIL, DNS, URI].includes(tagNumber) ? bytes.toString('latin1') : []
  })
}

/** Returns the subject alternative names of a certificate as they are encoded, for other kinds of names. */
export function readGeneralNames(der: Uint8Array): readonly BaseBlock[] {
  const [toBeSigned] = getParts(fromBER(der).result)
  const extensions = getParts(toBeSigned).find(
    ({ idBlock }) => idBlock.tagClass === CONTEXT_SPECIFIC && idBlock.tagNumber === EXTENSIONS,
  )
  const extension = getParts(getParts(extensions)[0]).find((each) => {
    const [id] = getParts(each)
    return id instanceof ObjectIdentifier && id.valueBlock.toString() === SUBJECT_ALT_NAME
  })
  const value = getParts(extension).at(-1)
  return value instanceof OctetString ? getParts(fromBER(value.valueBlock.valueHexView).result) : []
}

/**
 * Returns an IPv6 address in its canonical notation, in which `readSans` returns addresses. Other names stay
 * unchanged.
 */
export function normalizeSan(name: string): string {
  return isIPv6(name) ? new SocketAddress({ address: name, family: 'ipv6' }).address : name
}

/** Returns the elements of a sequence, or nothing for another value. */
export function getParts(block: BaseBlock | undefined): BaseBlock[] {
  return block instanceof Constructed ? block.valueBlock.value : []
}

function formatIp(bytes: Buffer): string[] {
  if (bytes.length === 4) return [bytes.join('.')]
  if (bytes.length !== 16) return []
  const groups = bytes.toString('hex').match(/.{4}/g) ?? []
  return [normalizeSan(groups.join(':'))]
}

import { Constructed, fromBER, ObjectIdentifier, Primitive, type BaseBlock } from 'asn1js'
import { getParts, readGeneralNames } from '../../access/sans.js'
import { normalizeHostName } from '../dns/host-name.js'

/** The kinds of names with which a certificate can be valid for a domain of XMPP (RFC 6120 §13.7.1.2). */
export type CertificateName = {
  /** `srv` is an SRV-ID (RFC 4985), and `xmpp` an XmppAddr, which RFC 6120 keeps for old certificates. */
  readonly kind: 'dns' | 'srv' | 'xmpp'
  readonly value: string
}

/** The service for which a certificate is checked. `https` is that of BOSH and WebSocket. */
export type CertificateService = 'xmpp-client' | 'xmpp-server' | 'https'

/** The tag numbers of GeneralName (RFC 5280 §4.2.1.6). */
const [OTHER_NAME, DNS_NAME] = [0, 2]
const OTHER_NAMES: Readonly<Partial<Record<string, 'srv' | 'xmpp'>>> = {
  '1.3.6.1.5.5.7.8.7': 'srv',
  '1.3.6.1.5.5.7.8.5': 'xmpp',
}

/** Returns the names of a certificate in DER, in lower case. */
export function readCertificateNames(der: Uint8Array): readonly CertificateName[] {
  return readGeneralNames(der).flatMap((name): readonly CertificateName[] => {
    const { tagNumber } = name.idBlock
    if (tagNumber === DNS_NAME && name instanceof Primitive)
      return [{ kind: 'dns', value: toText(name) }]
    if (tagNumber !== OTHER_NAME || !(name instanceof Constructed)) return []
    const [id, wrapped] = getParts(name)
    const kind = id instanceof ObjectIdentifier ? OTHER_NAMES[id.valueBlock.toString()] : undefined
    const [value] = getParts(wrapped)
    return kind && value ? [{ kind, value: toText(value) }] : []
  })
}

/** Returns the object identifier of the algorithm with which a certificate in DER is signed (RFC 5280 §4.1.1.2). */
export function readSignatureAlgorithm(der: Uint8Array): string | undefined {
  const [id] = getParts(getParts(fromBER(der).result)[1])
  return id instanceof ObjectIdentifier ? id.valueBlock.toString() : undefined
}

/** Returns the text of a string of ASN.1. A string that is encoded in parts, which DER forbids, has no text. */
function toText({ valueBlock }: BaseBlock): string {
  const bytes = 'valueHexView' in valueBlock ? valueBlock.valueHexView : undefined
  return bytes instanceof Uint8Array ? Buffer.from(bytes).toString('utf8').toLowerCase() : ''
}

/**
 * Returns whether a name is valid for a domain. A common name is not, since no specification for XMPP allows it today.
 *
 * @param service The name of the service without direct TLS: an SRV-ID has it also for direct TLS (XEP-0368 §5).
 * @see RFC 6120 §13.7.1.2, RFC 6125 §6.4
 */
export function matchesDomain(
  { kind, value }: CertificateName,
  domain: string,
  service: CertificateService,
): boolean {
  // Clients of HTTPS know no other names (RFC 9110 §4.3.4).
  if (service === 'https' && kind !== 'dns') return false
  // An XmppAddr is a JID, which has the Unicode form of a domain (RFC 6120 §13.7.1.4).
  if (kind === 'xmpp') return normalizeHostName(value) === domain
  if (kind === 'srv') return value === `_${service}.${domain}`
  if (!value.startsWith('*.')) return value === domain
  // A wildcard stands for exactly one label (RFC 6125 §6.4.3), and not in the place of a top-level domain.
  const rest = value.slice(1)
  return rest.indexOf('.', 1) !== -1 && domain.slice(domain.indexOf('.')) === rest
}

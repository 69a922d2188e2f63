/** A certificate authority for tests: a root, intermediates, and certificates for XMPP servers. */

import { createCertificate, generalName, type KeyPair } from './certificate.js'

export type IssueOptions = {
  /** The DNS-IDs of the certificate. The first is also the common name. */
  readonly names: readonly string[]
  readonly from?: Date
  readonly to?: Date
}

export type Authority = {
  /** The certificate of the authority in PEM. */
  readonly cert: string
  /** Issues a certificate for a server. The result does not include the certificate of the authority. */
  issue(options: IssueOptions): KeyPair
  /** Creates an authority whose certificate this one signs. */
  intermediate(name: string): Authority
}

/** Creates a root authority. */
export function createAuthority(name: string): Authority {
  return toAuthority(createCertificate({ subject: name, isAuthority: true }))
}

/** Creates a certificate that its own key signs. */
export const issueSelfSigned = (options: IssueOptions): KeyPair =>
  createCertificate(toRequest(options))

/** @param location Where the certificate of the issuer is published. That of a root is not. */
const toAuthority = (issuer: KeyPair, location?: string): Authority => ({
  cert: issuer.cert,
  issue: (options) =>
    createCertificate({
      ...toRequest(options),
      issuer,
      ...(location !== undefined && { caIssuers: location }),
    }),
  intermediate: (name) =>
    toAuthority(
      createCertificate({ subject: name, issuer, isAuthority: true }),
      'http://ca.invalid/intermediate.crt',
    ),
})

const toRequest = ({ names, ...times }: IssueOptions) => ({
  ...times,
  subject: names[0] ?? '',
  names: names.map(generalName.dns),
})

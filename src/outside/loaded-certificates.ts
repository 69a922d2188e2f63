import { domainToASCII } from 'node:url'
import { findLabel } from '../history/family-rows.js'
import type { Family } from '../metrics/family.js'
import { getLabels } from '../metrics/labels.js'

/**
 * The leaf certificates that Prosody has loaded for each domain, as SHA-256 of their DER form in lower-case hexadecimal
 * digits. The domains are in lower case, with A-labels (RFC 5890). If a domain is missing, its certificates are unknown:
 * they cannot be compared with what an endpoint sends.
 */
export type LoadedCertificates = ReadonlyMap<string, ReadonlySet<string>>

/** The family that mod_adhoc_statistics exports. Other XMPP servers do not have it. */
const FAMILY = 'xmpp_certificate_info'

/**
 * Reads the certificates from the families of a snapshot, or of the snapshots of several servers.
 *
 * All services of a domain are read together. A port can be redirected, so its number does not say which service of
 * Prosody answers.
 */
export function readLoadedCertificates(families: readonly Family[]): LoadedCertificates {
  const loaded = new Map<string, Set<string>>()
  for (const family of families) {
    if (family.name !== FAMILY) continue
    for (const row of family.order) {
      const labels = getLabels(family.labels, row)
      const domain = toALabels(findLabel(labels, 'host'))
      const sha256 = findLabel(labels, 'sha256')?.toLowerCase() ?? ''
      if (domain === '' || !/^[0-9a-f]{64}$/.test(sha256)) continue
      const fingerprints = loaded.get(domain) ?? new Set()
      loaded.set(domain, fingerprints.add(sha256))
    }
  }
  return loaded
}

/** Returns an empty text for a missing or invalid domain. Prosody names hosts with U-labels or A-labels. */
const toALabels = (host = '') => domainToASCII(host).replace(/\.$/, '')

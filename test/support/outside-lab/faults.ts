/** All faults of the lab. Each has a domain of its own. */

import type { Fault } from './fault.js'
import { FAULTS_OF_CERTIFICATES } from './faults-certificate.js'
import { FAULTS_OF_DNS } from './faults-dns.js'
import { FAULTS_OF_FAMILIES } from './faults-families.js'
import { FAULTS_OF_PORTS } from './faults-ports.js'
import { FAULTS_OF_PROTOCOL } from './faults-protocol.js'
import { FAULTS_OF_STALE_CERTIFICATES } from './faults-stale.js'
import { FAULTS_OF_WEB } from './faults-web.js'

export const FAULTS: readonly Fault[] = [
  ...FAULTS_OF_DNS,
  ...FAULTS_OF_PORTS,
  ...FAULTS_OF_PROTOCOL,
  ...FAULTS_OF_CERTIFICATES,
  ...FAULTS_OF_STALE_CERTIFICATES,
  ...FAULTS_OF_FAMILIES,
  ...FAULTS_OF_WEB,
]

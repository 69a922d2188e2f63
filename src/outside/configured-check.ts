import type { OutsideConfig } from '../config/read-config.js'
import { getErrorMessage } from '../errors.js'
import type { Log } from '../log/log.js'
import { checkDomain } from './check-domain.js'
import { CONNECTIONS_PER_MINUTE, createConnectionLimit } from './connection-limit.js'
import type { GetDomainSides } from './domain-sides.js'
import type { LoadedCertificates } from './loaded-certificates.js'
import type { DomainCheck, EndpointCheck } from './outside-check.js'
import { findAddressFamilies } from './machine-addresses.js'
import { createOwnAddresses } from './own-addresses.js'
import { checkEndpoint } from './probe/check-endpoint.js'
import { createTrustStore, type TrustStore } from './probe/trust-store.js'
import { checkWeb } from './web/check-web.js'

/** Checks a domain with the settings of the operator. Rejects if the signal is aborted. */
export type ConfiguredCheck = (
  domain: string,
  config: OutsideConfig,
  run: {
    readonly loaded: LoadedCertificates
    readonly signal: AbortSignal
    /** Called after the check of each endpoint. */
    readonly onEndpoint: (check: EndpointCheck) => void
  },
) => Promise<DomainCheck>

export type ConfiguredCheckOptions = {
  readonly config: () => OutsideConfig | undefined
  readonly getSides: GetDomainSides
  readonly log: Log
  readonly extraCaFile: string | undefined
  readonly now: () => number
}

/** Creates the check of a domain. All checks of the process share the trusted certificates and the limit of connections. */
export function createConfiguredCheck(options: ConfiguredCheckOptions): ConfiguredCheck {
  const { config, now, getSides } = options
  const trust = loadTrustStore(options)
  const limit = createConnectionLimit({
    isOwn: createOwnAddresses(() => config()?.ownAddresses, now),
    perMinute: CONNECTIONS_PER_MINUTE,
  })
  return (domain, settings, run) => {
    const { s2sFrom, nameServers } = settings
    const sides = getSides(settings).get(domain) ?? []
    return checkDomain(domain, {
      ...run,
      sides,
      families: findAddressFamilies(settings),
      checksWeb: settings.checksWeb && sides.includes('client'),
      timeoutMs: settings.timeoutMs,
      allowPrivate: settings.allowPrivate,
      ...(nameServers.length > 0 && { nameServers }),
      ...(s2sFrom !== undefined && { s2sFrom }),
      trust,
      limit,
      checkEndpoint,
      checkWeb,
    })
  }
}

function loadTrustStore({ extraCaFile, log }: ConfiguredCheckOptions): TrustStore {
  try {
    return createTrustStore(extraCaFile === undefined ? {} : { extraFile: extraCaFile })
  } catch (error) {
    // Node.js itself only prints a warning about such a file.
    log.warn(
      'cannot read NODE_EXTRA_CA_CERTS; the checks from outside do not trust its certificates',
      {
        error: getErrorMessage(error),
      },
    )
    return createTrustStore()
  }
}

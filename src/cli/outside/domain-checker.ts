import { ConfigError, getErrorMessage } from '../../errors.js'
import { checkDomain } from '../../outside/check-domain.js'
import { CONNECTIONS_PER_MINUTE, createConnectionLimit } from '../../outside/connection-limit.js'
import { createOwnAddresses } from '../../outside/own-addresses.js'
import { checkEndpoint } from '../../outside/probe/check-endpoint.js'
import { createTrustStore, type TrustStore } from '../../outside/probe/trust-store.js'
import { checkWeb } from '../../outside/web/check-web.js'
import type { OutsideCommandOptions } from './outside-command.js'

/** Enough for every service of a domain at one address, with the second connections of some checks. */
const CONNECTIONS_IN_A_BURST = 8

export type DomainCheckerOptions = {
  /** The value of NODE_EXTRA_CA_CERTS. */
  readonly extraCaFile: string | undefined
  readonly signal: AbortSignal
}

/** Returns the function with which the command checks a domain over the network. @throws ConfigError */
export function createDomainChecker(options: DomainCheckerOptions): OutsideCommandOptions['check'] {
  const trust = readTrustStore(options.extraCaFile)
  const limit = createConnectionLimit({
    isOwn: createOwnAddresses(
      () => undefined,
      () => performance.now(),
    ),
    perMinute: CONNECTIONS_PER_MINUTE,
    burst: CONNECTIONS_IN_A_BURST,
  })
  return (flags, onEndpoint) =>
    checkDomain(flags.domain, {
      sides: flags.sides,
      families: flags.families,
      checksWeb: flags.checksWeb,
      nameServers: flags.nameServers,
      timeoutMs: flags.timeoutMs,
      allowPrivate: flags.allowPrivate,
      ...(flags.s2sFrom !== undefined && { s2sFrom: flags.s2sFrom }),
      trust,
      limit,
      signal: options.signal,
      onEndpoint,
      checkEndpoint,
      checkWeb,
    })
}

function readTrustStore(extraFile: string | undefined): TrustStore {
  try {
    return createTrustStore(extraFile ? { extraFile } : {})
  } catch (error) {
    throw new ConfigError(`NODE_EXTRA_CA_CERTS: ${getErrorMessage(error)}`, { cause: error })
  }
}

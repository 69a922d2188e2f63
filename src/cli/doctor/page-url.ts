import type { Config } from '../../config/read-config.js'
import { formatAddress } from '../../config/listen-address.js'

const ALL_ADDRESSES: ReadonlySet<string | undefined> = new Set([undefined, '0.0.0.0', '::'])

/**
 * Returns the URL of the status page: the public URL if one is configured, else the first address on which the exporter
 * listens. Returns undefined if the exporter listens only on Unix sockets, sockets of systemd or random ports.
 */
export function findPageUrl(
  { listenAddresses, routePrefix, external }: Config['web'],
  isEncrypted: boolean,
): string | undefined {
  if (external.origin !== undefined) return `${external.origin}${external.path}/`
  for (const address of listenAddresses) {
    if (!('port' in address) || address.port === 0) continue
    const host = ALL_ADDRESSES.has(address.host) ? 'localhost' : address.host
    const scheme = isEncrypted ? 'https' : 'http'
    return `${scheme}://${formatAddress({ ...address, host })}${routePrefix}/`
  }
  return undefined
}

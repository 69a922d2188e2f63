import { DecodeError } from '../../errors.js'
import { copyString } from '../../metrics/copy-string.js'
import { runCommand } from '../../xmpp/ad-hoc-command.js'
import type { Connection } from '../../xmpp/connection.js'
import { xml } from '../../xmpp/xml.js'

/** The node of the ad-hoc command of mod_adhoc_statistics, which is also the namespace of its payloads. */
export const REGISTRY_NODE = 'urn:prosody-exporter:statistics:1'

// The maximum number of series ids that the exporter accepts. An id takes some bytes of memory even if its series is
// not stored.
const MAX_SIZE = 20_000_000

/** A request to mod_adhoc_statistics for one page: the changes to a range of series ids. */
export type PageRequest = {
  /** The epoch of the cached series, or undefined if the exporter has no cached series. */
  readonly epoch: string | undefined
  readonly first: number
  /** The last requested id. By default, mod_adhoc_statistics decides where the page ends. */
  readonly last?: number
  /** The change numbers up to which the exporter has read the series, in the format of `formatSince`. */
  readonly since: string
}

/** One page of the registry: a reply with the changes to the series ids from `PageRequest.first` to `last`. */
export type RegistryPage = {
  /** Identifies the numbering of the series. It changes when Prosody restarts or a module replaces a family. */
  readonly epoch: string
  /** The change number up to which the exporter has all changes to the ids of this page. */
  readonly change: number
  /** The number of series ids in the registry. */
  readonly size: number
  readonly last: number
  /** The time when Prosody last collected its statistics, in seconds since 1970. NaN if it has not collected yet. */
  readonly updatedSeconds: number
  readonly lines: readonly string[]
}

/**
 * Requests one page of the registry from mod_adhoc_statistics.
 *
 * @see prosody-modules/mod_adhoc_statistics/README.md, "Requests and replies"
 */
export async function requestPage(
  connection: Pick<Connection, 'request'>,
  request: PageRequest,
  timeoutMs: number,
): Promise<RegistryPage> {
  const { epoch, first, last, since } = request
  const requestPayload = xml('statistics', {
    xmlns: REGISTRY_NODE,
    epoch,
    first: String(first),
    last: last?.toString(),
    since,
  })
  const { element } = await runCommand(connection, REGISTRY_NODE, {
    payload: requestPayload,
    timeoutMs,
  })
  const payload = element.getChild('statistics', REGISTRY_NODE)
  if (!payload) throw new DecodeError('statistics', `a payload of ${REGISTRY_NODE}`, 'none')
  const page = {
    epoch: copyString(readAttribute(payload.attrs, 'epoch')),
    change: readWholeNumber(payload.attrs, 'change'),
    size: readWholeNumber(payload.attrs, 'size'),
    last: readWholeNumber(payload.attrs, 'last'),
    updatedSeconds: Number(payload.attrs['updated'] ?? NaN),
    lines: payload.getChildren('lines').map((lines) => lines.text()),
  }
  checkIds(page, request)
  return page
}

function checkIds(page: RegistryPage, request: PageRequest): void {
  if (page.size > MAX_SIZE) {
    throw new DecodeError('statistics size', `at most ${MAX_SIZE}`, `${page.size}`)
  }
  // If the epoch has changed, the requested ids may no longer exist. The caller discards the page and starts again at
  // id 1.
  if (page.epoch !== request.epoch && request.first !== 1) return
  const max = Math.min(request.last ?? Infinity, page.size)
  if (page.last > max || page.last < Math.min(request.first, max)) {
    throw new DecodeError(
      'statistics',
      `the last id of the page from ${request.first} to ${max}`,
      `${page.last}`,
    )
  }
}

function readAttribute(attrs: Readonly<Record<string, string>>, name: string): string {
  const value = attrs[name]
  if (!value) throw new DecodeError('statistics', `an attribute ${name}`, 'none')
  return value
}

function readWholeNumber(attrs: Readonly<Record<string, string>>, name: string): number {
  const value = readAttribute(attrs, name)
  if (!/^\d{1,15}$/.test(value))
    throw new DecodeError(`statistics ${name}`, 'a whole number', value)
  return Number(value)
}

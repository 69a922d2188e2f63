import { DecodeError } from '../../errors.js'
import { copyString } from '../../metrics/copy-string.js'
import { runCommand } from '../../xmpp/ad-hoc-command.js'
import type { Connection } from '../../xmpp/connection.js'
import { xml } from '../../xmpp/xml.js'

/** Command node and payload namespace of mod_adhoc_statistics. */
export const REGISTRY_NODE = 'urn:prosody-exporter:statistics:1'

// Each id takes some bytes of memory, even if its series is not stored.
const MAX_SIZE = 20_000_000

/** The request for one page. */
export type PageRequest = {
  /** The epoch that the reader knows; `undefined`: none. */
  readonly epoch: string | undefined
  readonly first: number
  /** Default: as many ids as fit into the answer. */
  readonly last?: number
  /** The change numbers of earlier answers, see `formatSince`. */
  readonly since: string
}

/** One answer: the changes to the ids from the first requested one to `last`. */
export type RegistryPage = {
  readonly epoch: string
  readonly change: number
  /** The number of ids in the registry. */
  readonly size: number
  readonly last: number
  /** When Prosody last collected, in seconds since 1970; NaN if it never did. */
  readonly updatedSeconds: number
  readonly lines: readonly string[]
}

/**
 * Requests one page of changes from the companion module.
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
  // After a change of epoch the requested ids may not exist. The caller starts again at id 1.
  if (page.epoch !== request.epoch && request.first !== 1) return
  const max = Math.min(request.last ?? Infinity, page.size)
  if (page.last > max || page.last < Math.min(request.first, max)) {
    throw new DecodeError(
      'statistics',
      `the last id from ${request.first} to ${max}`,
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

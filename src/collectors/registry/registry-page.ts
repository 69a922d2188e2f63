import { DecodeError } from '../../errors.js'
import { copyString } from '../../metrics/copy-string.js'
import { runCommand } from '../../xmpp/ad-hoc-command.js'
import type { Connection } from '../../xmpp/connection.js'
import { xml } from '../../xmpp/xml.js'

/** Command node and payload namespace of mod_adhoc_statistics. */
export const REGISTRY_NODE = 'urn:prosody-exporter:statistics:1'

// Each costs some bytes, kept or not.
const MAX_SIZE = 20_000_000

/** What one answer told, of the ids from the first that was asked for to `last`. */
export type RegistryPage = {
  readonly epoch: string
  readonly change: number
  readonly size: number
  readonly last: number
  readonly updatedSeconds: number
  readonly lines: readonly string[]
}

/**
 * Asks the companion module what changed.
 *
 * @param asked.epoch Undefined: none is known.
 * @param asked.since Of what the reader knows, see `sinceField`.
 * @param asked.last Default: all that the answer has room for.
 * @see prosody-modules/mod_adhoc_statistics/README.md, "The exchange"
 */
export async function requestPage(
  connection: Pick<Connection, 'request'>,
  asked: { epoch: string | undefined; first: number; last?: number; since: string },
  timeoutMs: number,
): Promise<RegistryPage> {
  const request = xml('statistics', {
    xmlns: REGISTRY_NODE,
    epoch: asked.epoch,
    first: String(asked.first),
    last: asked.last?.toString(),
    since: asked.since,
  })
  const { element } = await runCommand(connection, REGISTRY_NODE, { payload: request, timeoutMs })
  const payload = element.getChild('statistics', REGISTRY_NODE)
  if (!payload) throw new DecodeError('statistics', `a payload of ${REGISTRY_NODE}`, 'none')
  const page = {
    epoch: copyString(text(payload.attrs, 'epoch')),
    change: whole(payload.attrs, 'change'),
    size: whole(payload.attrs, 'size'),
    last: whole(payload.attrs, 'last'),
    updatedSeconds: Number(payload.attrs['updated'] ?? NaN),
    lines: payload.getChildren('lines').map((lines) => lines.text()),
  }
  if (page.size > MAX_SIZE) {
    throw new DecodeError('statistics size', `at most ${MAX_SIZE}`, `${page.size}`)
  }
  const most = Math.min(asked.last ?? Infinity, page.size)
  // In another epoch there may be no such id.
  const isOfOurs = page.epoch === asked.epoch || asked.first === 1
  if (isOfOurs && (page.last > most || page.last < Math.min(asked.first, most))) {
    throw new DecodeError(
      'statistics',
      `the last id from ${asked.first} to ${most}`,
      `${page.last}`,
    )
  }
  return page
}

function text(attrs: Readonly<Record<string, string>>, name: string): string {
  const value = attrs[name]
  if (!value) throw new DecodeError('statistics', `an attribute ${name}`, 'none')
  return value
}

function whole(attrs: Readonly<Record<string, string>>, name: string): number {
  const value = text(attrs, name)
  if (!/^\d{1,15}$/.test(value))
    throw new DecodeError(`statistics ${name}`, 'a whole number', value)
  return Number(value)
}

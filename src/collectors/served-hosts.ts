import { CommandError, DecodeError, NotHandledError, StanzaError } from '../errors.js'
import { copyString } from '../metrics/copy-string.js'
import { runCommand } from '../xmpp/ad-hoc-command.js'
import type { Connection } from '../xmpp/connection.js'
import { xml } from '../xmpp/xml.js'
import { REGISTRY_NODE } from './registry/registry-page.js'

// The module accepts 8 KB of names.
const MAX_NAMES_LENGTH = 8000
const ANSWER_MS = 10_000

/**
 * Asks mod_adhoc_statistics which of the names are hosts of this server. A request to any other name would make
 * Prosody connect to another server.
 *
 * @returns Undefined without the module, or with a version that does not support the request.
 * @throws {LinkError | TimeoutError | StanzaError} StanzaError for a temporary refusal only.
 * @see prosody-modules/mod_adhoc_statistics/README.md, "Hosts"
 */
export async function askServedHosts(
  connection: Pick<Connection, 'request'>,
  names: readonly string[],
): Promise<ReadonlySet<string> | undefined> {
  const served = new Set<string>()
  try {
    for (const text of chunksOf(names)) {
      const payload = xml('hosts', { xmlns: REGISTRY_NODE }, text)
      const options = { payload, timeoutMs: ANSWER_MS }
      const { element } = await runCommand(connection, REGISTRY_NODE, options)
      const answer = element.getChildText('hosts', REGISTRY_NODE)
      if (answer === null) return undefined
      for (const name of answer.split(/\s+/)) served.add(copyString(name))
    }
  } catch (error) {
    if (isRefusal(error)) return undefined
    throw error
  }
  return served
}

function isRefusal(error: unknown): boolean {
  // A busy server, or an error in the module, does not show whether the module supports the request
  // (RFC 6120 §8.3.2).
  if (error instanceof StanzaError && isTemporary(error)) return false
  return [NotHandledError, StanzaError, CommandError, DecodeError].some(
    (each) => error instanceof each,
  )
}

function isTemporary({ type, condition }: StanzaError): boolean {
  return type === 'wait' || condition === 'internal-server-error'
}

function chunksOf(names: readonly string[]): string[] {
  const chunks: string[] = []
  for (const name of names) {
    const last = chunks.at(-1)
    if (last === undefined || last.length + name.length >= MAX_NAMES_LENGTH) chunks.push(name)
    else chunks[chunks.length - 1] = `${last} ${name}`
  }
  return chunks
}

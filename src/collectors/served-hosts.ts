import { CommandError, DecodeError, NotHandledError, StanzaError } from '../errors.js'
import { copyString } from '../metrics/copy-string.js'
import { runCommand } from '../xmpp/ad-hoc-command.js'
import type { Connection } from '../xmpp/connection.js'
import { xml } from '../xmpp/xml.js'
import { REGISTRY_NODE } from './registry/registry-page.js'

// The module reads 8 KB of names.
const MAX_NAMES_LENGTH = 8000
const ANSWER_MS = 10_000

/**
 * Asks the companion module which of these names are hosts of this server: a question to any other
 * name would make Prosody connect to that server.
 *
 * @returns Undefined without the module, or with one that does not know the question.
 * @throws {LinkError | TimeoutError | StanzaError} The last one for a refusal that passes.
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
  // A busy server, or a fault in the module, says nothing about what the module knows (RFC 6120 §8.3.2).
  if (error instanceof StanzaError && isPassing(error)) return false
  return [NotHandledError, StanzaError, CommandError, DecodeError].some(
    (each) => error instanceof each,
  )
}

function isPassing({ type, condition }: StanzaError): boolean {
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

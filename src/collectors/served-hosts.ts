import { CommandError, DecodeError, NotHandledError, StanzaError } from '../errors.js'
import { copyString } from '../metrics/copy-string.js'
import { runCommand } from '../xmpp/ad-hoc-command.js'
import type { Connection } from '../xmpp/connection.js'
import { xml, type Element } from '../xmpp/xml.js'
import { REGISTRY_NODE } from './registry/registry-page.js'

// mod_adhoc_statistics accepts at most 8 KB of host names in one request.
const MAX_NAMES_LENGTH = 8000
const ANSWER_MS = 10_000

type Requester = Pick<Connection, 'request'>

/**
 * Asks mod_adhoc_statistics which of the names are hosts of this server. The exporter queries only these hosts, because
 * a request to any other name would make Prosody connect to another server.
 *
 * @returns The names that are hosts of this server, or undefined if the server does not have mod_adhoc_statistics or
 *   has a version of it that does not support this request.
 * @throws {LinkError | TimeoutError | StanzaError} StanzaError is thrown only if the server refuses temporarily or has
 *   an internal error.
 * @see prosody-modules/mod_adhoc_statistics/README.md, "Hosts"
 */
export function askServedHosts(
  connection: Requester,
  names: readonly string[],
): Promise<ReadonlySet<string> | undefined> {
  return ask(connection, names, (hosts) => hosts.text())
}

/**
 * Asks mod_adhoc_statistics which of the names are a VirtualHost of this server, and not a component. Service discovery
 * cannot answer this, because a component can claim any identity.
 *
 * @returns `undefined` if the server does not have mod_adhoc_statistics, or a version of it that does not report this.
 * @throws The errors of `askServedHosts`.
 */
export function askVirtualHosts(
  connection: Requester,
  names: readonly string[],
): Promise<ReadonlySet<string> | undefined> {
  return ask(connection, names, (hosts) => hosts.attrs['virtual'])
}

/** @param read Returns the names in the element `hosts` of an answer, separated by blanks. */
async function ask(
  connection: Requester,
  names: readonly string[],
  read: (hosts: Element) => string | undefined,
): Promise<ReadonlySet<string> | undefined> {
  const found = new Set<string>()
  try {
    for (const text of chunksOf(names)) {
      const payload = xml('hosts', { xmlns: REGISTRY_NODE }, text)
      const options = { payload, timeoutMs: ANSWER_MS }
      const { element } = await runCommand(connection, REGISTRY_NODE, options)
      const hosts = element.getChild('hosts', REGISTRY_NODE)
      const answer = hosts && read(hosts)
      if (answer === undefined) return undefined
      for (const name of answer.split(/\s+/)) found.add(copyString(name))
    }
  } catch (error) {
    if (isRefusal(error)) return undefined
    throw error
  }
  return found
}

function isRefusal(error: unknown): boolean {
  // If the server is busy (RFC 6120 §8.3.2), or if an error occurs in mod_adhoc_statistics, the exporter does not know
  // whether the module supports the request. So it repeats the request later.
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

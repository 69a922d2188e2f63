// Answers requests to the component's domain: service discovery (XEP-0030, version 2.5), software version (XEP-0092,
// 1.1), ping (XEP-0199, 2.0), and the list of ad-hoc commands (XEP-0050, 1.3.0). The exporter has to answer them,
// because Prosody loads neither mod_disco nor mod_ping for a component.

import { NS_COMMANDS, NS_DATA_FORM, NS_DISCO_INFO, NS_DISCO_ITEMS, NS_PING } from './namespaces.js'
import { createReply, createStanzaError } from './stanza-error.js'
import { xml, type Element } from './xml.js'

const NS_VERSION = 'jabber:iq:version'
const NAME = 'prosody-exporter'
const FEATURES = [NS_COMMANDS, NS_DISCO_INFO, NS_DISCO_ITEMS, NS_VERSION, NS_PING]

export type Command = { readonly node: string; readonly name: string }

export type ServiceOptions = {
  readonly domain: string
  readonly version: string
  /**
   * The ad-hoc commands that service discovery lists for XMPP clients. mod_adhoc_statistics in Prosody handles these
   * commands, so they do not reach the exporter.
   */
  readonly commands: readonly Command[]
}

/**
 * Returns the answer to an iq of the type `get` or `set`. Returns undefined for an iq of the type `result` or `error`,
 * and for an iq without a sender, because an answer is forbidden or impossible.
 *
 * @see RFC 6120 §8.2.3 (iq semantics), §8.4 (an unknown request gets `service-unavailable`)
 */
export function answerIq(iq: Element, options: ServiceOptions): Element | undefined {
  const { from, to, type } = iq.attrs
  if (!from || type === 'result' || type === 'error') return undefined
  const child = getOnlyChild(iq)
  if (!child) return createReply(iq, createStanzaError('modify', 'bad-request'))
  if (type === 'get' && to === options.domain) return createReply(iq, answerGet(child, options))
  return createReply(iq, createStanzaError('cancel', 'service-unavailable'))
}

/** Returns the child of a valid request. @see RFC 6120 §8.2.3 */
export function getOnlyChild(iq: Element): Element | undefined {
  const { id, type } = iq.attrs
  const [child, ...others] = iq.getChildElements()
  return id && (type === 'get' || type === 'set') && others.length === 0 ? child : undefined
}

function answerGet(child: Element, { domain, version, commands }: ServiceOptions) {
  if (child.is('ping', NS_PING)) return undefined
  if (child.is('query', NS_VERSION)) {
    // The answer has no <os/>, because the name of the operating system helps attackers (XEP-0092 §5).
    return xml('query', { xmlns: NS_VERSION }, xml('name', {}, NAME), xml('version', {}, version))
  }
  // In the XMPP registry of identities, type `stats` of category `component` is a component that collects statistics.
  const identity = { category: 'component', type: 'stats', name: NAME }
  const answer = answerDisco(child, { jid: domain, identity, features: FEATURES, commands })
  return answer ?? createStanzaError('cancel', 'service-unavailable')
}

/** An address that answers service discovery. */
export type DiscoEntity = {
  readonly jid: string
  readonly identity: { readonly category: string; readonly type: string; readonly name: string }
  readonly features: readonly string[]
  readonly commands: readonly Command[]
}

/**
 * Answers a request for service discovery. Returns undefined for any other request.
 *
 * @see XEP-0030 §3, §4; XEP-0050 §2.2, §2.3
 */
export function answerDisco(child: Element, entity: DiscoEntity): Element | undefined {
  const { node } = child.attrs
  if (child.is('query', NS_DISCO_INFO)) {
    const info = discoInfo(node, entity)
    return info
      ? xml(
          'query',
          { xmlns: NS_DISCO_INFO, node },
          info.map(([name, attrs]) => xml(name, attrs)),
        )
      : createStanzaError('cancel', 'item-not-found')
  }
  if (child.is('query', NS_DISCO_ITEMS)) {
    if (node && node !== NS_COMMANDS) return createStanzaError('cancel', 'item-not-found')
    const { jid, commands } = entity
    const items = node ? commands.map((command) => xml('item', { jid, ...command })) : []
    return xml('query', { xmlns: NS_DISCO_ITEMS, node }, items)
  }
  return undefined
}

type Info = readonly (readonly [string, Record<string, string>])[]

function discoInfo(
  node: string | undefined,
  { identity, features, commands }: DiscoEntity,
): Info | undefined {
  const listFeatures = (vars: readonly string[]) =>
    vars.map((name) => ['feature', { var: name }] as const)
  const automation = (type: string, name: string) =>
    ['identity', { category: 'automation', type, name }] as const

  if (!node) return [['identity', identity], ...listFeatures(features)]
  if (node === NS_COMMANDS) {
    return [automation('command-list', 'Commands'), ...listFeatures([NS_COMMANDS])]
  }
  // XEP-0050 §2.3
  const command = commands.find((other) => other.node === node)
  return (
    command && [
      automation('command-node', command.name),
      ...listFeatures([NS_COMMANDS, NS_DATA_FORM]),
    ]
  )
}

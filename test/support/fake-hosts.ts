/** A fake XMPP server whose hosts give fixed answers, for tests of the collectors that query hosts. */

import assert from 'node:assert/strict'
import type {
  CollectorContext,
  CollectorDefinition,
} from '../../src/collectors/collector-definition.js'
import { createHostCollector } from '../../src/collectors/host-collector.js'
import { createHosts } from '../../src/collectors/hosts.js'
import { StanzaError, TimeoutError } from '../../src/errors.js'
import { render } from '../../src/exposition/exposition.js'
import { xml, type Element } from '../../src/xmpp/xml.js'

export const NS_COMMANDS = 'http://jabber.org/protocol/commands'
export const NS_INFO = 'http://jabber.org/protocol/disco#info'
export const NS_ITEMS = 'http://jabber.org/protocol/disco#items'

export type Child = ReturnType<typeof xml>
/**
 * What a fake host answers: the child element of the reply, or the error with which the request fails. With
 * `undefined`, the request fails with item-not-found.
 */
export type Answer = Child | Error | undefined
export type FakeHost = {
  /**
   * The identities in the host's answer to service discovery (XEP-0030). Each has a category, a type and an optional
   * name.
   */
  readonly identities?: readonly (readonly [string, string, string?])[]
  readonly features?: readonly string[]
  readonly commands?: readonly string[]
  readonly items?: readonly string[]
  readonly answer?: (child: Element) => Answer
}

export const IM = { identities: [['server', 'im']] } as const
export const form = (name: string, values: readonly string[]) =>
  xml(
    'x',
    { xmlns: 'jabber:x:data', type: 'result' },
    xml('field', { var: name }, ...values.map((value) => xml('value', {}, value))),
  )
export const completed = (node: string, x: Child) =>
  xml('command', { xmlns: NS_COMMANDS, node, status: 'completed', sessionid: '1' }, x)

/**
 * Creates a fake server with the given hosts. The keys are the JIDs of the hosts.
 *
 * @param onTimeout Called for each request to a host that does not answer. `end` makes the request time out.
 */
export function serverOf(
  hosts: Readonly<Record<string, FakeHost>>,
  onTimeout?: (timeoutMs: number, end: () => void) => void,
) {
  /** All requests that the fake hosts have received, in their order. */
  const asked: string[] = []
  let connects = 1
  let connected = true
  const silentHosts = createSilentHosts()
  return {
    silence: (jid: string) => silentHosts.silence(jid),
    asked,
    cut: () => (connected = false),
    reconnect: () => connects++,
    connection: {
      domain: 'stats.example',
      isConnected: () => connected,
      connects: () => connects,
      request(
        type: string,
        child: Element,
        { to = 'stats.example', timeoutMs }: { to?: string; timeoutMs: number },
      ): Promise<Element> {
        const { node, action } = child.attrs
        asked.push([to, type, child.name, node ?? child.getNS(), action].filter(Boolean).join(' '))
        const respond = (): Promise<Element> => {
          const reply = replyOf(hosts[to], to, child)
          if (reply instanceof Error) return Promise.reject(reply)
          if (!reply) return Promise.reject(new StanzaError('item-not-found', 'cancel', ''))
          return Promise.resolve(xml('iq', { type: 'result', from: to }, reply))
        }
        if (!silentHosts.has(to)) return respond()
        return new Promise<Element>((resolve, reject) => {
          silentHosts.defer(to, () => {
            respond().then(resolve, reject)
          })
          onTimeout?.(timeoutMs, () => {
            reject(new TimeoutError(`no reply from ${to}`))
          })
        })
      },
    },
  }
}

/**
 * Answers service discovery (XEP-0030) from the description of the host. For any other request, calls the function
 * `answer` of the host.
 */
function replyOf(host: FakeHost | undefined, to: string, child: Element): Answer {
  if (!host) return undefined
  const { node } = child.attrs
  if (child.is('query', NS_INFO)) {
    return xml(
      'query',
      { xmlns: NS_INFO },
      ...(host.identities ?? []).map(([category, type, name]) =>
        xml('identity', { category, type, name }),
      ),
      ...[...(host.features ?? []), ...(host.commands ? [NS_COMMANDS] : [])].map((name) =>
        xml('feature', { var: name }),
      ),
    )
  }
  if (child.is('query', NS_ITEMS) && (node === NS_COMMANDS || host.items)) {
    const items = node === NS_COMMANDS ? host.commands : host.items
    return xml(
      'query',
      { xmlns: NS_ITEMS },
      ...(items ?? []).map((item) =>
        node === NS_COMMANDS ? xml('item', { jid: to, node: item }) : xml('item', { jid: item }),
      ),
    )
  }
  return host.answer?.(child)
}

function createSilentHosts() {
  const silent = new Set<string>()
  const deferred: { readonly to: string; readonly reply: () => void }[] = []
  return {
    has: (jid: string) => silent.has(jid),
    defer: (to: string, reply: () => void) => void deferred.push({ to, reply }),
    /** Makes a host send no replies. When the returned function is called, the host sends all delayed replies. */
    silence(jid: string) {
      silent.add(jid)
      return () => {
        silent.delete(jid)
        for (const each of deferred.filter(({ to }) => to === jid)) {
          deferred.splice(deferred.indexOf(each), 1)
          each.reply()
        }
      }
    },
  }
}

/**
 * Returns a function that runs one collection of a collector that queries the hosts of the fake server.
 *
 * @param named The hosts in the exporter's configuration.
 */
export function collectorOf(
  server: ReturnType<typeof serverOf>,
  definition: CollectorDefinition,
  named: readonly string[] = ['a.example'],
  now?: () => number,
) {
  const hosts = createHosts(server.connection, { named, ...(now && { now }) })
  const context: Pick<CollectorContext, 'queryHosts' | 'onApiRefused'> = {
    queryHosts: (source) => createHostCollector(server.connection, hosts, definition, source, now),
    onApiRefused: () => assert.fail('the API commands are refused'),
  }
  const collector = definition.create(context as CollectorContext)
  return async () => {
    const collected = await collector.collect({ timeoutMs: 10_000 })
    const text = Buffer.from(render(collected.families, 'text', { created: false })).toString()
    return { ...collected, samples: text.split('\n').filter((line) => /^[^#]/.test(line)) }
  }
}

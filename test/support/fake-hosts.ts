/** A fake server with hosts that give fixed answers, for the collectors that query hosts. */

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
/** Child of the reply, or what the request fails with; `undefined`: the host does not know it. */
export type Answer = Child | Error | undefined
export type FakeHost = {
  /** Category, type and name. */
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

/** A server of these hosts; what it was asked, in order. */
export function serverOf(
  hosts: Readonly<Record<string, FakeHost>>,
  /** Given the time-out of each question to a silent host, and what ends it. */
  onTimeout?: (timeoutMs: number, end: () => void) => void,
) {
  const asked: string[] = []
  let connects = 1
  let connected = true
  const answer = (to: string, child: Element): Answer => {
    const host = hosts[to]
    const { node } = child.attrs
    if (!host) return undefined
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
  const silent = new Set<string>()
  const waiting: { readonly to: string; readonly reply: () => void }[] = []
  return {
    /** It answers nothing until the returned function is called, which answers all. */
    silence(jid: string) {
      silent.add(jid)
      return () => {
        silent.delete(jid)
        const due = waiting.filter(({ to }) => to === jid)
        for (const each of due) {
          waiting.splice(waiting.indexOf(each), 1)
          each.reply()
        }
      }
    },
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
          const reply = answer(to, child)
          if (reply instanceof Error) return Promise.reject(reply)
          if (!reply) return Promise.reject(new StanzaError('item-not-found', 'cancel', ''))
          return Promise.resolve(xml('iq', { type: 'result', from: to }, reply))
        }
        if (!silent.has(to)) return respond()
        return new Promise<Element>((resolve, reject) => {
          waiting.push({
            to,
            reply: () => {
              respond().then(resolve, reject)
            },
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
 * Returns a function that collects from the server with one collector that queries hosts.
 *
 * @param named The configured hosts.
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

/** A server in memory that lives, moves and lies, and all that was ever true of it. */

import xml, { type Element } from '@xmpp/xml'
import type { Random } from '../../support/random.js'
import { createRegistryModel, type RegistryModel } from '../../support/registry-model.js'
import { answerBy } from '../../support/registry-server.js'
import type { Peer } from './network.js'
import type { Time } from './time.js'

export const DOMAIN = 'stats.example'

export type Lie =
  | 'none'
  | 'twice'
  | 'from another'
  | 'guessed ids'
  | 'before its turn'
  | 'not well-formed'
  | 'a DOCTYPE'
  | 'an entity'
  | 'too deep'
  | 'no UTF-8'
  | 'another namespace'

/** A series, from when to when it was there, and what its value was from when on. */
type Series = { born: number; gone: number; values: { value: number; from: number }[] }

export type World = {
  lie: Lie
  /** Whether mod_adhoc_statistics is loaded. */
  hasModule: boolean
  accept(peer: Peer): void
  /** Gives a series, new or old, a value that none had before. */
  move(): void
  /** A family without series in place of one: another epoch. */
  replace(): void
  /** Another life: nothing of what was. */
  restart(): void
  /** Series that are there now, and their values. */
  truth(): ReadonlyMap<string, number>
  history(): ReadonlyMap<string, Series>
  answeredAt(): number
}

export function createWorld(time: Time, random: Random): World {
  const all = new Map<string, Series>()
  const held: (() => void)[] = []
  let life = 0
  let serial = 0
  let answeredAt = -Infinity
  let model: RegistryModel
  let answer: ReturnType<typeof answerBy>

  function begin(): void {
    life++
    model = createRegistryModel(`life-${life}-`)
    model.pageSize = 1 + random.below(6)
    answer = answerBy(model.connect(() => 'answered'))
    for (let i = 0; i < 6; i++) world.move()
  }
  /** After something was removed: what is gone is gone from now on. */
  function note(): void {
    const now = model.truth()
    for (const [key, series] of all)
      if (!now.has(key)) series.gone = Math.min(series.gone, time.now())
  }

  async function take(peer: Peer, text: string): Promise<void> {
    if (text.includes('<stream:stream')) {
      peer.send(
        `<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' id='x' from='${DOMAIN}'>`,
      )
    } else if (text.startsWith('<handshake')) peer.send('<handshake/>')
    else if (text.startsWith('<iq')) {
      const iq = parse(text)
      // What nothing takes comes back to us.
      const isAsked = world.hasModule && iq.getChild('command') !== undefined
      const reply = isAsked ? await answer(iq) : text
      if (reply !== undefined) tell(peer, reply, iq.attrs['id'] ?? '')
    }
  }

  function tell(peer: Peer, reply: string, id: string): void {
    answeredAt = time.now()
    const wrong = reply.replace(/\t\d+\n/g, '\t666666666\n')
    switch (world.lie) {
      case 'twice':
        peer.send(reply)
        break
      case 'from another':
        peer.send(wrong.replace(`from='${DOMAIN}'`, "from='evil.example'"))
        break
      case 'guessed ids':
        peer.send(wrong.replace(id, `${id.slice(0, -1)}0`).replace(`id='${id}'`, "id='1'"))
        break
      case 'before its turn':
        // Held until the next answer has gone.
        held.push(() => {
          peer.send(reply)
        })
        if (held.length > 1) for (const send of held.splice(0).reverse()) send()
        return
      case 'not well-formed':
        peer.send("<iq type='result'><a></b></iq>")
        break
      case 'a DOCTYPE':
        peer.send("<!DOCTYPE x [<!ENTITY e 'boom'>]>")
        break
      case 'an entity':
        peer.send('<message>&boom;</message>')
        break
      case 'too deep':
        peer.send('<a>'.repeat(200))
        break
      case 'no UTF-8':
        peer.send(Buffer.from([0x3c, 0x61, 0xff, 0xfe, 0x3e]))
        break
      case 'another namespace':
        peer.send(wrong.replaceAll('urn:prosody-exporter:statistics:1', 'urn:example:other'))
        return
      case 'none':
    }
    peer.send(reply)
  }

  const world: World = {
    lie: 'none',
    hasModule: true,
    accept(peer) {
      peer.onData = (text) => void take(peer, text)
    },
    move() {
      const [family, letter] = [random.below(3), 'abcdefgh'[random.below(8)]!]
      const value = ++serial
      model.set(family, `l${life}${letter}`, value)
      // Only one has a value that none had before.
      const [key] = [...model.truth()].find(([, each]) => each === value)!
      const series = all.get(key) ?? { born: time.now(), gone: Infinity, values: [] }
      series.values.push({ value, from: time.now() })
      all.set(key, series)
    },
    replace() {
      model.replace(random.below(3))
      note()
    },
    restart() {
      begin()
      note()
    },
    truth: () => model.truth(),
    history: () => all,
    answeredAt: () => answeredAt,
  }
  begin()
  return world
}

function parse(stanza: string): Element {
  let element: Element | undefined
  const parser = new xml.Parser()
  parser.on('element', (each: Element) => (element = each))
  parser.write(`<stream>${stanza}`)
  return element!
}

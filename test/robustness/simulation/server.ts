/** Simulates a Prosody that changes values, restarts and misbehaves. It records every value that its series had. */

import xml, { type Element } from '@xmpp/xml'
import type { Random } from '../../support/random.js'
import { createRegistryModel, type RegistryModel } from '../../support/registry-model.js'
import { answerBy } from '../../support/registry-server.js'
import type { Peer } from './network.js'
import type { Time } from './time.js'

export const DOMAIN = 'stats.example'

export type Misbehaviour =
  | 'none'
  | 'twice'
  | 'from another'
  | 'guessed ids'
  | 'out of order'
  | 'not well-formed'
  | 'a DOCTYPE'
  | 'an entity'
  | 'too deep'
  | 'no UTF-8'
  | 'another namespace'

/** When a series existed, and each value with the time at which the series got that value. */
export type SeriesHistory = {
  born: number
  gone: number
  values: { value: number; from: number }[]
}

const HEADER = `<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' id='x' from='${DOMAIN}'>`

/** Bytes that the server sends before its reply. */
const JUNK: Partial<Readonly<Record<Misbehaviour, string | Buffer>>> = {
  'not well-formed': "<iq type='result'><a></b></iq>",
  'a DOCTYPE': "<!DOCTYPE x [<!ENTITY e 'boom'>]>",
  'an entity': '<message>&boom;</message>',
  'too deep': '<a>'.repeat(200),
  'no UTF-8': Buffer.from([0x3c, 0x61, 0xff, 0xfe, 0x3e]),
}

export class SimulatedServer {
  misbehaviour: Misbehaviour = 'none'
  /** Whether mod_adhoc_statistics is loaded. */
  hasModule = true
  private readonly time: Time
  private readonly random: Random
  private readonly series = new Map<string, SeriesHistory>()
  private readonly delayedReplies: (() => void)[] = []
  /** Counts the starts of the server. The names of the series contain this number, so that they differ after a restart. */
  private instance = 0
  private lastValue = 0
  private answeredAtMs = -Infinity
  private model!: RegistryModel
  private answer!: ReturnType<typeof answerBy>

  constructor(time: Time, random: Random) {
    this.time = time
    this.random = random
    this.startInstance()
  }

  accept(peer: Peer): void {
    peer.onData = (text) => void this.receive(peer, text)
  }

  /** Sets a new or existing series to a value that no series has had before. */
  changeValue(): void {
    const [family, letter] = [this.random.below(3), 'abcdefgh'[this.random.below(8)]!]
    const value = ++this.lastValue
    this.model.set(family, `l${this.instance}${letter}`, value)
    // No two series have the same value, so the value identifies the series that changed.
    const [key] = [...this.model.truth()].find(([, each]) => each === value)!
    const now = this.time.now()
    const series = this.series.get(key) ?? { born: now, gone: Infinity, values: [] }
    series.values.push({ value, from: now })
    this.series.set(key, series)
  }

  /** Replaces a metric family with an empty family, which begins a new epoch of the registry. */
  replaceFamily(): void {
    this.model.replace(this.random.below(3))
    this.recordRemovals()
  }

  /** Restarts the server. All series from before the restart are gone. */
  restart(): void {
    this.startInstance()
    this.recordRemovals()
  }

  /** The current series and their values. */
  samples(): ReadonlyMap<string, number> {
    return this.model.truth()
  }

  history(): ReadonlyMap<string, SeriesHistory> {
    return this.series
  }

  /** Returns the simulated time at which the server last sent a reply. */
  answeredAt(): number {
    return this.answeredAtMs
  }

  private startInstance(): void {
    this.instance++
    this.model = createRegistryModel(`life-${this.instance}-`)
    this.model.pageSize = 1 + this.random.below(6)
    this.answer = answerBy(this.model.connect(() => 'answered'))
    for (let i = 0; i < 6; i++) this.changeValue()
  }

  private recordRemovals(): void {
    const current = this.model.truth()
    for (const [key, series] of this.series) {
      if (!current.has(key)) series.gone = Math.min(series.gone, this.time.now())
    }
  }

  private async receive(peer: Peer, text: string): Promise<void> {
    if (text.includes('<stream:stream')) peer.send(HEADER)
    else if (text.startsWith('<handshake')) peer.send('<handshake/>')
    else if (text.startsWith('<iq')) {
      const iq = parse(text)
      // If no module handles a stanza, Prosody routes it to the component, which is the exporter. So the simulated server
      // also sends the stanza back to the exporter.
      const isHandled = this.hasModule && iq.getChild('command') !== undefined
      const reply = isHandled ? await this.answer(iq) : text
      if (reply !== undefined) this.send(peer, reply, iq.attrs['id'] ?? '')
    }
  }

  private send(peer: Peer, reply: string, id: string): void {
    this.answeredAtMs = this.time.now()
    const wrong = reply.replace(/\t\d+\n/g, '\t666666666\n')
    switch (this.misbehaviour) {
      case 'twice':
        peer.send(reply)
        break
      case 'from another':
        peer.send(wrong.replace(`from='${DOMAIN}'`, "from='evil.example'"))
        break
      case 'guessed ids':
        peer.send(wrong.replace(id, `${id.slice(0, -1)}0`).replace(`id='${id}'`, "id='1'"))
        break
      case 'out of order':
        this.sendBehindNextReply(peer, reply)
        return
      case 'another namespace':
        peer.send(wrong.replaceAll('urn:prosody-exporter:statistics:1', 'urn:example:other'))
        return
      default: {
        const junk = JUNK[this.misbehaviour]
        if (junk !== undefined) peer.send(junk)
      }
    }
    peer.send(reply)
  }

  private sendBehindNextReply(peer: Peer, reply: string): void {
    this.delayedReplies.push(() => {
      peer.send(reply)
    })
    if (this.delayedReplies.length === 1) return
    for (const sendReply of this.delayedReplies.splice(0).reverse()) sendReply()
  }
}

function parse(stanza: string): Element {
  let element: Element | undefined
  const parser = new xml.Parser()
  parser.on('element', (each: Element) => (element = each))
  parser.write(`<stream>${stanza}`)
  return element!
}

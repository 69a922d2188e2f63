/** The recipients of a lane: a client that is logged in, two users that are offline, and a room. */

import xml, { type Element } from '@xmpp/xml'
import assert from 'node:assert/strict'
import type { TestProsody } from '../../support/prosody.js'
import { openRoom } from '../../support/rooms.js'
import { login, type XmppUser } from '../../support/xmpp-client.js'
import type { AlertScenario, Status } from './scenarios.js'

const PASSWORD = 'password'
const ONLINE = 'online@one.example'
const OFFLINE = ['away@one.example', 'away@two.example'] as const
export const ROOMS = 'chat.one.example'
const ROOM = `ops@${ROOMS}`
const NS_MAM = 'urn:xmpp:mam:2'

export const RECIPIENTS = [ONLINE, ...OFFLINE, ROOM] as const
export const USERS = Object.fromEntries([ONLINE, ...OFFLINE].map((jid) => [jid, PASSWORD]))
export const ALERTS = { to: [ONLINE, ...OFFLINE], rooms: [ROOM] }

/** The text by which a message is assigned to a scenario. */
export const markOf = ({ seed }: AlertScenario, status: Status) => `[seed ${seed} ${status}]`

export class Recipients {
  private readonly prosody: TestProsody
  private client: XmppUser | undefined
  /** The number of messages by recipient and mark. */
  private readonly counts = new Map<string, number>()
  /** The ids of the room's messages that are counted. */
  private readonly archived = new Set<string>()

  constructor(prosody: TestProsody) {
    this.prosody = prosody
  }

  /** Logs the client in, if it is not logged in. */
  async connect(): Promise<void> {
    if (this.client && (await isAlive(this.client))) return
    if (this.client) this.countAll(ONLINE, this.client)
    this.client?.destroy()
    this.client = await this.logIn(ONLINE)
  }

  /** Creates the room. */
  async openRoom(): Promise<void> {
    await this.connect()
    await openRoom(this.client!, ROOM)
  }

  /** Counts the messages to the client that is logged in, and to the room. */
  async collectOnline(): Promise<void> {
    await this.connect()
    const client = this.client!
    assert.ok(await isAlive(client), 'the client is logged in')
    this.countAll(ONLINE, client)
    await this.countArchived(client)
  }

  /**
   * Counts all messages that Prosody has delivered or stored. Logs the offline users in for a moment. Meanwhile, no message
   * may be on its way to them: Prosody can lose it when they log out.
   */
  async collect(): Promise<void> {
    await this.collectOnline()
    for (const jid of OFFLINE) {
      const user = await this.logIn(jid)
      assert.ok(await isAlive(user), `${jid} is logged in`)
      this.countAll(jid, user)
      await user.close()
      this.countAll(jid, user)
    }
  }

  count(recipient: string, scenario: AlertScenario, status: Status): number {
    return this.counts.get(`${recipient} ${markOf(scenario, status)}`) ?? 0
  }

  isReceivedOnline(scenario: AlertScenario, status: Status): boolean {
    return [ONLINE, ROOM].every((recipient) => this.count(recipient, scenario, status) > 0)
  }

  async close(): Promise<void> {
    await this.client?.close()
  }

  private async logIn(jid: string): Promise<XmppUser> {
    const user = await login({ port: this.prosody.ports.c2s, jid, password: PASSWORD })
    user.send(xml('presence'))
    return user
  }

  private countAll(recipient: string, user: XmppUser): void {
    for (;;) {
      const message = user.taken(({ name }) => name === 'message')
      if (!message) return
      this.countMessage(recipient, message)
    }
  }

  private countMessage(recipient: string, message: Element): void {
    // The client that created the room also receives the messages of the room.
    const isFromRoom = message.attrs.type === 'groupchat'
    if (isFromRoom !== (recipient === ROOM)) return
    const [mark] = /\[seed \d+ \w+\]/.exec(message.getChildText('body') ?? '') ?? []
    if (mark === undefined) return
    const key = `${recipient} ${mark}`
    this.counts.set(key, (this.counts.get(key) ?? 0) + 1)
  }

  /**
   * Counts the messages in the archive of the room. Unlike an occupant, the archive also has the messages that the room
   * sent before the occupant came back after an outage. @see XEP-0313 §3
   */
  private async countArchived(client: XmppUser): Promise<void> {
    const max = xml('set', { xmlns: 'http://jabber.org/protocol/rsm' }, xml('max', {}, '1000'))
    const { attrs } = await client.iq('set', ROOM, xml('query', { xmlns: NS_MAM }, max))
    assert.equal(attrs.type, 'result', 'the room returns its archive')
    for (;;) {
      const found = client.taken((stanza) => stanza.getChild('result', NS_MAM) !== undefined)
      const result = found?.getChild('result', NS_MAM)
      if (!result) return
      const id = result.attrs.id ?? ''
      if (this.archived.has(id)) continue
      this.archived.add(id)
      const message = result.getChild('forwarded')?.getChild('message')
      if (message) this.countMessage(ROOM, message)
    }
  }
}

/** Returns whether Prosody answers the client. When it does, all messages before the answer have arrived. */
async function isAlive(user: XmppUser): Promise<boolean> {
  const ping = xml('ping', { xmlns: 'urn:xmpp:ping' })
  return await user.iq('get', 'one.example', ping).then(
    () => true,
    () => false,
  )
}

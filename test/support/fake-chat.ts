/** Creates the chat of the exporter with a fake stream, fake servers and a fake clock. */

import xml, { type Element } from '@xmpp/xml'
import type { MessagingConfig } from '../../src/config/read-config.js'
import { LinkError } from '../../src/errors.js'
import { summarize, type ServerSummary } from '../../src/history/server-summary.js'
import type { LinkReport } from '../../src/history/link-report.js'
import { createChat, type Chat } from '../../src/messaging/chat.js'
import type { ReportedServer } from '../../src/messaging/chat-reports.js'
import type { Snapshot } from '../../src/scrape/scraper.js'
import { createClock, type Clock } from './clock.js'
import { createFakeLog, type Line } from './fake-app.js'
import { createQueue } from './queue.js'
import { createCollection, FAMILIES, START_MS } from './summary-families.js'

export const DOMAIN = 'stats.a.example'
export const ADDRESS = `alerts@${DOMAIN}`
export const ADMIN = 'admin@a.example'
export const PHONE = `${ADMIN}/phone`

const NODE = 'urn:prosody-exporter:statistics:1'
const NS_COMMANDS = 'http://jabber.org/protocol/commands'

/** The hosts of the fake Prosody, and whether each is a VirtualHost. */
const HOSTS: Readonly<Record<string, boolean>> = {
  'a.example': true,
  'b.example': true,
  'gateway.a.example': false,
}

export type FakeRequest = { readonly child: Element; readonly to: string | undefined }

export type FakeChat = {
  readonly chat: Chat
  readonly clock: Clock
  readonly lines: Line[]
  /** All stanzas that the chat has sent. */
  readonly sent: Element[]
  /** The requests of the chat to the fake Prosody. */
  readonly requests: FakeRequest[]
  readonly config: { current: MessagingConfig }
  /** Whether the configuration still has the server. */
  readonly server: { isRemoved: boolean }
  /** Delivers a message, and returns whether the chat handled it. */
  readonly tell: (text: string | undefined, attrs?: Attributes, ...children: Element[]) => boolean
  /** Delivers a message, and waits for the text of the answer. */
  readonly ask: (text: string, attrs?: Attributes) => Promise<string>
  /** Delivers a request, and waits for the reply. */
  readonly iq: (type: string, child: Element, attrs?: Attributes) => Promise<Element>
  /** Waits until all answers that need no HTTP request were sent. */
  readonly settle: () => Promise<void>
}

type Attributes = Readonly<Record<string, string | undefined>>

export type FakeChatOptions = {
  readonly allow?: readonly string[]
  readonly alertmanager?: string
  readonly servers?: Readonly<Record<string, ReportedServer>>
  readonly fetch?: typeof fetch
  /** Replies to the requests of the chat, in place of the fake Prosody. */
  readonly reply?: (request: FakeRequest) => Promise<Element | undefined> | undefined
  readonly isOnline?: boolean
  /** Returns the time in milliseconds since 1970. Default: the time of the fake clock. */
  readonly wallTime?: () => number
  /** The codes that the chat generates, in this order. Default: 001234, 001235 and so on. */
  readonly codes?: readonly number[]
}

export const createFakeServer = (
  summary: Partial<ServerSummary> = {},
  link: Partial<LinkReport> = {},
): ReportedServer => {
  const latest = { ...summarize(createCollection(), START_MS), ...summary }
  const connected = { isConnected: true, connects: 1, problem: undefined, conflict: undefined }
  return {
    history: { getLatest: () => latest, getMemoryGrowth: () => undefined },
    scraper: { scrape: () => Promise.resolve({ families: FAMILIES } as unknown as Snapshot) },
    reportLink: () => ({ ...connected, ...link }),
  }
}

export function createFakeChat(options: FakeChatOptions = {}): FakeChat {
  const { servers = { main: createFakeServer() }, isOnline = true } = options
  const clock = createClock()
  const { log, lines } = createFakeLog()
  const answers = createQueue<Element>()
  const codes = [...(options.codes ?? [])]
  const fake = {
    ...{ sent: [] as Element[], requests: [] as FakeRequest[] },
    config: { current: createConfig(options) },
    server: { isRemoved: false },
  }
  let nextCode = 1234
  let nextId = 1
  const chat = createChat({
    ...{ log, schedule: clock.schedule, now: clock.now },
    config: () => fake.config.current,
    client: {
      domain: () => DOMAIN,
      address() {
        if (fake.server.isRemoved) throw new LinkError('the server was removed')
        return ADDRESS
      },
      isConnected: () => true,
      send(stanza) {
        fake.sent.push(stanza)
        answers.push(stanza)
      },
      request: async (_, child, { to }) => {
        const request = { child, to }
        fake.requests.push(request)
        return (await options.reply?.(request)) ?? replyAsProsody(request)
      },
    },
    findServer: (name) => servers[name],
    serverNames: () => Object.keys(servers),
    wallTime: options.wallTime ?? (() => START_MS + clock.now() - 1_000_000),
    random: () => codes.shift() ?? nextCode++,
    ...(options.fetch && { fetch: options.fetch }),
  })
  if (isOnline) chat.onOnline()

  const tell: FakeChat['tell'] = (text, attrs, ...children) => {
    const all = { type: 'chat', id: `m${nextId++}`, from: PHONE, to: ADDRESS, ...attrs }
    const body = text === undefined ? undefined : xml('body', {}, text)
    return chat.handle(xml('message', all, body, ...children))
  }
  return {
    ...{ chat, clock, lines, ...fake, tell },
    async ask(text, attrs) {
      const count = fake.sent.length
      tell(text, attrs)
      const answer = await answers.next((stanza) => fake.sent.indexOf(stanza) >= count)
      return answer.getChildText('body') ?? ''
    },
    async iq(type, child, attrs) {
      const id = `i${nextId++}`
      chat.handle(xml('iq', { type, id, from: PHONE, to: ADDRESS, ...attrs }, child))
      return await answers.next((stanza) => stanza.attrs['id'] === id)
    },
    async settle() {
      // Each turn of the event loop runs all promises that are ready.
      for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
    },
  }
}

function createConfig({ allow = [ADMIN], alertmanager }: FakeChatOptions): MessagingConfig {
  return {
    alerts: undefined,
    chat: { server: 'main', allow },
    alertmanager: alertmanager === undefined ? undefined : { url: alertmanager },
  }
}

/** Replies to the request for hosts, as mod_adhoc_statistics does. */
function replyAsProsody({ child, to }: FakeRequest): Element {
  const hosts = child.getChildText('hosts', NODE)
  if (hosts === null) throw new LinkError(`the test has no reply from ${to ?? 'itself'}`)
  const served = hosts.split(' ').filter((host) => host in HOSTS)
  const virtual = served.filter((host) => HOSTS[host]).join(' ')
  const attrs = { xmlns: NS_COMMANDS, node: NODE, status: 'completed' }
  const result = xml('hosts', { xmlns: NODE, virtual }, served.join(' '))
  return xml('iq', {}, xml('command', attrs, result))
}

/** The programs, clients and webhook calls of the tests with hostile input. */

import xml from '@xmpp/xml'
import { Agent } from 'node:http'
import { readFile, writeFile } from 'node:fs/promises'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { httpGet, withExporterFor, type RunningExporter } from '../../support/exporter.js'
import { fairNow } from '../../support/fair-clock.js'
import {
  createNotification,
  postNotification,
  writeMessagingConfig,
  type PostOptions,
} from '../../support/notifications.js'
import {
  SECRET,
  withProsody,
  type ProsodyVersion,
  type TestProsody,
} from '../../support/prosody.js'
import { createRandom } from '../../support/random.js'
import { untilReady } from '../../support/real.js'
import { openRoom } from '../../support/rooms.js'
import { startStanzaRelay, type StanzaRelay } from '../../support/stanza-relay.js'
import { login, type XmppUser } from '../../support/xmpp-client.js'

export const MB = 1024 * 1024
export const STATS = 'stats.one.example'
export const SENDER = `alerts@${STATS}`
export const ADMIN = 'admin@one.example'
export const MALLORY = 'mallory@one.example'
export const EVIL = 'evil.one.example'
export const ROOM = 'ops@rooms.one.example'
const OWNER = 'owner@one.example'
const PASSWORD = 'pw'
const NS_MUC_ADMIN = 'http://jabber.org/protocol/muc#admin'

/** A notification without errors. */
export const VALID = JSON.stringify(createNotification([{ name: 'TestValid', summary: 'valid' }]))

export type HostileSetup = {
  readonly prosody: TestProsody
  readonly relay: StanzaRelay
  readonly exporter: RunningExporter
  /** The client of the person who receives the alerts, and who may ask in chat. */
  readonly admin: XmppUser
  /** The client of the owner of the room. */
  readonly owner: XmppUser
}

/** Starts Prosody, and the exporter behind a relay. The exporter sends alerts to a person and to a room. */
export async function startHostileSetup(
  t: TestContext,
  version: ProsodyVersion,
): Promise<HostileSetup> {
  const prosody = await withProsody(t, {
    version,
    users: Object.fromEntries([ADMIN, MALLORY, OWNER].map((jid) => [jid, PASSWORD])),
    modules: ['message', 'presence', 'offline', 'test_dns', 'test_eval'],
    globals: { s2s_secure_auth: 'false' },
    components: [
      {
        domain: EVIL,
        options: { component_secret: `"${SECRET}"`, validate_from_addresses: 'false' },
      },
    ],
  })
  const signIn = async (jid: string) => {
    const user = await login({ port: prosody.ports.c2s, jid, password: PASSWORD })
    t.after(() => user.close())
    user.send(xml('presence'))
    return user
  }
  const owner = await signIn(OWNER)
  await openRoom(owner, ROOM)
  const admin = await signIn(ADMIN)
  const relay = await startStanzaRelay(t, prosody.ports.component)
  const settings = { alerts: { to: [ADMIN], rooms: [ROOM] }, chat: { allow: [ADMIN] } }
  const exporter = await withExporterFor(
    t,
    { ...prosody, service: relay.service },
    { flags: [await writeMessagingConfig(t, settings)] },
  )
  await untilReady(exporter, 200)
  return { prosody, relay, exporter, admin, owner }
}

/** Sends a request that can end in a reset, because the exporter does not read what it rejects. */
export const statusOf = (
  setup: HostileSetup,
  body: string | Uint8Array,
  options: PostOptions = {},
) =>
  postNotification(setup.exporter.url, body, options).then(
    ({ status }) => status,
    () => 'reset' as const,
  )

/** Returns the resident memory of a process and its peak, in bytes. */
export async function readMemory(pid: number): Promise<{ now: number; peak: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const read = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]) * 1024
  return { now: read('VmRSS'), peak: read('VmHWM') }
}

/** Makes the peak of a process its present memory. @see proc_pid_clear_refs(5) */
export async function resetPeakMemory(pid: number): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, '5')
}

/** Answers each message to a client with a question, as a program that answers everything does. */
export function replyToEach(user: XmppUser): { count(): number } {
  let replies = 0
  const reply = async () => {
    for (;;) {
      const message = await user.next(({ name }) => name === 'message')
      const { from, type } = message.attrs
      if (from === undefined || type === 'error') continue
      replies++
      user.send(
        xml(
          'message',
          { to: from, type: 'chat', id: `reply${replies}` },
          xml('body', {}, replies % 2 === 0 ? 'status' : 'Thank you for your message.'),
        ),
      )
    }
  }
  void reply().catch(() => undefined)
  return { count: () => replies }
}

/** Kicks the exporter from the room each time that it joins, until `stop`. @see XEP-0045 §8.2 */
export async function kickRepeatedly(t: TestContext, { owner }: HostileSetup) {
  let kicks = 0
  const stopping = new AbortController()
  const kick = async () => {
    const item = xml('item', { nick: 'alerts', role: 'none' })
    const { attrs } = await owner.iq('set', ROOM, xml('query', { xmlns: NS_MUC_ADMIN }, item))
    if (attrs.type === 'result') kicks++
  }
  await kick()
  const running = (async () => {
    while (!stopping.signal.aborted) {
      await kick().catch(() => undefined)
      owner.forget()
      await sleep(100)
    }
  })()
  const stop = async () => {
    stopping.abort()
    await running
  }
  t.after(stop)
  return { stop, count: () => kicks }
}

/** Scrapes again and again, until `stop`. Each scrape must be answered within the time-out that it states. */
export function scrapeRepeatedly(exporter: RunningExporter, timeoutS: number) {
  const headers = { 'X-Prometheus-Scrape-Timeout-Seconds': String(timeoutS) }
  const problems: string[] = []
  let count = 0
  let longestMs = 0
  const stopping = new AbortController()
  const running = (async () => {
    while (!stopping.signal.aborted) {
      const startedAt = fairNow()
      const status = await httpGet(`${exporter.url}/metrics`, headers).then(
        (answer) => answer.status,
        (error: unknown) => String(error),
      )
      const tookMs = fairNow() - startedAt
      count++
      longestMs = Math.max(longestMs, tookMs)
      if (status !== 200 || tookMs > timeoutS * 1000) {
        problems.push(`scrape ${count}: ${status} after ${tookMs} ms`)
      }
      await sleep(200)
    }
  })()
  return {
    async stop() {
      stopping.abort()
      await running
    },
    count: () => count,
    longestMs: () => longestMs,
    problems: (): readonly string[] => problems,
  }
}

type Call = { readonly body: string | Uint8Array; readonly options: PostOptions }

const HUGE = Buffer.alloc(10 * MB, '[')

/** Creates `count` different calls: most have a wrong token, and the others have any content. */
export function* createCalls(first: number, count: number): Generator<Call> {
  const same = JSON.stringify(createNotification([{ name: 'TestSame', summary: 'the same' }]))
  for (let i = first; i < first + count; i++) {
    const random = createRandom(i)
    const kind = random.below(100)
    if (random.below(2000) === 0) yield { body: HUGE, options: {} }
    else if (kind < 40) yield { body: same, options: { token: `wrong${i}` } }
    else if (kind < 60) yield { body: same, options: { token: '' } }
    else if (kind < 75) yield { body: same.slice(0, 1 + random.below(same.length)), options: {} }
    else if (kind < 85) yield { body: same, options: {} }
    else if (kind < 88) yield { body: same, options: { method: 'GET' } }
    else {
      const labels = { host: kind === 99 ? `\u0000${'z'.repeat(100_000)}` : `host${i}` }
      const alert = { name: `Test${i}`, summary: `The test alert ${i}.`, labels }
      yield { body: JSON.stringify(createNotification([alert])), options: {} }
    }
  }
}

const AT_A_TIME = 64

/** Sends calls as fast as the exporter answers them. Returns how often it answered with each status. */
export async function sendAll(
  { exporter }: HostileSetup,
  calls: Generator<Call>,
): Promise<Map<number | 'reset', number>> {
  const agent = new Agent({ keepAlive: true, maxSockets: AT_A_TIME })
  const statuses = new Map<number | 'reset', number>()
  const work = async () => {
    for (let next = calls.next(); next.done !== true; next = calls.next()) {
      const { body, options } = next.value
      const status = await postNotification(exporter.url, body, { ...options, agent }).then(
        (answer) => answer.status,
        () => 'reset' as const,
      )
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, work))
  agent.destroy()
  return statuses
}

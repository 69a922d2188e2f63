/**
 * Many sessions of one address that may read statistics, each with many requests at once: how long everybody
 * else waits for Prosody, whose main loop answers one after the other.
 */

import xml, { type Element } from '@xmpp/xml'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cpuMs } from '../../bench/figure.js'
import { REGISTRY_NODE } from '../../src/collectors/registry/registry.js'
import { withExporterFor } from '../support/exporter.js'
import { everyVersion, withProsody } from '../support/prosody.js'
import { floodRegistry, sampleValue, untilUp } from '../support/real.js'
import { commandElement, login, type XmppUser } from '../support/xmpp-client.js'

const STATS = 'stats.one.example'
const SESSIONS = 60
const REQUESTS = 30
const ROUNDS = 5
const SERIES = 5_000

const PING = xml('ping', { xmlns: 'urn:xmpp:ping' })
const PAGE = commandElement(REGISTRY_NODE, xml('statistics', { xmlns: REGISTRY_NODE }))

const ping = { type: 'get', to: 'one.example', child: PING } as const
const page = { type: 'set', to: STATS, child: PAGE } as const

/**
 * Of many pings, from before `send` until `isDone`, the milliseconds of the longest: those of
 * Prosody's own time, since it works all the while and what else the machine does is none of its doing.
 */
async function longestPing(
  pid: number,
  user: XmppUser,
  send: () => void,
  isDone: () => boolean,
): Promise<number> {
  let longest = 0
  // Requests may be answered later than all that was sent after them.
  for (let left = 20; left > 0;) {
    const started = cpuMs(pid)
    const pong = user.iq('get', 'one.example', PING)
    send()
    send = () => {}
    await pong
    longest = Math.max(longest, cpuMs(pid) - started)
    if (isDone()) left--
  }
  return longest
}

let lastId = 0

/**
 * All sessions send all of their requests at once.
 *
 * @returns How long `user` waited for the longest, and the answers.
 */
async function burst(
  pid: number,
  sessions: readonly XmppUser[],
  user: XmppUser,
  { type, to, child }: typeof ping | typeof page,
): Promise<{ silentMs: number; answers: Element[] }> {
  const first = lastId + 1
  const texts = sessions.map(() => {
    const stanzas = Array.from({ length: REQUESTS }, () =>
      xml('iq', { type, to, id: `r${++lastId}` }, child).toString(),
    )
    // The server takes a session's stanzas in their order.
    return [...stanzas, xml('message', { to: user.jid, id: 'sent' }).toString()].join('')
  })
  // What is not read yet does not keep this process from seeing the pings' answers.
  for (const session of sessions) session.pause()
  let taken = 0
  const waiting = sessions.map(async () => {
    await user.next(({ attrs }) => attrs.id === 'sent')
    taken++
  })
  const send = () => {
    for (const [i, session] of sessions.entries()) session.send(texts[i]!)
  }
  const silentMs = await longestPing(pid, user, send, () => taken === sessions.length)
  await Promise.all(waiting)
  for (const session of sessions) session.resume()
  const answers = await Promise.all(
    sessions.flatMap((session, i) =>
      Array.from({ length: REQUESTS }, (_, j) =>
        session.next(({ attrs }) => attrs.id === `r${first + i * REQUESTS + j}`),
      ),
    ),
  )
  return { silentMs, answers }
}

const median = (values: readonly number[]) =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!

for (const version of everyVersion) {
  test(`many requests at once silence Prosody ${version} little longer than as many pings, and the exporter is served`, async (t) => {
    const prosody = await withProsody(t, {
      version,
      modules: ['test_eval'],
      users: { 'ops@one.example': 'pw', 'user@one.example': 'pw' },
      statsOptions: { adhoc_statistics_access: '{ "ops@one.example" }' },
    })
    await floodRegistry(prosody, SERIES)
    const exporter = await withExporterFor(t, prosody, {
      domain: 'stats.two.example',
      env: { PROSODY_EXPORTER_COLLECTION_MIN_AGE: '0s' },
    })
    await untilUp(exporter)
    const connect = (name: string) =>
      login({ port: prosody.ports.c2s, jid: `${name}@one.example`, password: 'pw' })
    const user = await connect('user')
    const sessions: XmppUser[] = []
    while (sessions.length < SESSIONS) sessions.push(await connect('ops'))

    const silent: Record<'pings' | 'pages', number[]> = { pings: [], pages: [] }
    let results = 0
    const scrapeDuring = async (request: typeof ping | typeof page) => {
      const sent = burst(prosody.pid, sessions, user, request)
      const { text } = await exporter.get('/metrics')
      return { ...(await sent), text }
    }
    await scrapeDuring(ping)
    for (let round = 0; round < ROUNDS; round++) {
      silent.pings.push((await scrapeDuring(ping)).silentMs)
      const { silentMs, answers, text } = await scrapeDuring(page)
      silent.pages.push(silentMs)
      for (const answer of answers) {
        if (answer.attrs['type'] === 'result') results++
        else assert.equal(answer.getChild('error')?.attrs['type'], 'wait', answer.toString())
      }
      const success = 'prosody_exporter_collector_success{collector="registry"}'
      assert.equal(sampleValue(text, success), 1, exporter.stderr())
    }
    const [pings, pages] = [median(silent.pings), median(silent.pages)]
    const count = SESSIONS * REQUESTS
    t.diagnostic(JSON.stringify(silent))
    t.diagnostic(`${count} pings ${pings} ms, ${count} requests ${pages} ms; ${results} answered`)
    assert.ok(results > 0)
    assert.ok(pages <= 3 * pings, `${pages} ms with requests, ${pings} ms with pings`)
    await Promise.all([user, ...sessions].map((stream) => stream.close()))
  })
}

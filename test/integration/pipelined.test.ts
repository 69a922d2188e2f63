/**
 * Tests many sessions of an account with access to statistics that send many requests without waiting for replies.
 * Prosody handles one stanza at a time, so the test measures how long another client waits.
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
 * Sends pings one after the other, from before `send` until after `isDone`. Returns the milliseconds of the longest
 * ping, in CPU time of Prosody. Prosody is busy all the time, and with CPU time, other load on the machine has no
 * effect.
 */
async function longestPing(
  pid: number,
  user: XmppUser,
  send: () => void,
  isDone: () => boolean,
): Promise<number> {
  let longest = 0
  // Prosody may answer some statistics requests later than stanzas that came after them. So 20 more pings follow.
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
 * Sends all requests of all sessions at the same time, while `user` sends pings.
 *
 * @returns The longest wait of `user` in milliseconds, and the replies to the requests.
 */
async function burst(
  pid: number,
  sessions: readonly XmppUser[],
  user: XmppUser,
  { type, to, child }: typeof ping | typeof page,
): Promise<{ blockedMs: number; answers: Element[] }> {
  const first = lastId + 1
  const texts = sessions.map(() => {
    const stanzas = Array.from({ length: REQUESTS }, () =>
      xml('iq', { type, to, id: `r${++lastId}` }, child).toString(),
    )
    // Prosody handles the stanzas of a session in order. So when `user` gets this message, Prosody has handled all
    // requests of the session.
    return [...stanzas, xml('message', { to: user.jid, id: 'sent' }).toString()].join('')
  })
  // The test reads the replies to the requests later, so that it can read the replies to the pings without delay.
  for (const session of sessions) session.pause()
  let handled = 0
  const waiting = sessions.map(async () => {
    await user.next(({ attrs }) => attrs.id === 'sent')
    handled++
  })
  const send = () => {
    for (const [i, session] of sessions.entries()) session.send(texts[i]!)
  }
  const blockedMs = await longestPing(pid, user, send, () => handled === sessions.length)
  await Promise.all(waiting)
  for (const session of sessions) session.resume()
  const answers = await Promise.all(
    sessions.flatMap((session, i) =>
      Array.from({ length: REQUESTS }, (_, j) =>
        session.next(({ attrs }) => attrs.id === `r${first + i * REQUESTS + j}`),
      ),
    ),
  )
  return { blockedMs, answers }
}

const median = (values: readonly number[]) =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!

for (const version of everyVersion) {
  test(`many simultaneous statistics requests block Prosody ${version} at most three times as long as pings, and the exporter still gets statistics`, async (t) => {
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

    const blocked: Record<'pings' | 'pages', number[]> = { pings: [], pages: [] }
    let results = 0
    const scrapeDuring = async (request: typeof ping | typeof page) => {
      const sent = burst(prosody.pid, sessions, user, request)
      const { text } = await exporter.get('/metrics')
      return { ...(await sent), text }
    }
    await scrapeDuring(ping)
    for (let round = 0; round < ROUNDS; round++) {
      blocked.pings.push((await scrapeDuring(ping)).blockedMs)
      const { blockedMs, answers, text } = await scrapeDuring(page)
      blocked.pages.push(blockedMs)
      for (const answer of answers) {
        if (answer.attrs['type'] === 'result') results++
        else assert.equal(answer.getChild('error')?.attrs['type'], 'wait', answer.toString())
      }
      const success = 'prosody_exporter_collector_success{collector="registry"}'
      assert.equal(sampleValue(text, success), 1, exporter.stderr())
    }
    const [pings, pages] = [median(blocked.pings), median(blocked.pages)]
    const count = SESSIONS * REQUESTS
    t.diagnostic(JSON.stringify(blocked))
    t.diagnostic(`${count} pings ${pings} ms, ${count} requests ${pages} ms; ${results} answered`)
    assert.ok(results > 0)
    assert.ok(
      pages <= 3 * pings,
      `the longest ping took ${pages} ms with statistics requests, and ${pings} ms with other pings`,
    )
    await Promise.all([user, ...sessions].map((stream) => stream.close()))
  })
}

import xml from '@xmpp/xml'
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { StanzaError, TimeoutError } from '../../../src/errors.js'
import { summarize } from '../../../src/history/server-summary.js'
import { findAttention } from '../../../src/page/attention.js'
import { startFakeAlertmanager } from '../../support/fake-alertmanager.js'
import {
  ADDRESS,
  ADMIN,
  createFakeChat,
  createFakeServer,
  DOMAIN,
  PHONE,
} from '../../support/fake-chat.js'
import { until } from '../../support/setup/process.js'
import { createCollection, START_MS } from '../../support/summary-families.js'

const DAY_MS = 86_400_000
const NODE = 'urn:prosody-exporter:statistics:1'
const NS_COMMANDS = 'http://jabber.org/protocol/commands'
const HELP = /^status: the state of the server/

const logged = (lines: readonly { level: string; message: string }[]) =>
  lines.filter(({ level }) => level !== 'debug').map(({ level, message }) => `${level} ${message}`)

/** Creates the reply of mod_adhoc_statistics, with the names of the VirtualHosts. */
const createHostsReply = (virtual: string | undefined) =>
  xml(
    'iq',
    {},
    xml(
      'command',
      { xmlns: NS_COMMANDS, node: NODE, status: 'completed' },
      xml('hosts', { xmlns: NODE, virtual }, 'a.example'),
    ),
  )

/** Creates a promise that resolves when `open` is called. */
function createGate() {
  let open = () => {}
  const opened = new Promise<undefined>((resolve) => {
    open = () => {
      resolve(undefined)
    }
  })
  return {
    opened,
    open: () => {
      open()
    },
  }
}

describe('answers', () => {
  test('status has six lines', async () => {
    const certificates = [
      { host: 'a.example', service: undefined, expiresAtMs: START_MS + 90 * DAY_MS },
    ]
    const recent = {
      short: {
        ...{ overMs: 300_000, logins: 9, loop: { slow: 0, measured: 300 } },
        ...{ hosts: [{ host: 'a.example', failed: 3, succeeded: 6 }] },
        unauthenticated: { c2s: 0, s2sin: 0 },
      },
      s2s: { overMs: 900_000, hosts: [] },
    }
    const { ask } = createFakeChat({
      servers: { main: createFakeServer({ certificates, recent }) },
    })
    assert.deepEqual((await ask('status')).split('\n'), [
      'Prosody 13.0.1 has been up since 2025-12-30 22:00 UTC (1 day 2 hours).',
      'Users online: 4, connected clients: 6',
      'Connections from servers: 5, to servers: 0',
      'Failed logins: 3 in the last 5 minutes',
      'Certificates: a.example expires first, in 90 days',
      'Nothing needs attention.',
    ])
  })

  test('status has the texts of the status page about what needs attention', async () => {
    const change = {
      hostsToReload: ['a.example'],
      certificates: [{ host: 'b.example', service: undefined, expiresAtMs: START_MS + DAY_MS }],
    }
    const summary = { ...summarize(createCollection(), START_MS), ...change }
    const [first, second] = findAttention({ summary, growth: undefined })
    const { ask } = createFakeChat({ servers: { main: createFakeServer(change) } })
    assert.deepEqual((await ask('status')).split('\n').slice(5), [
      `Urgent: ${first!.cause} ${first!.remedy}`,
      `Warning: ${second!.cause} ${second!.remedy}`,
    ])
  })

  test('status without any value says that the values are unknown', async () => {
    const nothing = { values: {}, startedAtMs: undefined, software: [], certificates: [] }
    const { ask } = createFakeChat({ servers: { main: createFakeServer(nothing) } })
    assert.deepEqual((await ask('status')).split('\n'), [
      'The server is up.',
      'Users online: unknown, connected clients: unknown',
      'Connections from servers: unknown, to servers: unknown',
      'Failed logins: unknown',
      'Certificates: unknown',
      'Nothing needs attention.',
    ])
  })

  test('an old summary is replaced by a new collection before the answer', async () => {
    const server = createFakeServer()
    let collections = 0
    const scrape = (waitMs: number) => {
      collections++
      return server.scraper.scrape(waitMs)
    }
    const { ask, clock } = createFakeChat({ servers: { main: { ...server, scraper: { scrape } } } })
    clock.advance(15_000)
    await ask('status')
    assert.equal(collections, 0)
    clock.advance(1)
    await ask('status')
    assert.equal(collections, 1)
  })

  test('with several servers, status names the server, and counts the others', async () => {
    const servers = {
      main: createFakeServer(),
      second: createFakeServer({ isUp: false, problem: 'no answer. Check it.' }),
      third: createFakeServer({}, { isConnected: false, problem: 'Wrong secret. Set it.' }),
      fourth: createFakeServer({ software: ['Prosody 0.12.5'] }),
      fifth: createFakeServer({}, { connects: 2 }),
    }
    const { ask } = createFakeChat({ servers })
    const lines = (await ask('status')).split('\n')
    assert.match(lines[0]!, /^main: Prosody 13\.0\.1 has been up since/)
    assert.equal(lines.at(-1), 'Other servers: 1 up, 2 down, 1 connecting')
    assert.equal(lines.length, 7)
    assert.match(await ask('status fourth'), /^fourth: Prosody 0\.12\.5 has been up since/)
    assert.equal(
      await ask('status second'),
      'second: The server does not answer. No answer. Check it.',
    )
    assert.equal(
      await ask('status third'),
      'third: Not connected to Prosody. Wrong secret. Set it.',
    )
    assert.equal(await ask('status fifth'), 'fifth: Collecting the first values.')
    assert.equal(
      await ask('status sixth'),
      'There is no server with the name sixth. The servers are: main, second, third, fourth, fifth.',
    )
  })

  test('certs lists the certificates that expire first', async () => {
    const certificates = [
      { host: 'a.example', service: undefined, expiresAtMs: START_MS - 3 * DAY_MS },
      { host: 'b.example', service: 'https', expiresAtMs: START_MS + 30 * DAY_MS },
    ]
    const server = createFakeServer({ certificates, hostsToReload: ['a.example'] })
    const { ask } = createFakeChat({ servers: { main: server } })
    assert.deepEqual((await ask('certs')).split('\n'), [
      'a.example: expired 3 days ago (2025-12-29 00:00 UTC)',
      'b.example (https): expires in 30 days (2026-01-31 00:00 UTC)',
      'a.example: The file was renewed, but Prosody still uses the old certificate. Run "prosodyctl reload".',
    ])
  })

  test('without a certificate, certs says what to check', async () => {
    const server = createFakeServer({ certificates: [] })
    const { ask } = createFakeChat({ servers: { main: server } })
    assert.match(await ask('certs'), /^Prosody reports no certificate\. Check the setting/)
  })

  test('top lists the hosts with the highest counts', async () => {
    const { ask } = createFakeChat()
    assert.deepEqual((await ask('top')).split('\n'), [
      'Users online: a.example 3, b.example 1',
      'Connected clients: a.example 4, b.example 2',
      'Server connections: a.example 5',
      'Messages since the start of Prosody: unknown',
    ])
  })

  test('help lists the commands, and those of Alertmanager only if its address is configured', async () => {
    const names = (text: string) => text.split('\n').map((line) => /^\w+/.exec(line)![0])
    const { ask } = createFakeChat()
    assert.deepEqual(names(await ask('help')), ['status', 'certs', 'top', 'help'])
    const full = createFakeChat({ alertmanager: 'http://127.0.0.1:1' })
    assert.deepEqual(names(await full.ask('help')), [
      ...['status', 'certs', 'top', 'alerts', 'silence', 'unsilence', 'help'],
    ])
  })

  test('without the address of Alertmanager, its commands say which setting is missing', async () => {
    const { ask } = createFakeChat()
    for (const command of ['alerts', 'silence X 2h', 'unsilence X']) {
      assert.match(
        await ask(command),
        /Set alertmanager\.url in the configuration file of the exporter/,
      )
    }
  })

  test('a phone may write the first letter large, and add blanks', async () => {
    assert.match(await createFakeChat().ask('  Help '), HELP)
  })

  test('an answer is of type chat, has an origin id, and asks for no receipt', async () => {
    const { ask, sent } = createFakeChat()
    await ask('help', { type: undefined })
    const [answer] = sent
    const { id, ...attrs } = answer!.attrs
    assert.deepEqual(attrs, { type: 'chat', from: ADDRESS, to: PHONE })
    assert.equal(answer!.getChild('origin-id', 'urn:xmpp:sid:0')?.attrs['id'], id)
    assert.deepEqual(
      answer!.getChildElements().map((child) => child.name),
      ['body', 'origin-id'],
    )
  })
})

describe('people', () => {
  test('only people in chat.allow get an answer', async () => {
    const { tell, settle, sent } = createFakeChat()
    for (const from of [
      ...['other@a.example/x', 'admin@b.example/x', 'a.example', 'admin@a.example.evil.example/x'],
      ...['xadmin@a.example', `${DOMAIN}/x`, `admin@${DOMAIN}`, undefined],
    ]) {
      assert.equal(tell('status', { from }), false, from)
    }
    await settle()
    assert.deepEqual(sent, [])
  })

  test('people of another server or of a component are refused with one line in the log', async () => {
    const allow = [ADMIN, 'x@far.example', 'y@far.example', 'z@gateway.a.example', 'b@b.example']
    const { chat, tell, settle, sent, lines, requests, ask } = createFakeChat({ allow })
    await settle()
    const text =
      'warn The exporter does not answer people in chat.allow whose domain is not a VirtualHost of this Prosody: ' +
      'far.example, gateway.a.example. Name accounts of this Prosody in chat.allow.'
    assert.deepEqual(logged(lines), [text])
    for (const person of allow.slice(1, 4)) tell('status', { from: `${person}/x` })
    await settle()
    assert.deepEqual(sent, [])
    assert.match(await ask('help', { from: 'b@b.example/x' }), HELP)
    // A request to far.example would make Prosody connect to this server, and a component can claim any identity.
    assert.deepEqual([...new Set(requests.map(({ to }) => to))], [undefined])
    chat.onOnline()
    await settle()
    assert.deepEqual(logged(lines), [text])
  })

  for (const [what, reply] of [
    ['without the module', undefined],
    ['with a module that does not report VirtualHosts', createHostsReply(undefined)],
  ] as const) {
    test(`${what}, no person gets an answer until it reports VirtualHosts`, async () => {
      let isOld = true
      const { tell, settle, sent, lines, ask } = createFakeChat({
        reply() {
          if (!isOld) return undefined
          if (!reply) return Promise.reject(new StanzaError('item-not-found', 'cancel', ''))
          return Promise.resolve(reply)
        },
      })
      tell('status')
      await settle()
      assert.deepEqual(sent, [])
      assert.match(
        logged(lines).join('\n'),
        /^warn Nobody in chat\.allow gets answers, because this[^\n]*$/,
      )
      isOld = false
      assert.match(await ask('help'), HELP)
    })
  }

  test('a check that fails is repeated for the next question', async () => {
    let isFailing = true
    const { tell, settle, sent, lines, ask } = createFakeChat({
      reply: () => (isFailing ? Promise.reject(new TimeoutError('no reply')) : undefined),
    })
    tell('help')
    await settle()
    tell('help')
    await settle()
    assert.deepEqual(sent, [])
    assert.match(
      logged(lines).join('\n'),
      /^warn [^\n]*check of their domains failed: no reply\. The exporter checks[^\n]*$/,
    )
    isFailing = false
    assert.match(await ask('help'), HELP)
  })

  test('a host that is deactivated while Prosody runs is not trusted any more', async () => {
    let isActive = true
    const { tell, settle, sent, ask } = createFakeChat({
      reply: () => (isActive ? undefined : Promise.resolve(createHostsReply(''))),
    })
    assert.match(await ask('help'), HELP)
    isActive = false
    tell('help')
    await settle()
    assert.equal(sent.length, 1)
    isActive = true
    assert.match(await ask('help'), HELP)
  })

  test('a burst of messages and requests causes one check, and the exporter refuses more than 20 requests that wait', async () => {
    const gate = createGate()
    const { chat, tell, settle, sent, requests } = createFakeChat({
      reply: () => gate.opened,
      isOnline: false,
    })
    for (let i = 0; i < 30; i++) {
      tell('help')
      const info = xml('query', { xmlns: 'http://jabber.org/protocol/disco#info' })
      chat.handle(xml('iq', { type: 'get', id: `${i}`, from: PHONE, to: ADDRESS }, info))
    }
    await settle()
    assert.equal(requests.length, 1)
    assert.equal(sent.length, 10)
    assert.ok(sent.every((reply) => reply.toString().includes('<resource-constraint ')))
    gate.open()
    await settle()
    assert.equal(requests.length, 1)
    assert.equal(sent.filter(({ attrs }) => attrs['type'] === 'result').length, 20)
    assert.equal(sent.filter(({ name }) => name === 'message').length, 10)
  })

  test('a question that arrives during the check is answered after it', async () => {
    const gate = createGate()
    const { tell, settle, sent } = createFakeChat({ reply: () => gate.opened })
    assert.equal(tell('help'), true)
    await settle()
    assert.deepEqual(sent, [])
    gate.open()
    await settle()
    assert.equal(sent.length, 1)
  })

  test('a reload can add and remove people', async () => {
    const { chat, config, ask, tell, settle, sent } = createFakeChat()
    const other = 'other@b.example'
    config.current = { ...config.current, chat: { server: 'main', allow: [other] } }
    chat.applyConfig()
    assert.match(await ask('help', { from: `${other}/x` }), HELP)
    assert.equal(tell('help'), false)
    config.current = { ...config.current, chat: undefined }
    chat.applyConfig()
    assert.equal(tell('help', { from: `${other}/x` }), false)
    await settle()
    assert.equal(sent.length, 1)
  })
})

describe('loops', () => {
  const delay = (ms: number) =>
    xml('delay', { xmlns: 'urn:xmpp:delay', stamp: new Date(START_MS - ms).toISOString() })
  const marker = (name: string) => xml(name, { xmlns: 'urn:xmpp:chat-markers:0', id: '1' })
  const receipt = (name: string) => xml(name, { xmlns: 'urn:xmpp:receipts', id: '1' })
  const forwarded = xml('forwarded', { xmlns: 'urn:xmpp:forward:0' })

  const omemo = (child: string) =>
    xml('encrypted', { xmlns: 'eu.siacs.conversations.axolotl' }, xml(child))

  const ignored: Readonly<Record<string, Parameters<ReturnType<typeof createFakeChat>['tell']>>> = {
    'an error': ['status', { type: 'error' }],
    'a message of a room': ['status', { type: 'groupchat' }],
    'a headline': ['status', { type: 'headline' }],
    'an unknown type': ['status', { type: 'other' }],
    'a message without a body': [undefined, {}, xml('subject', {}, 'status')],
    'an empty body': ['  '],
    'a chat state': [
      undefined,
      {},
      xml('composing', { xmlns: 'http://jabber.org/protocol/chatstates' }),
    ],
    'a delayed message': ['status', {}, delay(60_001)],
    'a delayed message without a time': ['status', {}, xml('delay', { xmlns: 'urn:xmpp:delay' })],
    'a carbon': ['status', {}, xml('sent', { xmlns: 'urn:xmpp:carbons:2' }, forwarded)],
    'a forwarded message': ['status', {}, forwarded],
    'a receipt': ['status', {}, receipt('received')],
    'a marker': ['status', {}, marker('displayed')],
    'an event': ['status', {}, xml('event', { xmlns: 'http://jabber.org/protocol/pubsub#event' })],
    'an invitation to a room': ['status', {}, xml('x', { xmlns: 'jabber:x:conference' })],
    'a reaction': ['status', {}, xml('reactions', { xmlns: 'urn:xmpp:reactions:0', id: '1' })],
    'a retraction': [
      'status',
      {},
      xml('retract', { xmlns: 'urn:xmpp:message-retract:1', id: '1' }),
    ],
    'a message that only repeats another one': ['> status\n> help'],
    'an encrypted message without a text': [undefined, {}, omemo('header')],
    'a message of the exporter': ['status', { from: `${ADDRESS}/x` }],
    'a message of the own domain': ['status', { from: DOMAIN }],
    'a message to another address': ['status', { to: `other@${DOMAIN}` }],
    'a message to the domain': ['status', { to: DOMAIN }],
    'a message without a recipient': ['status', { to: undefined }],
  }
  for (const [what, args] of Object.entries(ignored)) {
    test(`${what} gets no answer`, async () => {
      const { tell, settle, sent } = createFakeChat({ allow: [ADMIN, ADDRESS] })
      assert.equal(tell(...args), false)
      await settle()
      assert.deepEqual(sent, [])
    })
  }

  test('a question with a chat state, a short delay, and requests for a receipt and a marker gets an answer', async () => {
    const { tell, settle, sent } = createFakeChat()
    const state = xml('active', { xmlns: 'http://jabber.org/protocol/chatstates' })
    tell('help', {}, state, delay(60_000), receipt('request'), marker('markable'))
    await settle()
    assert.equal(sent.length, 1)
  })

  test('a reply that repeats another message first gets an answer', async () => {
    const { ask } = createFakeChat()
    assert.match(await ask('> To confirm, write:\n>yes 123456\nhelp'), HELP)
    assert.match(await ask(`${'> Users online: 4\n'.repeat(100)}\nhelp`), HELP)
    assert.match(await ask('help\n> status'), /does not know this command/)
  })

  test('an encrypted message gets a hint, also without a body', async () => {
    const { tell, settle, sent } = createFakeChat()
    const bodies = ['I sent you an encrypted message', undefined, 'status', 'status', 'status']
    for (const body of bodies) {
      tell(body, {}, omemo('payload'))
      await settle()
    }
    assert.equal(sent.length, 3)
    for (const answer of sent) {
      assert.match(
        answer.getChildText('body')!,
        /cannot read encrypted messages\. Turn off encryption/,
      )
    }
  })

  test('a program that answers each message gets three hints', async () => {
    const { tell, settle, sent, clock, ask } = createFakeChat()
    for (let i = 0; i < 20; i++) {
      tell(`I am away, ${i}`)
      await settle()
      clock.advance(10_000)
    }
    assert.equal(sent.length, 3)
    assert.match(sent[0]!.getChildText('body')!, /write: help$/)
    await ask('help')
    assert.match(await ask('hlep'), /does not know this command/)
  })

  test('an echo of each answer ends', async () => {
    const { tell, settle, sent } = createFakeChat()
    tell('help')
    await settle()
    for (let i = 0; i < sent.length; i++) {
      tell(sent[i]!.getChildText('body')!)
      await settle()
      assert.ok(i < 20)
    }
    assert.equal(sent.length, 4)
  })

  test('a person gets 10 answers per minute, and one of them says that there are no more', async () => {
    const allow = [ADMIN, 'other@b.example']
    const { tell, settle, sent, clock, ask } = createFakeChat({ allow })
    for (let i = 0; i < 30; i++) tell('help')
    await settle()
    assert.equal(sent.length, 10)
    const others = sent.map((each) => each.getChildText('body')!).filter((text) => !HELP.test(text))
    assert.deepEqual(others, [
      'The exporter sends at most 10 answers per minute. Repeat this message in a minute.',
    ])
    assert.match(await ask('help', { from: 'other@b.example/x' }), HELP)
    clock.advance(59_999)
    tell('help')
    await settle()
    assert.equal(sent.length, 11)
    clock.advance(1)
    assert.match(await ask('help'), HELP)
  })

  test('a person who writes all the time gets at most 10 answers in any minute, with one notice', async () => {
    const { tell, settle, sent, clock } = createFakeChat()
    const times: number[] = []
    for (let second = 0; second < 300; second++) {
      tell('help')
      await settle()
      while (times.length < sent.length) times.push(second)
      clock.advance(1000)
    }
    const notices = times.filter((_, i) => !HELP.test(sent[i]!.getChildText('body')!))
    for (let start = 0; start < 300; start++) {
      const isInMinute = (time: number) => time >= start && time < start + 60
      assert.ok(times.filter(isInMinute).length <= 10)
      assert.ok(notices.filter(isInMinute).length <= 1)
    }
    assert.equal(times.length, 50)
    assert.equal(notices.length, 5)
  })
})

describe('silences', () => {
  const ALERT = {
    labels: { alertname: 'ProsodyDown', severity: 'critical', host: 'a.example' },
    annotations: { summary: 'Prosody is\ndown\u0000' },
    startsAt: new Date(START_MS - 600_000).toISOString(),
  }
  const codeOf = (text: string) => /yes (\d+)$/.exec(text)![1]!

  test('alerts lists the alerts that are firing, the most severe first', async (t) => {
    const fake = await startFakeAlertmanager(t)
    const { ask } = createFakeChat({ alertmanager: fake.url })
    assert.equal(await ask('alerts'), 'No alert is firing.')
    fake.alerts.push({ labels: { alertname: 'Watchdog' }, startsAt: 'unknown' }, ALERT)
    assert.deepEqual((await ask('alerts')).split('\n'), [
      '2 alerts firing:',
      'critical: ProsodyDown (a.example) for 10 minutes: Prosody is down',
      'Watchdog',
    ])
    for (let i = 0; i < 30; i++)
      fake.alerts.push({ labels: { alertname: `A${i}` }, startsAt: ALERT.startsAt })
    const lines = (await ask('alerts')).split('\n')
    assert.equal(lines.length, 22)
    assert.equal(lines.at(-1), '12 more alerts are not shown.')
    fake.alerts.length = 21
    assert.match(await ask('alerts'), /\n1 more alert is not shown\.$/)
  })

  test('a silence needs the code, and records the author', async (t) => {
    const fake = await startFakeAlertmanager(t)
    fake.alerts.push(ALERT)
    const { ask, lines } = createFakeChat({ alertmanager: fake.url })
    assert.equal(
      await ask('silence ProsodyDown 2h'),
      'This silences ProsodyDown for 2 hours, until 2026-01-01 02:00 UTC. 1 alert of this name is firing.\n' +
        'To confirm, write within 2 minutes: yes 001234',
    )
    assert.equal(fake.silences.length, 0)
    assert.equal(
      await ask('Yes 001234'),
      'Silenced ProsodyDown until 2026-01-01 02:00 UTC. To end it, write: unsilence ProsodyDown',
    )
    const [silence] = fake.silences
    assert.deepEqual(silence, {
      id: silence!.id,
      ...{ status: { state: 'active' }, createdBy: ADMIN, comment: `Silenced in chat by ${ADMIN}` },
      ...{ startsAt: '2026-01-01T00:00:00.000Z', endsAt: '2026-01-01T02:00:00.000Z' },
      matchers: [{ name: 'alertname', value: 'ProsodyDown', isRegex: false, isEqual: true }],
    })
    assert.equal(await ask('alerts'), 'No alert is firing.\nSilenced: ProsodyDown')
    // Above the level debug, the log names no person.
    assert.ok(lines.some(({ level }) => level === 'info'))
    assert.doesNotMatch(JSON.stringify(lines.filter(({ level }) => level !== 'debug')), /admin@/)

    const question = await ask('unsilence ProsodyDown')
    assert.match(question, /^This ends 1 silence of ProsodyDown\./)
    assert.equal(await ask(`yes ${codeOf(question)}`), 'Ended 1 silence of ProsodyDown.')
    assert.deepEqual(fake.silences[0]!.status, { state: 'expired' })
    assert.match(await ask('unsilence ProsodyDown'), /^No silence is for ProsodyDown alone\./)
  })

  test('before a silence, the exporter says how many alerts are already silenced', async (t) => {
    const fake = await startFakeAlertmanager(t)
    const { ask } = createFakeChat({ alertmanager: fake.url })
    const silence = async (name: string) => (await ask(`silence ${name} 2h`)).split('\n')[0]
    const alert = (disk: string) => ({ ...ALERT, labels: { alertname: 'Disk', disk } })
    fake.alerts.push(alert('a'))
    assert.match((await silence('Disk'))!, /\. 1 alert of this name is firing\.$/)
    fake.silenceAlso({ disk: 'a' })
    assert.match(
      (await silence('Disk'))!,
      /1 alert of this name is firing, and is already silenced\.$/,
    )
    fake.alerts.push(alert('b'), alert('c'))
    assert.match(
      (await silence('Disk'))!,
      /3 alerts of this name are firing, and 1 of them is already silenced\.$/,
    )
    fake.silenceAlso({ disk: 'b' })
    assert.match((await silence('Disk'))!, /and 2 of them are already silenced\.$/)
    assert.match((await silence('Other'))!, /No alert of this name is firing now\./)
  })

  test('the name of an alert can have blanks, quotes and backslashes', async (t) => {
    const fake = await startFakeAlertmanager(t)
    const name = 'High "CPU" \\ load'
    fake.alerts.push({ ...ALERT, labels: { alertname: name } })
    const { ask } = createFakeChat({ alertmanager: fake.url })
    const question = await ask(`silence ${name} 30m`)
    assert.match(question, /1 alert of this name is firing/)
    await ask(`yes ${codeOf(question)}`)
    assert.equal(fake.silences[0]!.matchers[0]!['value'], name)
    assert.match(await ask(`unsilence ${name}`), /^This ends 1 silence/)
  })

  test('silences with other matchers are not ended', async (t) => {
    const fake = await startFakeAlertmanager(t)
    const matcher = { name: 'alertname', value: 'A', isRegex: false, isEqual: true }
    const silence = {
      createdBy: 'x',
      comment: '',
      startsAt: '',
      endsAt: '',
      status: { state: 'active' },
    }
    const others = [
      [matcher, { ...matcher, name: 'host', value: 'b' }],
      [{ ...matcher, isRegex: true }],
      [{ ...matcher, isEqual: false }],
      [{ ...matcher, name: 'host' }],
      [],
    ]
    fake.silences.push(...others.map((matchers, i) => ({ ...silence, id: `${i}`, matchers })))
    const { ask } = createFakeChat({ alertmanager: fake.url })
    assert.match(
      await ask('unsilence A'),
      /^No silence is for A alone\. If another silence covers it/,
    )
  })

  for (const [text, expected] of [
    ['silence', /Write the name of the alert and a duration, for example: silence NAME 2h/],
    ['silence ProsodyDown', /Write the name of the alert and a duration/],
    ['silence ProsodyDown soon', /The duration must be between 1m and 30d/],
    ['silence ProsodyDown 59s', /The duration must be between/],
    ['silence ProsodyDown 31d', /The duration must be between/],
    ['silence ProsodyDown 0', /The duration must be between/],
    [`silence ${'x'.repeat(201)} 2h`, /Write the name of an alert with at most 200 characters/],
    ['silence a\u0001b 2h', /Write the name of an alert/],
    ['unsilence', /^Write the name of the alert, for example: unsilence NAME$/],
    ['unsilence a\u0001b', /Write the name of an alert/],
    ['yes', /^A code has six digits/],
    ['yes 1234', /^A code has six digits/],
    ['yes please', /^A code has six digits/],
    ['yes 001234', /^No request waits for this code/],
  ] as const) {
    test(`"${text.slice(0, 30)}" gets an explanation`, async (t) => {
      const fake = await startFakeAlertmanager(t)
      const { ask } = createFakeChat({ alertmanager: fake.url })
      assert.match(await ask(text), expected)
      assert.deepEqual(fake.requests, [])
    })
  }

  test('a code is valid for two minutes, once, and for one person', async (t) => {
    const fake = await startFakeAlertmanager(t)
    const other = { from: 'other@b.example/x' }
    const allow = [ADMIN, 'other@b.example']
    const { ask, clock } = createFakeChat({ alertmanager: fake.url, allow })
    const code = codeOf(await ask('silence A 2h'))
    assert.match(await ask(`yes ${code}`, other), /^No request waits/)
    clock.advance(120_000)
    assert.match(await ask(`yes ${code}`), /^No request waits/)

    const second = codeOf(await ask('silence B 2h'))
    clock.advance(119_999)
    assert.match(await ask(`yes ${second}`), /^Silenced B/)
    assert.match(await ask(`yes ${second}`), /^No request waits/)
    assert.equal(fake.silences.length, 1)
  })

  test('each of the last five requests has its own code, so a forger cannot replace one', async (t) => {
    const fake = await startFakeAlertmanager(t)
    // The second code is equal to the first one.
    const codes = [1, 1, 2, 3, 4, 5, 6]
    const { ask, clock } = createFakeChat({ alertmanager: fake.url, codes })
    const asked = []
    for (const name of ['A', 'B', 'C', 'D', 'E', 'F']) asked.push(await ask(`silence ${name} 2h`))
    assert.deepEqual(asked.map(codeOf), [
      '000001',
      '000002',
      '000003',
      '000004',
      '000005',
      '000006',
    ])
    clock.advance(60_000)
    assert.equal(
      await ask('yes 000001'),
      'No request has this code. Copy the code from the answer that describes what you want.',
    )
    assert.match(await ask('yes 000002'), /^Silenced B/)
    assert.match(await ask('yes 000006'), /^Silenced F/)
    assert.match(await ask('yes 000003'), /^Silenced C/)
    assert.deepEqual(
      fake.silences.map(({ matchers }) => matchers[0]!['value']),
      ['B', 'F', 'C'],
    )
  })

  test('a full stop and blanks in a code do not matter, and a text that is no code does not count as a wrong one', async (t) => {
    const fake = await startFakeAlertmanager(t)
    const { ask } = createFakeChat({ alertmanager: fake.url })
    await ask('silence A 2h')
    for (const text of ['yes', 'yes please', 'yes 1234', 'yes 1234567']) {
      assert.equal(
        await ask(text),
        'A code has six digits. Write "yes" and the code, for example: yes 012345',
      )
    }
    assert.match(await ask('yes 001 234.'), /^Silenced A/)
  })

  test('after a failure of Alertmanager, the person can repeat the code', async (t) => {
    const fake = await startFakeAlertmanager(t)
    const { ask, clock } = createFakeChat({ alertmanager: fake.url })
    const code = codeOf(await ask('silence A 2h'))
    fake.answer = (_, response) => response.writeHead(503).end('starting')
    const failed = await ask(`yes ${code}`)
    assert.match(failed, /with status 503 \(starting\)\. To try again, write: yes \d+$/)
    assert.equal(codeOf(failed), code)
    fake.answer = undefined
    assert.match(await ask('yes 000001'), /^No request has this code/)
    assert.match(await ask(`yes ${code}`), /^Silenced A/)
    assert.match(await ask(`yes ${code}`), /^No request waits/)
    assert.equal(fake.silences.length, 1)

    const second = codeOf(await ask('silence B 2h'))
    fake.answer = (_, response) => response.writeHead(503).end()
    clock.advance(105_000)
    assert.match(await ask(`yes ${second}`), /To try again, write: yes \d+$/)
    clock.advance(1)
    assert.match(await ask(`yes ${second}`), /To try again, repeat the request\.$/)
    fake.answer = undefined
    clock.advance(15_000)
    assert.match(await ask(`yes ${second}`), /^No request waits/)
    assert.equal(fake.silences.length, 1)
  })

  test('if the response of Alertmanager is lost, the repeated code creates no second silence', async (t) => {
    const fake = await startFakeAlertmanager(t)
    const { ask, clock } = createFakeChat({ alertmanager: fake.url })
    const code = codeOf(await ask('silence A 2h'))
    fake.loseResponse('POST')
    assert.match(
      await ask(`yes ${code}`),
      /It is unknown whether Alertmanager has carried out the request\. To try again, write: yes/,
    )
    assert.equal(fake.silences.length, 1)
    clock.advance(60_000)
    assert.match(await ask(`yes ${code}`), /^Silenced A until 2026-01-01 02:00 UTC/)
    assert.equal(fake.silences.length, 1)

    const end = codeOf(await ask('unsilence A'))
    fake.loseResponse('DELETE')
    assert.match(await ask(`yes ${end}`), /It is unknown whether/)
    assert.equal(await ask(`yes ${end}`), 'A has no silence of its own now.')
  })

  test('two confirmations at the same time carry out one request', async (t) => {
    const fake = await startFakeAlertmanager(t)
    const { ask, tell, sent } = createFakeChat({ alertmanager: fake.url })
    const code = codeOf(await ask('silence A 2h'))
    const arrived = createGate()
    const requests: (() => void)[] = []
    fake.answer = (_, response) => {
      requests.push(() => response.writeHead(200).end('{}'))
      if (requests.length > 1) requests[1]!()
      arrived.open()
    }
    tell(`yes ${code}`)
    await arrived.opened
    assert.match(await ask(`yes ${code}`), /^The exporter is already carrying out this request/)
    // Another request, which the end of the first one does not remove.
    fake.answer = undefined
    const other = codeOf(await ask('silence B 2h'))
    const count = sent.length
    requests[0]!()
    await until(() => sent.length > count, { what: 'the answer to the first confirmation' })
    assert.match(sent.at(-1)!.getChildText('body')!, /^Silenced A/)
    assert.equal(requests.length, 1)
    assert.match(await ask(`yes ${other}`), /^Silenced B/)
  })

  test('an alert with more firing alerts than the exporter can list can be silenced', async (t) => {
    const fake = await startFakeAlertmanager(t)
    const annotations = { summary: 'x'.repeat(9 * 1024 * 1024) }
    fake.alerts.push({ ...ALERT, annotations })
    const { ask } = createFakeChat({ alertmanager: fake.url })
    assert.match(
      await ask('alerts'),
      /^Alertmanager at \S+ has more than 8 MiB of alerts or silences.* silence NAME 2h$/,
    )
    const question = await ask('silence ProsodyDown 2h')
    assert.match(question, /Many alerts of this name are firing\./)
    assert.match(await ask(`yes ${codeOf(question)}`), /^Silenced ProsodyDown/)
  })

  test('after three wrong codes, also of several requests, the person has to wait', async (t) => {
    const fake = await startFakeAlertmanager(t)
    const { ask, clock } = createFakeChat({ alertmanager: fake.url })
    await ask('silence A 2h')
    assert.match(await ask('yes 000000'), /^No request has this code/)
    assert.match(await ask('yes 123456'), /^No request has this code/)
    const code = codeOf(await ask('silence A 2h'))
    assert.match(await ask('yes 999999'), /There were too many wrong codes/)
    assert.match(await ask(`yes ${code}`), /There were too many wrong codes/)
    assert.match(await ask('silence A 2h'), /There were too many wrong codes/)
    assert.equal(fake.silences.length, 0)
    clock.advance(15 * 60_000)
    const next = codeOf(await ask('silence A 2h'))
    assert.match(await ask(`yes ${next}`), /^Silenced A/)
  })
})

describe('faults', () => {
  test('a lost stream, a broken stanza and a broken source do not throw', async () => {
    const { chat, tell, ask, lines } = createFakeChat({
      servers: {
        main: {
          ...createFakeServer(),
          scraper: { scrape: () => Promise.reject(new Error('broken')) },
        },
      },
    })
    assert.equal(await ask('top'), 'The exporter cannot answer now. Its log has the reason.')
    assert.deepEqual(logged(lines), ['error cannot answer a question in chat'])
    assert.equal(chat.handle(xml('message')), false)
    assert.equal(chat.handle(xml('iq')), false)
    assert.equal(chat.handle(xml('presence', { from: PHONE, to: ADDRESS })), false)
    assert.equal(chat.handle({} as never), false)
    assert.equal(tell('x'.repeat(100_000)), true)
  })

  test('a reload that removes the server while a person waits for an answer has no effect', async () => {
    const gate = createGate()
    const { chat, tell, settle, sent, server } = createFakeChat({ reply: () => gate.opened })
    tell('help')
    const info = xml('query', { xmlns: 'http://jabber.org/protocol/disco#info' })
    chat.handle(xml('iq', { type: 'get', id: '1', from: PHONE, to: ADDRESS }, info))
    server.isRemoved = true
    gate.open()
    await settle()
    assert.deepEqual(sent, [])
    assert.equal(tell('help'), false)
  })

  test('control characters do not reach the answer, and a long answer is cut', async (t) => {
    const fake = await startFakeAlertmanager(t)
    const labels = { alertname: 'A', severity: 'critical\u0007\u202E\uD800' }
    const summary = '<b>&\uFFFF\u0000'.repeat(1000)
    for (let i = 0; i < 20; i++)
      fake.alerts.push({ labels, annotations: { summary }, startsAt: '2026' })
    const { ask } = createFakeChat({ alertmanager: fake.url })
    const text = await ask('alerts')
    assert.doesNotMatch(text, /(?!\n)[\p{Cc}\p{Cf}\p{Cs}\uFFFF]/u)
    assert.equal(text.length, 4000)
    assert.ok(text.endsWith('…'))
  })
})

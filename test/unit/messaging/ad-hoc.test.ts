import xml, { type Element } from '@xmpp/xml'
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { startFakeAlertmanager } from '../../support/fake-alertmanager.js'
import {
  ADDRESS,
  ADMIN,
  createFakeChat,
  createFakeServer,
  DOMAIN,
  PHONE,
} from '../../support/fake-chat.js'
import { START_MS } from '../../support/summary-families.js'

const NS_COMMANDS = 'http://jabber.org/protocol/commands'
const NS_INFO = 'http://jabber.org/protocol/disco#info'
const NS_ITEMS = 'http://jabber.org/protocol/disco#items'
const STRANGER = 'stranger@a.example/x'

const query = (xmlns: string, node?: string) => xml('query', { xmlns, node })
const form = (values: Readonly<Record<string, string>>, type = 'submit') =>
  xml(
    'x',
    { xmlns: 'jabber:x:data', type },
    ...Object.entries(values).map(([name, value]) =>
      xml('field', { var: name }, xml('value', {}, value)),
    ),
  )
const command = (attrs: Readonly<Record<string, string>>, ...children: Element[]) =>
  xml('command', { xmlns: NS_COMMANDS, ...attrs }, ...children)

const conditionsOf = (reply: Element) =>
  reply
    .getChild('error')
    ?.getChildElements()
    .map((child) => child.name)
const commandOf = (reply: Element) => reply.getChild('command', NS_COMMANDS)!
const noteOf = (reply: Element) => {
  const note = commandOf(reply).getChild('note')
  return note && `${note.attrs['type']}: ${note.text()}`
}
const fieldsOf = (reply: Element) =>
  (commandOf(reply).getChild('x', 'jabber:x:data')?.getChildren('field') ?? []).map((field) => ({
    name: field.attrs['var'],
    type: field.attrs['type'],
    values: field.getChildren('value').map((value) => value.text()),
    options: field.getChildren('option').map((option) => option.getChildText('value')),
  }))

describe('service discovery', () => {
  test('an allowed person sees the address in the items of the domain', async () => {
    const far = 'x@far.example'
    const { iq, settle, chat, sent } = createFakeChat({ allow: [ADMIN, far] })
    const reply = await iq('get', query(NS_ITEMS), { to: DOMAIN })
    const expected = `<query xmlns="${NS_ITEMS}"><item jid="${ADDRESS}" name="Alerts and questions"/></query>`
    assert.equal(String(reply.getChild('query')), expected)
    assert.equal(reply.attrs['from'], DOMAIN)
    // A person in chat.allow whom the exporter does not serve gets the answer for all other people.
    const empty = await iq('get', query(NS_ITEMS), { to: DOMAIN, from: `${far}/x` })
    assert.equal(String(empty.getChild('query')), `<query xmlns="${NS_ITEMS}"/>`)
    // All other requests to the domain are answered as without the chat.
    sent.length = 0
    const send = (child: Element, attrs = {}) =>
      chat.handle(xml('iq', { type: 'get', id: '1', from: PHONE, to: DOMAIN, ...attrs }, child))
    assert.equal(send(query(NS_ITEMS), { from: STRANGER }), false)
    assert.equal(send(query(NS_ITEMS), { type: 'set' }), false)
    assert.equal(send(query(NS_ITEMS, NS_COMMANDS)), false)
    assert.equal(send(query(NS_INFO)), false)
    assert.equal(send(xml('ping', { xmlns: 'urn:xmpp:ping' })), false)
    assert.equal(send(query(NS_ITEMS), { to: `other@${DOMAIN}` }), false)
    await settle()
    assert.deepEqual(sent, [])
  })

  test('the address describes itself and its commands', async () => {
    const { iq } = createFakeChat({ alertmanager: 'http://127.0.0.1:1' })
    const info = await iq('get', query(NS_INFO))
    assert.equal(
      String(info.getChild('query')),
      `<query xmlns="${NS_INFO}"><identity category="client" type="bot" name="prosody-exporter"/>` +
        `<feature var="${NS_COMMANDS}"/><feature var="${NS_INFO}"/><feature var="${NS_ITEMS}"/></query>`,
    )
    const items = (await iq('get', query(NS_ITEMS, NS_COMMANDS))).getChild('query')!
    assert.deepEqual(
      items.getChildren('item').map(({ attrs }) => [attrs['jid'], attrs['node']]),
      ['status', 'certs', 'top', 'alerts', 'silence', 'unsilence'].map((node) => [ADDRESS, node]),
    )
    const node = await iq('get', query(NS_INFO, 'silence'))
    assert.match(String(node), /category="automation" type="command-node" name="Silence an alert"/)
    assert.deepEqual(conditionsOf(await iq('get', query(NS_INFO, 'other'))), ['item-not-found'])
  })

  test('everybody else gets forbidden for each kind of request', async () => {
    const { iq, settle } = createFakeChat({ allow: [ADMIN, 'x@far.example'] })
    await settle()
    for (const from of [STRANGER, 'a.example', 'x@far.example/y', 'admin@a.example.evil/x']) {
      for (const [type, child] of [
        ...(['get', 'set'] as const).map((type) => [type, query(NS_INFO)] as const),
        ['get', query(NS_ITEMS)],
        ['get', query(NS_ITEMS, NS_COMMANDS)],
        ['get', xml('ping', { xmlns: 'urn:xmpp:ping' })],
        ['get', query('jabber:iq:version')],
        ['set', command({ node: 'status', action: 'execute' })],
        ['set', command({ node: 'silence', sessionid: '1' })],
      ] as const) {
        const reply = await iq(type, child, { from })
        assert.deepEqual(conditionsOf(reply), ['forbidden'], `${from} ${String(child)}`)
        assert.deepEqual([reply.attrs['to'], reply.attrs['from']], [from, ADDRESS])
      }
    }
    assert.deepEqual(
      conditionsOf(await iq('get', query(NS_INFO), { from: STRANGER, to: `${ADDRESS}/x` })),
      ['forbidden'],
    )
  })

  test('an unknown or malformed request of an allowed person gets an error', async () => {
    const { iq, chat, sent, settle } = createFakeChat()
    const ping = xml('ping', { xmlns: 'urn:xmpp:ping' })
    assert.deepEqual(conditionsOf(await iq('get', ping)), ['service-unavailable'])
    assert.deepEqual(conditionsOf(await iq('set', query(NS_INFO))), ['service-unavailable'])
    assert.deepEqual(conditionsOf(await iq('other', query(NS_INFO))), ['bad-request'])
    sent.length = 0
    chat.handle(xml('iq', { type: 'get', id: '1', from: PHONE, to: ADDRESS }))
    chat.handle(xml('iq', { type: 'get', id: '1', from: PHONE, to: ADDRESS }, ping, ping))
    chat.handle(xml('iq', { type: 'get', from: PHONE, to: ADDRESS }, ping))
    await settle()
    assert.deepEqual(sent.map(conditionsOf), [['bad-request'], ['bad-request'], ['bad-request']])
  })
})

describe('commands without a form', () => {
  test('the result is that of the message', async () => {
    const { iq, ask } = createFakeChat()
    for (const node of ['status', 'certs', 'top']) {
      const reply = await iq('set', command({ node, action: 'execute' }))
      assert.equal(commandOf(reply).attrs['status'], 'completed')
      const [field, ...others] = fieldsOf(reply)
      assert.deepEqual(others, [])
      assert.equal(field!.type, 'text-multi')
      assert.equal(field!.values.join('\n'), await ask(node))
    }
  })

  test('a failure is a note', async () => {
    const { iq } = createFakeChat({ alertmanager: 'http://127.0.0.1:1' })
    for (const node of ['alerts', 'silence', 'unsilence']) {
      const reply = await iq('set', command({ node }))
      assert.equal(commandOf(reply).attrs['status'], 'completed')
      assert.match(
        noteOf(reply)!,
        /^error: Alertmanager at http:\/\/127\.0\.0\.1:1 is not reachable/,
      )
    }
  })

  test('without the address of Alertmanager, its commands do not exist', async () => {
    const { iq } = createFakeChat()
    for (const node of ['alerts', 'silence', 'unsilence', 'other']) {
      assert.deepEqual(conditionsOf(await iq('set', command({ node }))), ['item-not-found'])
    }
  })

  test('with several servers, the person chooses one', async () => {
    const servers = {
      main: createFakeServer(),
      old: createFakeServer({ software: ['Prosody 0.12.5'] }),
    }
    const { iq } = createFakeChat({ servers })
    const asked = await iq('set', command({ node: 'status' }))
    const expected = {
      name: 'server',
      type: 'list-single',
      values: ['main'],
      options: ['main', 'old'],
    }
    assert.deepEqual(fieldsOf(asked), [expected])
    const { sessionid = '' } = commandOf(asked).attrs
    const attrs = { node: 'status', sessionid, action: 'complete' }
    const reply = await iq('set', command(attrs, form({ server: 'old' })))
    assert.match(fieldsOf(reply)[0]!.values[0]!, /^old: Prosody 0\.12\.5 has been up/)
  })

  test('commands above the limit get policy-violation, and the next message gets the tenth answer', async () => {
    const { iq, clock, ask, tell, settle, sent } = createFakeChat()
    const run = async () => conditionsOf(await iq('set', command({ node: 'top' })))
    for (let i = 0; i < 9; i++) assert.equal(await run(), undefined)
    const refused = ['policy-violation', 'text']
    for (let i = 0; i < 3; i++) assert.deepEqual(await run(), refused)
    assert.match(await ask('help'), /at most 10 answers per minute/)
    assert.deepEqual(await run(), refused)
    const count = sent.length
    tell('help')
    await settle()
    assert.equal(sent.length, count)
    clock.advance(60_000)
    assert.equal(await run(), undefined)
  })
})

describe('silence', () => {
  const setUp = async (t: Parameters<typeof startFakeAlertmanager>[0]) => {
    const fake = await startFakeAlertmanager(t)
    for (const alertname of ['B', 'A', 'A', '', 'bad\u0001name']) {
      fake.alerts.push({ labels: { alertname }, startsAt: new Date(START_MS).toISOString() })
    }
    const chat = createFakeChat({ alertmanager: fake.url, allow: [ADMIN, 'other@b.example'] })
    const open = async (node = 'silence', from = PHONE) => {
      const reply = await chat.iq('set', command({ node, action: 'execute' }), { from })
      return { reply, sessionid: commandOf(reply).attrs['sessionid'] ?? '' }
    }
    const act = (
      sessionid: string,
      action: string | undefined,
      values?: Readonly<Record<string, string>>,
      { node = 'silence', from = PHONE } = {},
    ) => {
      const attrs = { node, sessionid, ...(action !== undefined && { action }) }
      return chat.iq('set', command(attrs, ...(values ? [form(values)] : [])), { from })
    }
    return { ...chat, fake, open, act }
  }
  const VALUES = { alert: 'A', duration: '4h' }

  test('the form has the names of the alerts that are firing, and a duration', async (t) => {
    const { open } = await setUp(t)
    const { reply } = await open()
    assert.equal(commandOf(reply).attrs['status'], 'executing')
    assert.equal(
      String(commandOf(reply).getChild('actions')),
      '<actions execute="complete"><complete/></actions>',
    )
    const [alert, duration] = fieldsOf(reply)
    assert.deepEqual(alert, { name: 'alert', type: 'list-single', values: [], options: ['A', 'B'] })
    assert.equal(duration!.name, 'duration')
    assert.deepEqual(duration!.values, ['2h'])
    assert.ok(duration!.options.includes('1d'))
  })

  test('the completed form creates a silence with the author', async (t) => {
    const { open, act, fake } = await setUp(t)
    const { sessionid } = await open()
    assert.equal(fake.silences.length, 0)
    const reply = await act(sessionid, 'complete', VALUES)
    assert.deepEqual(
      [commandOf(reply).attrs['status'], commandOf(reply).attrs['sessionid']],
      ['completed', sessionid],
    )
    assert.match(fieldsOf(reply)[0]!.values.join(), /^Silenced A until 2026-01-01 04:00 UTC/)
    assert.equal(fake.silences[0]!.createdBy, ADMIN)
    // A session ends with its completion.
    assert.deepEqual(conditionsOf(await act(sessionid, 'complete', VALUES)), [
      ...['bad-request', 'bad-sessionid'],
    ])
    assert.equal(fake.silences.length, 1)

    const unsilence = await open('unsilence')
    assert.deepEqual(fieldsOf(unsilence.reply)[0]!.options, ['A'])
    const ended = await act(unsilence.sessionid, undefined, { alert: 'A' }, { node: 'unsilence' })
    assert.equal(fieldsOf(ended)[0]!.values.join(), 'Ended 1 silence of A.')
    assert.equal(
      noteOf((await open('unsilence')).reply),
      'error: No silence is for all alerts of one name. End other silences on the web page of Alertmanager.',
    )
  })

  test('a form in the first request is not accepted, because its sender can be forged', async (t) => {
    const { iq, fake } = await setUp(t)
    for (const action of ['execute', 'complete', 'next', 'prev', 'cancel']) {
      await iq('set', command({ node: 'silence', action }, form(VALUES)))
    }
    assert.equal(fake.silences.length, 0)
  })

  test('without an alert that is firing, the person writes the name', async (t) => {
    const { open, act, fake } = await setUp(t)
    fake.alerts.length = 0
    const { reply, sessionid } = await open()
    assert.equal(fieldsOf(reply)[0]!.type, 'text-single')
    await act(sessionid, 'complete', { alert: 'C', duration: '1h' })
    assert.equal(fake.silences[0]!.matchers[0]!['value'], 'C')
  })

  test('if the lists of Alertmanager are too long, the person writes the name', async (t) => {
    const { open, act, fake } = await setUp(t)
    const startsAt = new Date(START_MS).toISOString()
    const annotations = { summary: 'x'.repeat(9 * 1024 * 1024) }
    fake.alerts.push({ labels: { alertname: 'Long' }, annotations, startsAt })
    const { reply, sessionid } = await open()
    assert.deepEqual(
      fieldsOf(reply).map(({ type }) => type),
      ['text-single', 'list-single'],
    )
    await act(sessionid, 'complete', VALUES)
    assert.equal(fake.silences[0]!.matchers[0]!['value'], 'A')

    const comment = 'x'.repeat(9 * 1024 * 1024)
    const matchers = [{ name: 'alertname', value: 'B', isRegex: false }]
    fake.silences.push({ ...fake.silences[0]!, id: 'long', matchers, comment })
    const unsilence = await open('unsilence')
    assert.equal(fieldsOf(unsilence.reply)[0]!.type, 'text-single')
    const values = { alert: 'A' }
    const ended = await act(unsilence.sessionid, 'complete', values, { node: 'unsilence' })
    assert.equal(fieldsOf(ended)[0]!.values.join(), 'Ended 1 silence of A.')
  })

  test('wrong codes in messages do not block the forms', async (t) => {
    const { open, act, ask, fake } = await setUp(t)
    await ask('silence A 2h')
    for (let i = 0; i < 3; i++) await ask('yes 999999')
    assert.match(await ask('silence A 2h'), /too many wrong codes/)
    await act((await open()).sessionid, 'complete', VALUES)
    assert.equal(fake.silences.length, 1)
  })

  test('a mistake shows the form again, with the reason', async (t) => {
    const { open, act, fake } = await setUp(t)
    const { sessionid } = await open()
    for (const [values, reason] of [
      [{ alert: 'A', duration: 'soon' }, /^error: The duration must be between/],
      [{ alert: '', duration: '1h' }, /^error: Write the name of an alert/],
      [{}, /^error: The duration/],
    ] as const) {
      const reply = await act(sessionid, 'complete', values)
      assert.equal(commandOf(reply).attrs['status'], 'executing')
      assert.match(noteOf(reply)!, reason)
      assert.equal(fieldsOf(reply).length, 2)
    }
    fake.answer = (_, response) => response.writeHead(500).end('disk full')
    assert.match(noteOf(await act(sessionid, 'complete', VALUES))!, /status 500 \(disk full\)/)
    fake.answer = undefined
    await act(sessionid, 'complete', VALUES)
    assert.equal(fake.silences.length, 1)
  })

  test('after a mistake, the form has the values of the person', async (t) => {
    const { open, act, fake } = await setUp(t)
    const { sessionid } = await open()
    const valuesOf = (reply: Element) => fieldsOf(reply).map(({ values }) => values)
    fake.answer = (_, response) => response.writeHead(500).end()
    assert.deepEqual(valuesOf(await act(sessionid, 'complete', VALUES)), [['A'], ['4h']])
    // These values are not options of the lists.
    const others = { alert: 'C', duration: 'soon' }
    assert.deepEqual(valuesOf(await act(sessionid, 'complete', others)), [['A'], ['4h']])
    fake.answer = undefined
    fake.alerts.length = 0
    const written = await open()
    const long = { alert: 'x'.repeat(1000), duration: '1d' }
    assert.deepEqual(valuesOf(await act(written.sessionid, 'complete', long)), [
      [`${'x'.repeat(499)}…`],
      ['1d'],
    ])
  })

  test('cancel ends the session', async (t) => {
    const { open, act } = await setUp(t)
    const { sessionid } = await open()
    const canceled = await act(sessionid, 'cancel')
    assert.deepEqual(
      { ...commandOf(canceled).attrs },
      {
        ...{ xmlns: NS_COMMANDS, node: 'silence', sessionid, status: 'canceled' },
      },
    )
    assert.deepEqual(conditionsOf(await act(sessionid, 'complete', VALUES)), [
      ...['bad-request', 'bad-sessionid'],
    ])
  })

  test('a session belongs to the full JID that started it, and to its command', async (t) => {
    const { open, act, fake } = await setUp(t)
    const { sessionid } = await open()
    const refused = ['bad-request', 'bad-sessionid']
    for (const from of [`${ADMIN}/laptop`, ADMIN, 'other@b.example/phone']) {
      assert.deepEqual(conditionsOf(await act(sessionid, 'complete', VALUES, { from })), refused)
    }
    const other = { node: 'unsilence' }
    assert.deepEqual(conditionsOf(await act(sessionid, 'complete', VALUES, other)), refused)
    assert.deepEqual(conditionsOf(await act('guess', 'complete', VALUES)), refused)
    assert.equal(fake.silences.length, 0)
    await act(sessionid, 'complete', VALUES)
    assert.equal(fake.silences.length, 1)
  })

  test('a session ends after ten minutes, and when the person opens too many', async (t) => {
    const { open, act, clock } = await setUp(t)
    const isOpen = async (sessionid: string) =>
      conditionsOf(await act(sessionid, 'next'))?.at(-1) === 'bad-action'
    const first = await open()
    clock.advance(599_999)
    assert.ok(await isOpen(first.sessionid))
    clock.advance(1)
    assert.ok(!(await isOpen(first.sessionid)))
    clock.advance(60_000)
    const ids: string[] = []
    for (let i = 0; i < 4; i++) ids.push((await open()).sessionid)
    const other = await open('silence', 'other@b.example/x')
    assert.notEqual(other.sessionid, '')
    assert.deepEqual(
      [await isOpen(ids[0]!), await isOpen(ids[1]!), await isOpen(ids[3]!)],
      [false, true, true],
    )
  })

  test('malformed requests get the errors of XEP-0050', async (t) => {
    const { open, act, iq, clock } = await setUp(t)
    const { sessionid } = await open()
    const bad = (condition: string) => ['bad-request', condition]
    assert.deepEqual(conditionsOf(await act(sessionid, 'next', VALUES)), bad('bad-action'))
    assert.deepEqual(conditionsOf(await act(sessionid, 'prev')), bad('bad-action'))
    assert.deepEqual(conditionsOf(await act(sessionid, 'jump', VALUES)), bad('malformed-action'))
    assert.deepEqual(conditionsOf(await act(sessionid, 'complete')), bad('bad-payload'))
    const send = (...children: Element[]) =>
      iq('set', command({ node: 'silence', sessionid, action: 'complete' }, ...children))
    const twice = xml('x', { xmlns: 'jabber:x:data', type: 'submit' })
    twice.append(xml('field', { var: 'alert' }), xml('field', { var: 'alert' }))
    for (const payload of [form(VALUES, 'form'), form(VALUES, 'other'), twice, xml('x')]) {
      assert.deepEqual(conditionsOf(await send(payload)), bad('bad-payload'))
    }
    clock.advance(60_000)
    assert.deepEqual(
      conditionsOf(await iq('set', command({ node: 'silence', action: 'complete' }))),
      [...bad('bad-action')],
    )
    assert.deepEqual(conditionsOf(await iq('set', command({}))), ['item-not-found'])
  })
})

import xml from '@xmpp/xml'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Socket } from 'node:net'
import { test } from 'node:test'
import { until } from '../../support/setup/process.js'
import { LinkError, NotHandledError, StanzaError, TimeoutError } from '../../../src/errors.js'
import { explain } from '../../../src/xmpp/advice.js'
import { createBackoff } from '../../../src/xmpp/backoff.js'
import { createInput } from '../../../src/xmpp/input.js'
import { realTime } from '../../../src/xmpp/schedule.js'
import { parseService } from '../../../src/xmpp/address.js'
import type { StreamEnd } from '../../../src/xmpp/stream-end.js'
import { connectTo, DOMAIN, type LogEntry } from '../../support/connection.js'
import { createClock } from '../../support/clock.js'
import { startFakeServer, type FakeLink } from '../../support/fake-server.js'

const isProblem = ({ level }: LogEntry) => level === 'error' || level === 'warn'
const ping = () => xml('ping', { xmlns: 'urn:xmpp:ping' })
const attrs = (id: string, type: string, from: string) =>
  `id="${id}" type="${type}" from="${from}" to="${DOMAIN}"`

/** Sends a ping to the exporter and waits for the answer. Then the exporter has handled all earlier stanzas, too. */
async function settle(link: FakeLink): Promise<void> {
  link.send(`<iq ${attrs('settle', 'get', 'a@b')}><ping xmlns="urn:xmpp:ping"/></iq>`)
  const { id, type } = (await link.next()).attrs
  assert.deepEqual([id, type], ['settle', 'result'])
}

test('a request resolves with the whole reply stanza, and leaves no timer', async (t) => {
  const { clock, connection, accept, online } = await connectTo(t)
  const link = await accept()
  await online()
  const request = connection.request('set', xml('a', { b: '<&"' }, '<c>&'), { timeoutMs: 1000 })
  const sent = await link.next()
  assert.deepEqual(
    [sent.attrs['type'], sent.attrs['to'], sent.attrs['from']],
    ['set', DOMAIN, DOMAIN],
  )
  assert.equal(sent.getChild('a')?.attrs['b'], '<&"')
  assert.equal(sent.getChildText('a'), '<c>&')
  link.send(`<iq ${attrs(sent.attrs['id']!, 'result', DOMAIN)}><d xmlns="urn:d">text</d></iq>`)
  const reply = await request
  assert.equal(reply.name, 'iq')
  assert.equal(reply.getChildText('d', 'urn:d'), 'text')
  assert.equal(clock.pending(), 0)
})

test('requests of one turn of the event loop are sent in one write', async (t) => {
  const { connection, server, accept, online } = await connectTo(t)
  const link = await accept()
  await online()
  const { port } = new URL(server.service)
  const writes = (['_write', '_writev'] as const).map((name) =>
    t.mock.method(Socket.prototype as Required<Socket>, name),
  )
  const count = () =>
    writes
      .flatMap(({ mock }) => mock.calls)
      .filter((call) => (call.this as Socket).remotePort === Number(port)).length
  const requests = ['a', 'b', 'c'].map((name) =>
    connection.request('get', xml(name), { timeoutMs: 1000 }),
  )
  for (const request of requests) {
    link.send(`<iq ${attrs((await link.next()).attrs['id']!, 'result', DOMAIN)}/>`)
    await request
  }
  assert.equal(count(), 1)
})

test('a reply is accepted only once, with the id and from the address of the request', async (t) => {
  const { connection, accept, online } = await connectTo(t)
  const link = await accept()
  await online()
  const request = connection.request('get', ping(), { to: 'example.com', timeoutMs: 1000 })
  const { id = '', to } = (await link.next()).attrs
  assert.equal(to, 'example.com')
  for (const from of [DOMAIN, 'a@example.com', 'example.com/x', 'example.org', '']) {
    link.send(`<iq ${attrs(id, 'error', from)}/>`)
  }
  link.send(`<iq type="error" id="${id}"/>`)
  link.send(`<iq ${attrs('another', 'error', 'example.com')}/>`)
  link.send(`<message ${attrs(id, 'error', 'example.com')}/>`)
  link.send(`<iq ${attrs(id, 'result', 'example.com')}><first/></iq>`)
  link.send(`<iq ${attrs(id, 'result', 'example.com')}><second/></iq>`)
  assert.ok((await request).getChild('first'))
  await settle(link)
})

test('the ids of requests cannot be guessed and are never reused', async (t) => {
  const { connection, accept, online } = await connectTo(t)
  const link = await accept()
  await online()
  const ids = new Set<string>()
  for (let i = 0; i < 10; i++) {
    connection.request('get', ping(), { timeoutMs: 1000 }).catch(() => {})
    ids.add((await link.next()).attrs['id']!)
  }
  assert.equal(ids.size, 10)
  for (const id of ids) assert.match(id, /^[0-9a-f-]{36}$/)
})

test('an error reply causes a StanzaError with the condition, the type and the text of the reply', async (t) => {
  const { connection, accept, online } = await connectTo(t)
  const link = await accept()
  await online()
  const ns = 'xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"'
  const ask = async (error: string) => {
    const request = connection.request('get', ping(), { timeoutMs: 1000 })
    request.catch(() => {})
    link.send(`<iq ${attrs((await link.next()).attrs['id']!, 'error', DOMAIN)}>${error}</iq>`)
    const failure: unknown = await request.catch((error: unknown) => error)
    assert.ok(failure instanceof StanzaError)
    return [failure.condition, failure.type, failure.text, failure.message]
  }
  assert.deepEqual(
    await ask(
      `<a/><error type="auth"><text ${ns}>No!</text><forbidden ${ns}/><own xmlns="o"/></error>`,
    ),
    ['forbidden', 'auth', 'No!', 'forbidden: No!'],
  )
  const undefinedCondition = ['undefined-condition', 'cancel', '', 'undefined-condition']
  assert.deepEqual(await ask('<error/>'), undefinedCondition)
  assert.deepEqual(await ask(''), undefinedCondition)
  // Condition and text appear in the log and on the status page, so a long error is shortened.
  const [condition, , text, message] = await ask(
    `<error><${'c'.repeat(1e6)} ${ns}/><text ${ns}>${'t'.repeat(1e6)}</text></error>`,
  )
  assert.deepEqual(
    [condition, text],
    ['c', 't'].map((letter) => `${letter.repeat(1000)}…`),
  )
  assert.equal(message, `${condition}: ${text}`)
})

test('answers do not accumulate for a server that sends requests and never reads', async (t) => {
  const { connection, accept, online } = await connectTo(t)
  const link = await accept()
  await online()
  let asked = 0
  connection.trace((way) => {
    if (way === 'received') asked++
  })
  link.socket.pause()
  const COUNT = 50_000
  const info = `<query xmlns="http://jabber.org/protocol/disco#info"/>`
  const ask = `<iq ${attrs('i'.repeat(500), 'get', 'a@b')}>${info}</iq>`
  for (let i = 0; i < COUNT; i += 100) {
    if (!link.socket.write(ask.repeat(100))) await once(link.socket, 'drain')
  }
  await until(() => asked === COUNT, { what: 'the exporter has read all requests' })
  const before = link.socket.bytesRead
  link.socket.resume()
  let sofar = before
  await until(() => link.socket.bytesRead > before, { what: 'the first bytes arrive' })
  // After half a second without new bytes, all answers have arrived.
  await until(
    () => {
      const isStill = link.socket.bytesRead === sofar
      sofar = link.socket.bytesRead
      return isStill
    },
    { what: 'no more bytes arrive', everyMs: 500 },
  )
  // Without the limit, the answers would have 60 MB. Only answers that fit into the limit and the socket buffers
  // arrive.
  const got = link.socket.bytesRead - before
  assert.ok(got > 0 && got < 20e6, `${got} bytes`)
  assert.ok(connection.isConnected())
  // A request of the exporter is not dropped. If the server does not read it, the stream ends.
  await assert.rejects(
    connection.request('get', xml('a', {}, 'x'.repeat(20e6)), { timeoutMs: 1000 }),
    LinkError,
  )
  assert.match(connection.problem() ?? '', /sends data but does not read\./)
})

test('a request that comes back causes a NotHandledError, and the exporter does not answer it', async (t) => {
  const { connection, accept, online } = await connectTo(t)
  const link = await accept()
  await online()
  const request = connection.request('set', ping(), { timeoutMs: 1000 })
  const sent = await link.next()
  link.send(sent.toString())
  await assert.rejects(request, NotHandledError)
  // The exporter also does not answer a request that comes back after it has been settled.
  link.send(sent.toString())
  await settle(link)
})

test('an iq from the domain of the component does not settle a request to another domain', async (t) => {
  const { connection, accept, online } = await connectTo(t)
  const link = await accept()
  await online()
  const request = connection.request('get', ping(), { to: 'example.com', timeoutMs: 1000 })
  const { id = '' } = (await link.next()).attrs
  link.send(`<iq ${attrs(id, 'get', DOMAIN)}><ping xmlns="urn:xmpp:ping"/></iq>`)
  link.send(`<iq ${attrs(id, 'result', 'example.com')}/>`)
  await request
})

test('a late reply is dropped', async (t) => {
  const { clock, connection, accept, online } = await connectTo(t)
  const link = await accept()
  await online()
  const request = connection.request('get', ping(), { timeoutMs: 100 })
  const { id = '' } = (await link.next()).attrs
  const rejected = assert.rejects(request, TimeoutError)
  clock.advance(100)
  await rejected
  link.send(`<iq ${attrs(id, 'result', DOMAIN)}/>`)
  await settle(link)
  clock.advance(60_000)
  assert.equal(connection.isConnected(), true)
})

test('a stream ends after 5 s of silence, even if the time-out of the request is shorter', async (t) => {
  const { clock, connection, log, accept, online } = await connectTo(t)
  const link = await accept()
  await online()
  const request = connection.request('get', ping(), { timeoutMs: 10 })
  const rejected = assert.rejects(request, TimeoutError)
  await link.next()
  clock.advance(4999)
  await rejected
  assert.equal(connection.isConnected(), true)
  clock.advance(1)
  assert.equal(connection.isConnected(), false)
  assert.match((await log.next(isProblem)).message, /did not respond in time\. .*\(no reply\)/)
})

test('a time-out does not end a stream on which another element arrived', async (t) => {
  const { clock, connection, accept, online } = await connectTo(t)
  const link = await accept()
  await online()
  const request = connection.request('get', ping(), { timeoutMs: 10_000 })
  const rejected = assert.rejects(request, TimeoutError)
  await link.next()
  await settle(link)
  clock.advance(10_000)
  await rejected
  assert.equal(connection.isConnected(), true)
})

test('an incomplete reply ends the stream: the exporter reconnects, and other requests fail immediately', async (t) => {
  const { clock, connection, log, accept, online } = await connectTo(t)
  const link = await accept()
  await online()
  const request = connection.request('get', ping(), { timeoutMs: 10_000 })
  const other = connection.request('get', ping(), { timeoutMs: 60_000 })
  const rejected = Promise.all([
    assert.rejects(request, TimeoutError),
    assert.rejects(other, LinkError),
  ])
  await link.next()
  link.send('<iq type="result"><a>text')
  link.send(`<x ${attrs((await link.next()).attrs['id']!, 'result', DOMAIN)}/>`.repeat(3))
  link.send('the end')
  // The exporter sends a space when the incomplete stanza has arrived.
  await once(link.socket, 'data')
  clock.advance(10_000)
  await rejected
  assert.match(
    (await log.next(isProblem)).message,
    /did not respond in time\. .*\(the last stanza is incomplete\)/,
  )
  await link.closed
  clock.advance(200)
  await accept()
  await online()
})

const CUT_SHORT: Readonly<Record<string, string>> = {
  'a text': '<iq type="result"><a>text',
  'an attribute': `<iq type='`,
  CDATA: '<iq type="result"><a><![CDATA[',
}

for (const [where, text] of Object.entries(CUT_SHORT)) {
  test(`replies to two probes inside an incomplete stanza, in ${where}, show that data was lost`, async (t) => {
    const { clock, connection, log, accept, online } = await connectTo(t)
    const link = await accept()
    await online()
    const rejected = assert.rejects(
      connection.request('get', ping(), { timeoutMs: 10_000 }),
      LinkError,
    )
    await link.next()
    link.send(text)
    clock.advance(1000)
    link.send((await link.next()).toString())
    clock.advance(1000)
    link.send((await link.next()).toString())
    await rejected
    assert.match((await log.next(isProblem)).message, /was lost or corrupted/)
  })
}

test('a stanza that arrives slowly is accepted, even if replies to probes follow it in the same chunk', async (t) => {
  const { clock, connection, accept, online } = await connectTo(t)
  const link = await accept()
  await online()
  const request = connection.request('get', ping(), { timeoutMs: 10_000 })
  const { id } = (await link.next()).attrs
  link.send(`<iq ${attrs(id!, 'result', DOMAIN)}><a>`)
  const probes: string[] = []
  for (let second = 0; second < 8; second++) {
    clock.advance(1000)
    probes.push((await link.next()).toString())
    link.send('slowly ')
    await once(link.socket, 'data')
  }
  link.send('</a></iq>' + probes.join(''))
  await request
  assert.equal(connection.isConnected(), true)
})

test('after a second of silence the exporter sends a probe; if its reply is first, earlier replies were lost', async (t) => {
  const { clock, connection, accept, online } = await connectTo(t)
  const link = await accept()
  await online()
  const lost = [1, 2].map(() => connection.request('get', ping(), { timeoutMs: 10_000 }))
  const rejected = Promise.all(
    lost.map((request) => assert.rejects(request, /reply to this request was lost/)),
  )
  // The request to another address does not fail, because the server may reply to it at any time.
  const slow = connection.request('get', ping(), { to: 'example.com', timeoutMs: 10_000 })
  const asked = [await link.next(), await link.next(), await link.next()]
  clock.advance(1000)
  const probe = await link.next()
  assert.ok(probe.getChild('ping', 'urn:xmpp:ping'))
  assert.equal(probe.attrs['to'], DOMAIN)
  // A server without a module that handles the ping sends the ping back to the exporter.
  link.send(probe.toString())
  await rejected
  link.send(`<iq ${attrs(asked[2]!.attrs['id']!, 'result', 'example.com')}/>`)
  await slow
  assert.equal(connection.isConnected(), true)
})

test('a request succeeds if its late reply arrives before the reply to a later probe', async (t) => {
  const { clock, connection, accept, online } = await connectTo(t)
  const link = await accept()
  await online()
  const request = connection.request('get', ping(), { timeoutMs: 10_000 })
  const { id } = (await link.next()).attrs
  clock.advance(1000)
  const probe = await link.next()
  link.send(`<iq ${attrs(id!, 'result', DOMAIN)}/>`)
  link.send(`<iq ${attrs(probe.attrs['id']!, 'result', DOMAIN)}/>`)
  await request
})

const TOO_MUCH: Readonly<Record<string, string>> = {
  'bytes in tags': `<a>${`<b c="${'0123456789'.repeat(10)}"/>`.repeat(40)}`,
  'bytes of text': `<a>${'0123456789'.repeat(400)}`,
  'bytes of a tag without an end': `<a b="${'0123456789'.repeat(400)}`,
  elements: `<a>${'<b/>'.repeat(200)}</a>`,
}

for (const [what, text] of Object.entries(TOO_MUCH)) {
  test(`a stanza with too many ${what} ends the stream`, async (t) => {
    const { connection, log, accept, online } = await connectTo(t, {
      limits: { bytes: 2000, elements: 100 },
    })
    const link = await accept()
    await online()
    // Many small stanzas do not exceed the limits, because the limits apply to each stanza separately.
    link.send('<message><body>hello</body></message>'.repeat(200))
    await settle(link)
    link.send(text)
    await link.closed
    assert.match((await log.next(isProblem)).message, /cannot read/)
    assert.equal(connection.isConnected(), false)
  })
}

test('a stanza that is nested too deeply is dropped and does not end the stream', async (t) => {
  const { connection, lines, accept, online } = await connectTo(t, { limits: { depth: 10 } })
  const link = await accept()
  await online()
  const received: string[] = []
  connection.trace((way, stanza) => {
    if (way === 'received') received.push(stanza)
  })
  const iq = (depth: number) =>
    `<iq ${attrs(`${depth}`, 'get', 'example.com')}>${'<a>'.repeat(depth)}${'</a>'.repeat(depth)}</iq>`
  link.send(iq(100_000) + iq(9) + iq(8))
  const answer = await link.next()
  assert.equal(answer.attrs['id'], '8')
  assert.equal(received.length, 1)
  assert.equal(connection.isConnected(), true)
  assert.equal(lines.filter(isProblem).length, 0)
})

test('a trace does not show messages, or stanzas of other addresses than the domain', async (t) => {
  const { connection, accept, online } = await connectTo(t)
  const link = await accept()
  await online()
  const traced: string[] = []
  connection.trace((way, stanza) => traced.push(`${way} ${stanza}`))
  const message = (body: string) =>
    `<message from="admin@example.com/x" to="alerts@${connection.domain}"><body>${body}</body></message>`
  link.send(`${message('yes 123456')}<iq ${attrs('1', 'get', 'example.com')}><a/></iq>`)
  assert.equal((await link.next()).attrs['id'], '1')
  connection.send(
    xml(
      'message',
      { from: `alerts@${connection.domain}`, to: 'admin@example.com' },
      xml('body', {}, 'yes 654321'),
    ),
  )
  assert.match((await link.next()).toString(), /654321/)
  assert.equal(traced.length, 1)
  assert.match(traced[0]!, /^received <iq/)
})

test('the exporter sends one space for each chunk that leaves a stanza incomplete, and for no other', async (t) => {
  const { accept, online } = await connectTo(t)
  const link = await accept()
  await online()
  const before = link.received().length
  for (const chunk of ['<mess', 'age>', 'text', '<a/>']) {
    link.send(chunk)
    await once(link.socket, 'data')
  }
  assert.equal(link.received().slice(before), '    ')
  link.send('</message> \n ')
  await settle(link)
  assert.match(link.received().slice(before), /^ {4}<iq /)
})

test('a request with a character that XML forbids causes a TypeError, and the stream continues', async (t) => {
  const { connection, accept, online } = await connectTo(t)
  const link = await accept()
  await online()
  for (const text of ['\0', '\x1b', '\uFFFE', '\uD800']) {
    const request = connection.request('get', xml('a', {}, text), { timeoutMs: 1000 })
    await assert.rejects(request, TypeError)
  }
  // The answer to this request would repeat the forbidden character in the id, so the exporter sends no answer.
  link.send(`<iq ${attrs('\x01', 'get', 'a@b')}><ping xmlns="urn:xmpp:ping"/></iq>`)
  await settle(link)
  assert.equal(connection.connects(), 1)
})

test('messages, presence and unexpected results are not answered', async (t) => {
  const { accept, online } = await connectTo(t)
  const link = await accept()
  await online()
  link.send('<message from="a@b" type="chat"><body>hi</body></message>')
  link.send('<presence from="a@b" type="subscribe"/>')
  link.send(`<iq ${attrs('1', 'result', 'a@b')}/><iq ${attrs('2', 'error', 'a@b')}/>`)
  await settle(link)
})

test('a stanza in the same chunk as the handshake is answered', async (t) => {
  const { server, online } = await connectTo(t)
  const link = await server.link()
  await link.header
  link.open()
  await link.next()
  const iq = `<iq ${attrs('1', 'get', 'a@b')}><ping xmlns="urn:xmpp:ping"/></iq>`
  link.send(`<handshake/>${iq}`)
  await online()
  assert.equal((await link.next()).attrs['id'], '1')
})

test('a problem is logged once, again when it changes, and again after the stream was online', async (t) => {
  const { server, clock, lines, log, accept, online } = await connectTo(t)
  const refuse = async (condition: string) => {
    const link = await server.link()
    await link.header
    link.refuse(condition)
    await log.next()
    clock.advance(clock.nextMs())
  }
  for (const condition of ['not-authorized', 'not-authorized', 'host-unknown', 'host-unknown']) {
    await refuse(condition)
  }
  const link = await accept()
  await online()
  clock.advance(60_000)
  link.socket.destroy()
  await log.next(isProblem)
  clock.advance(clock.nextMs())
  await refuse('host-unknown')
  await accept()
  await online()
  assert.deepEqual(
    lines
      .filter(({ level }) => level !== 'debug')
      .map(({ level, message }) => `${level} ${message.slice(0, 25)}`),
    [
      'error Prosody rejected the secr',
      'error Prosody has no external c',
      'info connected to Prosody as s',
      'warn Disconnected. Prosody clo',
      'error Prosody has no external c',
      'info connected to Prosody as s',
    ],
  )
})

test('the log reports a wrong secret, and never contains the secret', async (t) => {
  const secret = 'a-private-secret'
  const { lines, log, accept } = await connectTo(t, { secret })
  await accept()
  assert.match((await log.next(isProblem)).message, /component_secret.*--xmpp\.secret-file/)
  assert.doesNotMatch(JSON.stringify(lines), /a-private-secret/)
})

const NO_COMPONENT_PORT: Readonly<Record<string, string>> = {
  'a client port': `<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='1'><stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>`,
  'a web server': 'HTTP/1.1 400 Bad Request\r\n\r\n<html><body>no</body></html>',
}

for (const [what, text] of Object.entries(NO_COMPONENT_PORT)) {
  test(`${what} instead of a component port is reported, and the exporter does not send the login`, async (t) => {
    const { server, log } = await connectTo(t)
    const link = await server.link()
    await link.header
    link.send(text)
    assert.match((await log.next(isProblem)).message, /^xmpp:.* is not a Prosody component port/)
    await link.closed
    assert.doesNotMatch(link.received(), /handshake/)
  })
}

test('the exporter reconnects within seconds after Prosody stops and starts', async (t) => {
  const { server, clock, connection, log, accept, online } = await connectTo(t)
  await accept()
  await online()
  clock.advance(60_000)
  await server.close()
  await log.next(isProblem)
  assert.ok(clock.nextMs() <= 250)
  clock.advance(250)
  assert.match(
    (await log.next(isProblem)).message,
    /^Prosody stopped \(connection to xmpp:.* refused\); retrying\./,
  )
  const again = await startFakeServer(t, { port: server.port })
  clock.advance(3000)
  await (await again.link()).accept()
  await online()
  assert.equal(connection.connects(), 2)
})

test('stop() fails pending requests immediately, and may be called twice', async (t) => {
  const { connection, clock, accept, online } = await connectTo(t)
  const link = await accept()
  await online()
  const request = connection.request('get', ping(), { timeoutMs: 1000 })
  const rejected = assert.rejects(request, { name: 'LinkError', message: /stopping/ })
  await Promise.all([connection.stop(), connection.stop()])
  await rejected
  await link.closed
  await assert.rejects(connection.request('get', ping(), { timeoutMs: 1000 }), LinkError)
  connection.start()
  assert.equal(clock.pending(), 0)
})

test('between two streams, and while a stream opens or closes, nothing can be sent; the error says why', async (t) => {
  const { connection, server, clock, online } = await connectTo(t)
  const message = xml('message', { to: 'a@b' })
  const assertOffline = async (reason: RegExp) => {
    const expected = { name: 'LinkError', message: reason }
    assert.throws(() => {
      connection.send(message)
    }, expected)
    await assert.rejects(connection.request('get', ping(), { timeoutMs: 1000 }), expected)
  }
  const first = await server.link()
  await first.header
  first.open()
  await first.next()
  first.refuse('not-authorized')
  await until(() => connection.problem() !== undefined, { what: 'the attempt failed' })
  const reason = /^no stream to xmpp:.*: Prosody rejected the secret/
  await assertOffline(reason)
  clock.advance(clock.nextMs())
  const second = await server.link()
  await second.header
  await assertOffline(reason)
  await second.accept()
  await online()
  const stopped = connection.stop()
  await assertOffline(/^no stream to xmpp:/)
  await stopped
})

test('stop() between two attempts to connect cancels the next attempt', async (t) => {
  const { server, clock, connection, log } = await connectTo(t)
  const link = await server.link()
  link.socket.destroy()
  await log.next(isProblem)
  await connection.stop()
  assert.equal(clock.pending(), 0)
})

test('with real timers, a request without a reply times out', async (t) => {
  const { connection, accept, online } = await connectTo(t, { schedule: realTime })
  await accept()
  await online()
  await assert.rejects(connection.request('get', ping(), { timeoutMs: 1 }), TimeoutError)
})

test('onLost is called with the reason after each stream and each attempt to connect', async (t) => {
  const problems: (string | undefined)[] = []
  const { clock, connection, server, accept, online } = await connectTo(t, {
    onLost: () => problems.push(connection.problem()),
  })
  const link = await accept()
  await online()
  link.refuse('system-shutdown')
  await until(() => problems.length === 1, { what: 'the stream ended' })
  clock.advance(clock.nextMs())
  const next = await server.link()
  await next.header
  next.open()
  await next.next()
  next.refuse('not-authorized')
  await until(() => problems.length === 2, { what: 'the attempt ended' })
  assert.match(problems[0]!, /^Prosody is shutting down/)
  assert.match(problems[1]!, /^Prosody rejected the secret/)
})

test('onLost is called when `stop` has ended the stream, once', async (t) => {
  let calls = 0
  const { connection, accept, online } = await connectTo(t, {
    onLost: () => {
      calls++
    },
  })
  await accept()
  await online()
  await connection.stop()
  assert.equal(calls, 1)
  await connection.stop()
  assert.equal(calls, 1)
})

test('the connection remembers that another program took its place, until this has not happened for two and a half minutes', async (t) => {
  const { clock, connection, accept, online } = await connectTo(t)
  for (const times of [1, 2]) {
    const link = await accept()
    await online()
    assert.equal(connection.evictions(), times - 1)
    link.refuse('conflict', 'Replaced by a new connection')
    await until(() => !connection.isConnected(), { what: 'the exporter is evicted' })
    assert.equal(connection.evictions(), times)
    assert.equal(connection.lastEnd()?.condition, 'conflict')
    // The pauses are 3 s and 6 s, so the second eviction is at 3 s.
    clock.advance(clock.nextMs())
  }
  await accept()
  await online()
  assert.equal(connection.lastEnd(), undefined)
  clock.advance(140_000)
  assert.equal(connection.evictions(), 2)
  clock.advance(10_000)
  assert.equal(connection.evictions(), 0)
})

const ADVICE: readonly [StreamEnd['kind'], string, RegExp][] = [
  [
    'refused',
    'not-authorized',
    /component_secret in the Component "d" section of prosody\.cfg\.lua/,
  ],
  ['refused', 'host-unknown', /Set --xmpp\.domain .*Or add a Component "d" section/],
  ['refused', 'conflict', /second exporter.*component_conflict_resolve = "kick_old"/],
  ['refused', 'invalid-from', /--xmpp\.domain/],
  ['refused', 'invalid-namespace', /component_ports/],
  ['refused', 'policy-violation', /policy-violation/],
  ['network', 'ECONNREFUSED', /Check that Prosody runs.*component_ports.*--xmpp\.service/],
  ['network', 'ENOTFOUND', /host name in --xmpp\.service, its DNS entry/],
  ['network', 'EAI_AGAIN', /host name in --xmpp\.service, its DNS entry/],
  ['network', 'EHOSTUNREACH', /firewall/],
  ['network', 'ECONNRESET', /failed \(ECONNRESET\)/],
  ['timeout', 'connect', /firewall.*--xmpp\.service/],
  ['timeout', 'header', /component_ports/],
  ['timeout', 'handshake', /did not answer the login/],
  ['protocol', '', /component port/],
  ['closed', '', /before the login/],
]

test('each reason for a failed connection has advice on one line', () => {
  const lines = ADVICE.map(([kind, condition, expected]) => {
    const where = { service: 'xmpp://s', domain: 'd', wasOnline: false }
    const line = explain({ kind, condition, text: '' }, where)
    assert.match(line, expected)
    assert.doesNotMatch(line, /\n|undefined/)
    return line
  })
  assert.ok(new Set(lines).size >= lines.length - 2)
})

test('a refused connection says that Prosody stopped only if the exporter was connected before', () => {
  const end = { kind: 'network', condition: 'ECONNREFUSED', text: '' } as const
  const context = { service: 'xmpp://s', domain: 'd', wasOnline: false }
  assert.match(explain(end, context), /^Cannot connect to Prosody at xmpp:/)
  assert.match(explain(end, { ...context, hasConnected: true }), /^Prosody stopped /)
})

test('the message about a rejected secret describes its unusual characters, and never contains the secret', () => {
  const cases: [string, RegExp][] = [
    ['\uFEFFzqsh', /byte order mark/],
    [' zqsh', /starts or ends with a blank/],
    ['zqsh\u00a0', /starts or ends with a blank/],
    ['zq\u00efsh', /characters other than printable ASCII/],
    ['zq\tsh', /characters other than printable ASCII/],
    ['zq sh', /PROSODY_EXPORTER_XMPP_SECRET\), and restart Prosody\.$/],
  ]
  for (const [secret, expected] of cases) {
    const where = { service: 'xmpp://s', domain: 'd', secret, wasOnline: false }
    const line = explain({ kind: 'refused', condition: 'not-authorized', text: '' }, where)
    assert.match(line, expected)
    assert.doesNotMatch(line, /zq|\uFEFF/)
  }
})

const end = (kind: StreamEnd['kind'], condition: string): StreamEnd => ({
  kind,
  condition,
  text: '',
})

for (const chance of [0, 0.5, 0.999]) {
  const backoff = () => {
    const clock = createClock()
    return { clock, ...createBackoff({ now: clock.now, random: () => chance }) }
  }

  const ends: StreamEnd[] = [
    ...['not-authorized', 'host-unknown', 'conflict'].map((each) => end('refused', each)),
    ...['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN'].map((each) => end('network', each)),
    ...[end('timeout', 'connect'), end('protocol', ''), end('closed', '')],
  ]
  for (const each of ends) {
    const what = `${each.kind} ${each.condition}`
    test(`with random() = ${chance}, after ${what} the exporter retries every 3 s for ten minutes, then every 8 s`, () => {
      const { clock, next } = backoff()
      for (let elapsedMs = 0; elapsedMs < 3_600_000;) {
        const delayMs = next(each, undefined)
        const longestMs = elapsedMs < 600_000 ? 3000 : 8000
        assert.equal(delayMs >= 200 && delayMs <= longestMs, true, `${delayMs} at ${elapsedMs}`)
        clock.advance(delayMs)
        elapsedMs += delayMs
      }
    })
  }

  test(`with random() = ${chance}, the first attempt after an online stream is quick, and the later pauses are short again`, () => {
    const { clock, next } = backoff()
    for (let i = 0; i < 50; i++) {
      clock.advance(next(end('refused', 'conflict'), undefined))
    }
    assert.ok(next(end('closed', ''), 60_000) <= 250)
    assert.ok(next(end('refused', 'conflict'), undefined) <= 3000)
  })

  test(`with random() = ${chance}, repeated short or evicted streams are not followed by quick attempts to connect`, () => {
    const { next } = backoff()
    assert.ok(next(end('closed', ''), 10) <= 250)
    for (let i = 0; i < 5; i++) next(end('closed', ''), 10)
    const delayMs = next(end('closed', ''), 10)
    assert.ok(delayMs >= 1500 && delayMs <= 3000)
    assert.ok(next(end('closed', ''), 60_000) <= 250)
    const evicted = () => next(end('refused', 'conflict'), 60_000)
    const first = evicted()
    assert.equal(first >= 1500 && first <= 3000, true, `${first}`)
    for (let i = 0; i < 5; i++) evicted()
    const later = evicted()
    assert.equal(later >= 30_000 && later <= 60_000, true, `${later}`)
    assert.equal(
      next(end('refused', 'conflict'), 300_000) <= 3000,
      true,
      'the stream was online for five minutes',
    )
  })
}

test('parseService returns the host and the port, also for an IPv6 address', () => {
  assert.deepEqual(parseService('xmpp://localhost'), { host: 'localhost', port: 5347 })
  assert.deepEqual(parseService('xmpp://10.0.0.1:1234'), { host: '10.0.0.1', port: 1234 })
  assert.deepEqual(parseService('xmpp://[fd00::2]:1234'), { host: 'fd00::2', port: 1234 })
})

test('createInput passes data on up to its last `>`, and loses no data', () => {
  const input = createInput()
  const push = (text: string) => input.push(Buffer.from(text))
  assert.equal(push('<a>te'), '<a>')
  assert.equal(input.hasTail(), true)
  assert.equal(push('xt'), '')
  assert.equal(push('</a> '), 'text</a>')
  assert.equal(input.hasTail(), false)
  assert.equal(push('\n'), '')
  assert.equal(input.hasTail(), false)
  assert.equal(push('<b'), '')
  assert.equal(input.hasTail(), true)
  assert.equal(push('/>'), ' \n<b/>')
})

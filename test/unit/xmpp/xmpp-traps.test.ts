// Each test shows that a known fault of @xmpp/component 0.13.1 ("trap") does not affect the exporter. A test also fails
// on any uncaught exception or unhandled rejection while it runs.

import { component } from '@xmpp/component'
import xml from '@xmpp/xml'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { test } from 'node:test'
import { LinkError, TimeoutError } from '../../../src/errors.js'
import { createConnection } from '../../../src/xmpp/connection.js'
import { connectTo, DOMAIN, type LogEntry } from '../../support/connection.js'
import { startFakeServer } from '../../support/fake-server.js'

const isProblem = ({ level }: LogEntry) => level === 'error' || level === 'warn'
const ping = () => xml('ping', { xmlns: 'urn:xmpp:ping' })
const noLog = { debug() {}, info() {}, warn() {}, error() {} }

test('trap 1: createConnection throws immediately if `service` is not an xmpp:// address', () => {
  for (const service of ['xmpps://127.0.0.1', '127.0.0.1:5347', 'xmpp://', 'http://127.0.0.1']) {
    assert.throws(
      () => createConnection({ service, domain: DOMAIN, secret: 's', version: '1', log: noLog }),
      { name: 'TypeError', message: 'service: expected xmpp://host or xmpp://host:port' },
    )
  }
})

test('trap 2: opening a stream takes at most 3 s', async (t) => {
  const { server, clock, log } = await connectTo(t)
  const link = await server.link()
  await link.header
  assert.equal(clock.nextMs(), 3000)
  clock.advance(3000)
  await link.closed
  assert.match((await log.next(isProblem)).message, /sends nothing/)
})

test('trap 3: a refused connection does not end the process', async (t) => {
  const closed = createServer().listen(0, '127.0.0.1')
  await once(closed, 'listening')
  const { port } = closed.address() as AddressInfo
  closed.close()
  await once(closed, 'close')
  const { log } = await connectTo(t, { service: `xmpp://127.0.0.1:${port}` })
  assert.match(
    (await log.next(isProblem)).message,
    /^Cannot connect to Prosody at .*component_ports/,
  )
})

test('trap 4: after a reset while the stream opens, no rejection is unhandled and the exporter reconnects', async (t) => {
  const { server, clock, log, accept, online } = await connectTo(t)
  const link = await server.link()
  link.socket.resetAndDestroy()
  assert.match((await log.next(isProblem)).message, /failed|closed/)
  clock.advance(3000)
  await accept()
  await online()
})

test('trap 5: the exporter reconnects to a server that accepts and sends nothing', async (t) => {
  const { server, clock, log, accept, online } = await connectTo(t)
  const link = await server.link()
  await link.header
  clock.advance(3000)
  await log.next(isProblem)
  await link.closed
  clock.advance(3000)
  await accept()
  await online()
})

test('trap 6: the exporter reconnects to a server that sends nothing after a reconnection', async (t) => {
  const { server, clock, connection, log, accept, online } = await connectTo(t)
  const first = await accept()
  await online()
  first.socket.destroy()
  await log.next(isProblem)
  clock.advance(200)
  const second = await server.link()
  await second.header
  clock.advance(3000)
  await log.next(isProblem)
  clock.advance(3000)
  await accept()
  await online()
  assert.equal(connection.connects(), 2)
})

test('trap 7: the exporter reconnects after a handshake without an answer', async (t) => {
  const { server, clock, connection, log, accept, online } = await connectTo(t)
  const link = await server.link()
  await link.header
  link.open()
  assert.equal((await link.next()).name, 'handshake')
  clock.advance(3000)
  assert.match((await log.next(isProblem)).message, /did not answer the login/)
  assert.equal(connection.isConnected(), false)
  clock.advance(3000)
  await accept()
  await online()
})

test('trap 8: pauses between attempts to connect grow, and a stream is online only after the login', async (t) => {
  const delays = new Set<number>()
  const { server, clock, connection, log } = await connectTo(t, { random: () => 0.3 })
  for (let i = 0; i < 5; i++) {
    const link = await server.link()
    await link.header
    link.open()
    await link.next()
    assert.equal(connection.isConnected(), false)
    link.refuse('not-authorized')
    await log.next()
    delays.add(clock.nextMs())
    clock.advance(3000)
  }
  assert.deepEqual([...delays], [325, 650, 1300, 1950])
  assert.equal(connection.connects(), 0)
})

test('trap 9: after stop() no stream comes online, even if a stream was being opened', async (t) => {
  const { server, clock, connection } = await connectTo(t)
  const link = await server.link()
  await connection.stop()
  void link.accept()
  await link.closed
  clock.advance(60_000)
  assert.equal(connection.connects(), 0)
  assert.equal(clock.pending(), 0)
})

test('trap 9: after stop() on a server that hung, no stream comes online', async (t) => {
  const { server, clock, connection, accept, online } = await connectTo(t)
  const link = await accept()
  await online()
  link.socket.pause()
  const stopped = connection.stop()
  clock.advance(1000)
  await stopped
  link.socket.resume()
  await link.closed
  clock.advance(60_000)
  assert.equal(clock.pending(), 0)
  assert.equal(connection.isConnected(), false)
  assert.equal(connection.connects(), 1)
  await server.close()
})

test('trap 10: stop() takes no longer than a second on a hung server, and leaves no timer', async (t) => {
  const { clock, connection, accept, online } = await connectTo(t)
  const link = await accept()
  await online()
  link.socket.removeAllListeners('data')
  link.socket.pause()
  const before = clock.now()
  const stopped = connection.stop()
  assert.ok(clock.nextMs() <= 1000)
  clock.advance(clock.nextMs())
  await stopped
  assert.ok(clock.now() - before <= 1000)
  assert.equal(clock.pending(), 0)
})

test('trap 10: stop() closes the stream, and resolves as soon as the server has closed it too', async (t) => {
  const { clock, connection, accept, online } = await connectTo(t)
  const link = await accept()
  await online()
  await connection.stop()
  await link.closed
  assert.match(link.received(), /<\/stream:stream>$/)
  assert.equal(clock.pending(), 0)
})

test('trap 11: the exporter reconnects when no data arrives any more', async (t) => {
  const { clock, connection, log, accept, online } = await connectTo(t)
  const link = await accept()
  await online()
  const request = connection.request('get', ping(), { timeoutMs: 10_000 })
  const rejected = assert.rejects(request, TimeoutError)
  await link.next()
  clock.advance(10_000)
  await rejected
  assert.match((await log.next(isProblem)).message, /did not respond in time/)
  await link.closed
  clock.advance(200)
  await accept()
  await online()
  assert.equal(connection.connects(), 2)
})

test('trap 12: pending requests fail immediately when the stream is lost', async (t) => {
  const { clock, connection, accept, online } = await connectTo(t)
  const link = await accept()
  await online()
  const requests = [1, 2].map(() => connection.request('get', ping(), { timeoutMs: 30_000 }))
  const rejected = Promise.all(requests.map((request) => assert.rejects(request, LinkError)))
  await link.next()
  await link.next()
  link.socket.destroy()
  await rejected
  // The only pending timer is the timer of the next attempt to connect.
  assert.equal(clock.pending(), 1)
})

test('trap 13: a request without a stream fails immediately, with the reason', async (t) => {
  const { server, connection, log } = await connectTo(t)
  await assert.rejects(connection.request('get', ping(), { timeoutMs: 1000 }), LinkError)
  const link = await server.link()
  await link.header
  link.refuse('host-unknown')
  await log.next(isProblem)
  await link.closed
  assert.doesNotMatch(link.received(), /handshake/)
  await assert.rejects(connection.request('get', ping(), { timeoutMs: 1000 }), {
    name: 'LinkError',
    message: /no stream to .*Component "stats\.example"/,
  })
})

test('trap 14: a character that is split over chunks is decoded correctly', async (t) => {
  const { connection, accept, online } = await connectTo(t)
  const link = await accept()
  await online()
  link.socket.setNoDelay(true)
  const request = connection.request('get', ping(), { timeoutMs: 10_000 })
  const { id } = (await link.next()).attrs
  const reply = `<iq type='result' id='${id}' from='${DOMAIN}' to='${DOMAIN}'><a b='é'>é€😀</a></iq>`
  for (const byte of Buffer.from(reply)) {
    await new Promise((resolve) => link.socket.write(Buffer.from([byte]), resolve))
    await new Promise(setImmediate)
  }
  const a = (await request).getChild('a')
  assert.deepEqual([a?.text(), a?.attrs['b']], ['é€😀', 'é'])
})

const UNREADABLE: Readonly<Record<string, string>> = {
  'an unknown entity': '<message>&nbsp;</message>',
  'a DOCTYPE': "<!DOCTYPE x [<!ENTITY e 'boom'>]>",
  'a declaration of an entity': "<!ENTITY e 'boom'>",
  'a comment': '<!-- a > b -->',
  'a character that XML forbids': '<message>&#0;</message>',
  'tags that cross': '<a><b></a></b>',
  'a stream error without a condition': '<stream:error/>',
  'a stanza of 500,001 elements in one another': '<a>'.repeat(500_001),
}

for (const [what, text] of Object.entries(UNREADABLE)) {
  test(`trap 15: ${what} ends the stream, and not the process`, async (t) => {
    const { clock, connection, log, accept, online } = await connectTo(t)
    const link = await accept()
    await online()
    const request = connection.request('get', ping(), { timeoutMs: 30_000 })
    const rejected = assert.rejects(request, LinkError)
    link.send(text)
    await rejected
    await log.next(isProblem)
    clock.advance(200)
    await accept()
    await online()
  })
}

test('trap 15: a stanza with an address that is not a JID is answered and does not end the stream', async (t) => {
  const { connection, accept, online } = await connectTo(t)
  const link = await accept()
  await online()
  link.send(`<message from="@"/><presence from="a@@b//" to=""/>`)
  link.send(`<iq type="get" id="1" from="@" to="${DOMAIN}"><ping xmlns="urn:xmpp:ping"/></iq>`)
  const answer = await link.next()
  assert.deepEqual([answer.attrs['type'], answer.attrs['to']], ['result', '@'])
  assert.equal(connection.connects(), 1)
})

test('trap 16: bytes after malformed XML, or after the end of the stream, are ignored', async (t) => {
  const { clock, connection, log, accept, online } = await connectTo(t)
  for (const end of ['</b>', '</stream:stream>']) {
    const link = await accept()
    await online()
    link.socket.cork()
    link.send(`<message/>${end}`)
    link.send('<message/>')
    link.socket.uncork()
    link.send('<message/>')
    await log.next(isProblem)
    await link.closed
    clock.advance(3000)
  }
  await accept()
  await online()
  assert.equal(connection.connects(), 3)
})

test('trap 17: the exporter answers ping, disco and version, and any other request with an error', async (t) => {
  const { accept, online } = await connectTo(t)
  const link = await accept()
  await online()
  const ask = async (child: string) => {
    link.send(`<iq type="get" id="q" from="a@b/c" to="${DOMAIN}">${child}</iq>`)
    const { attrs, children } = await link.next()
    assert.deepEqual([attrs['to'], attrs['from'], attrs['id']], ['a@b/c', DOMAIN, 'q'])
    return `${attrs['type']} ${children.join('')}`
  }
  assert.equal(await ask('<ping xmlns="urn:xmpp:ping"/>'), 'result ')
  assert.match(
    await ask('<query xmlns="http://jabber.org/protocol/disco#info"/>'),
    /^result .*<feature var="urn:xmpp:ping"\/>/,
  )
  assert.match(await ask('<query xmlns="jabber:iq:version"/>'), /<version>1\.2\.3<\/version>/)
  assert.match(await ask('<query xmlns="jabber:iq:last"/>'), /^error .*<service-unavailable /)
})

test('trap 18: timers and events of an earlier attempt to connect do not end a new stream', async (t) => {
  const { server, clock, connection, log, accept, online } = await connectTo(t)
  const silent = await server.link()
  await silent.header
  clock.advance(3000)
  await log.next(isProblem)
  clock.advance(3000)
  const link = await accept()
  await online()
  clock.advance(3_600_000)
  assert.equal(clock.pending(), 0)
  link.send(`<iq type="get" id="1" from="a@b" to="${DOMAIN}"><ping xmlns="urn:xmpp:ping"/></iq>`)
  assert.equal((await link.next()).attrs['type'], 'result')
  assert.equal(connection.connects(), 1)
})

test('trap 19: after a conflict with its previous stream, the exporter retries within 3 s and logs its advice once', async (t) => {
  const { server, clock, lines, log, accept, online } = await connectTo(t)
  for (let i = 0; i < 5; i++) {
    const link = await server.link()
    await link.header
    link.open()
    await link.next()
    link.refuse('conflict', 'Component already connected')
    await log.next()
    assert.ok(clock.nextMs() <= 3000)
    clock.advance(3000)
  }
  await accept()
  await online()
  const problems = lines.filter(isProblem).map(({ message }) => message)
  assert.equal(problems.length, 1)
  assert.match(problems[0]!, /component_conflict_resolve = "kick_old"/)
})

test('a secret with characters outside of ASCII is hashed as UTF-8, as Prosody does', async (t) => {
  const server = await startFakeServer(t, { secret: 'pässwörd €' })
  const { accept, online } = await connectTo(t, { server, secret: 'pässwörd €' })
  await accept()
  await online()
})

test('the internals of @xmpp/component that the exporter uses exist', async (t) => {
  const server = createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  const entity = component({ service: '', domain: DOMAIN, password: () => Promise.resolve() })
  entity.on('error', () => {})

  for (const name of ['_onData', '_onElement', '_onParserError', 'socketParameters'] as const) {
    assert.equal(typeof entity[name], 'function', name)
  }
  entity.reconnect.stop()
  assert.equal(entity.listenerCount('disconnect'), 0)
  assert.ok(entity.listenerCount('element') > 0)
  entity.removeAllListeners('element')
  assert.equal(entity.listenerCount('open'), 1)
  assert.equal(entity.timeout, 2000)

  let data = ''
  entity._onData = (chunk) => (data += chunk.toString())
  entity.socketParameters = () => ({ host: '127.0.0.1', port })
  const accepted = once(server, 'connection')
  const connected = entity.connect('only the time-out of the exporter counts')
  assert.ok(entity.socket, 'the socket exists immediately')
  await connected
  const opened = entity.open({ domain: DOMAIN })
  opened.catch(() => {})
  assert.ok(entity.parser, 'the parser exists immediately')
  const starts: unknown[] = []
  entity.parser.parser.on('startElement', (name) => starts.push(name))
  entity.parser.write('<a><b>')
  assert.deepEqual(starts, ['a', 'b'])
  assert.equal(entity.parser.root?.name, 'a')

  const [peer] = (await accepted) as [Socket]
  peer.write('<a>')
  await once(entity.socket, 'data')
  assert.equal(data, '<a>')
  entity.socket.destroy()
  peer.destroy()
  entity.emit('error', new Error('ends what the library awaits'))
  await once(entity, 'disconnect')
})

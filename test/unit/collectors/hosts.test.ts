// Tests of the search for hosts. The exporter must query only hosts of its own server, and a host that does not
// answer must not delay the others.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createHosts } from '../../../src/collectors/hosts.js'
import { ping } from '../../../src/collectors/ping.js'
import { askServedHosts, askVirtualHosts } from '../../../src/collectors/served-hosts.js'
import { LinkError, NotHandledError, StanzaError, TimeoutError } from '../../../src/errors.js'
import { xml, type Element } from '../../../src/xmpp/xml.js'
import { collectorOf, completed, form, IM, serverOf } from '../../support/fake-hosts.js'
import { createClock } from '../../support/clock.js'

const NODE = 'urn:prosody-exporter:statistics:1'
const PONG = { ...IM, features: ['urn:xmpp:ping'], answer: () => xml('x') }

/** Waits until all callbacks of settled promises have run. */
const settle = () => new Promise((resolve) => setImmediate(resolve))

/**
 * Creates a fake server and the search for its hosts, with a clock that only the test advances.
 *
 * @param options.named The configured hosts.
 * @param options.served The names that mod_adhoc_statistics reports as hosts. By default, the module is missing.
 */
function setUp(
  hosts: Parameters<typeof serverOf>[0],
  options: { named?: readonly string[]; served?: readonly string[] } = {},
) {
  const clock = createClock()
  const server = serverOf(hosts, (ms, end) => void clock.schedule(ms, end))
  const questions: string[][] = []
  const { served, named = [] } = options
  const found = createHosts(server.connection, {
    named,
    now: clock.now,
    schedule: clock.schedule,
    ...(served && {
      served: (names: readonly string[]) => {
        questions.push([...names])
        return Promise.resolve(new Set(names.filter((name) => served.includes(name))))
      },
    }),
  })
  const asked = () => [...new Set(server.asked.map((line) => line.split(' ')[0]!))]
  return { clock, server, found, questions, asked }
}

const jids = (hosts: readonly { jid: string }[] | undefined) => hosts?.map(({ jid }) => jid)

describe('the search for hosts with mod_adhoc_statistics', () => {
  test('the search queries the nearest parent of the component that is a host, and the items of this parent that are hosts', async () => {
    const items = ['rooms.example', 'elsewhere.test', 'external.example']
    const { found, questions, asked } = setUp(
      { example: { ...IM, items }, 'rooms.example': PONG, 'external.example': PONG },
      { served: ['example', 'rooms.example', 'external.example'] },
    )
    assert.deepEqual(jids(await found.list(1000)), ['example', 'external.example', 'rooms.example'])
    assert.deepEqual(questions, [['example'], items])
    assert.deepEqual(asked().sort(), ['example', 'external.example', 'rooms.example'])
  })

  test('a component that does not answer a later search is still known after that search', async () => {
    const { found, server, clock } = setUp(
      { example: { ...IM, items: ['rooms.example'] }, 'rooms.example': PONG },
      { served: ['example', 'rooms.example'] },
    )
    assert.deepEqual(jids(await found.list(1000)), ['example', 'rooms.example'])
    server.silence('rooms.example')
    // After five minutes, the next call of `known` starts another search.
    clock.advance(300_000)
    found.known()
    await settle()
    clock.advance(60_000)
    await settle()
    assert.deepEqual(jids(found.known()), ['example', 'rooms.example'])
  })

  test('the search queries no host if no parent of the component is a host of the server', async () => {
    const { found, asked } = setUp({}, { served: ['another.test'] })
    assert.deepEqual(await found.list(1000), [])
    assert.deepEqual(asked(), [])
  })

  test('the search reports a problem for a configured host of another server, and does not query it', async () => {
    const { found, asked } = setUp({}, { named: ['typo.example'], served: [] })
    const [host] = await found.list(1000)
    assert.match(host!.problem!.message, /^typo\.example of `hosts` .*this server has no such host/)
    assert.deepEqual(asked(), [])
  })
})

describe('the search for hosts without mod_adhoc_statistics', () => {
  test('the search queries the parent of the component once per stream, even if the parent never answers', async () => {
    const { found, server, clock } = setUp({})
    server.silence('example')
    const first = found.list(3000)
    await settle()
    clock.advance(1500)
    assert.deepEqual(await first, [], 'the first collection waits for half of its time-out')
    for (let scrapes = 0; scrapes < 100; scrapes++) {
      assert.deepEqual(found.known(), [], 'later collections do not wait for the parent')
      clock.advance(15_000)
      await settle()
    }
    assert.equal(server.asked.length, 1)
    server.reconnect()
    const next = found.list(3000)
    await settle()
    clock.advance(1500)
    await next
    assert.equal(server.asked.length, 2)
  })

  test('if the parent lists the component, the search queries the parent and the listed subdomains of the parent', async () => {
    const items = ['stats.example', 'rooms.example', 'elsewhere.test']
    const { found, asked } = setUp({ example: { ...IM, items }, 'rooms.example': PONG })
    assert.deepEqual(jids(await found.list(1000)), ['example', 'rooms.example'])
    assert.deepEqual(asked(), ['example', 'rooms.example'])
  })
})

describe('the search for hosts if a host does not answer', () => {
  test('a host that does not answer the search does not delay the others, and is added when it answers', async () => {
    const named = ['a.example', 'b.example']
    const { found, server, clock } = setUp({ 'a.example': PONG, 'b.example': PONG }, { named })
    const speak = server.silence('b.example')
    const first = found.list(3000)
    await settle()
    clock.advance(1500)
    const [a, b] = await first
    assert.equal(a!.problem, undefined)
    assert.match(b!.problem!.message, /b\.example of `hosts` .*no answer yet/)
    speak()
    await settle()
    assert.deepEqual(
      found.known()!.map(({ problem }) => problem),
      [undefined, undefined],
    )
  })

  test('a host that does not answer a later search does not delay the others', async () => {
    const { found, server, clock } = setUp({ 'a.example': PONG }, { named: ['a.example'] })
    await found.list(3000)
    server.silence('a.example')
    const { length } = server.asked
    clock.advance(300_000)
    assert.deepEqual(jids(found.known()), ['a.example'])
    await settle()
    assert.ok(server.asked.length > length, 'the host is queried again')
    assert.deepEqual(jids(found.known()), ['a.example'])
  })
})

describe('collections if a host does not answer', () => {
  function setUpPing() {
    const clock = createClock()
    const server = serverOf(
      { 'a.example': PONG, 'b.example': PONG },
      (ms, end) => void clock.schedule(ms, end),
    )
    const named = ['a.example', 'b.example']
    const collect = collectorOf(server, ping, named, clock.now)
    const pings = (jid: string) =>
      server.asked.filter((line) => line.startsWith(jid) && line.includes('ping')).length
    return { clock, server, collect, pings }
  }

  test('a host that does not answer delays one collection, and is then queried once per minute in the background', async () => {
    const { clock, server, collect, pings } = setUpPing()
    await collect()
    const speak = server.silence('b.example')
    const late = collect()
    await settle()
    clock.advance(3000)
    assert.match(String((await late).failure), /TimeoutError/)
    const before = pings('b.example')
    for (let seconds = 0; seconds < 280; seconds += 15) {
      // This collection ends although the clock does not advance, so it does not wait for b.example.
      const { failure, families } = await collect()
      assert.match(String(failure), /TimeoutError/)
      assert.equal(families[0]!.length, 1)
      clock.advance(15_000)
      await settle()
    }
    assert.equal(pings('b.example') - before, 3)
    speak()
    clock.advance(60_000)
    await collect()
    await settle()
    const { failure, families } = await collect()
    assert.equal(failure, undefined)
    assert.equal(families[0]!.length, 2)
  })

  test('if the whole server stops answering for some seconds, the next collection queries all hosts', async () => {
    const { clock, server, collect } = setUpPing()
    await collect()
    const speak = [server.silence('a.example'), server.silence('b.example')]
    const late = assert.rejects(collect(), TimeoutError)
    await settle()
    clock.advance(3000)
    await late
    // By now, the exporter has sent background queries to both hosts.
    clock.advance(4000)
    for (const each of speak) each()
    await settle()
    assert.equal((await collect()).failure, undefined)
  })

  test('a host that did not answer is queried in the first collection of the next stream', async () => {
    const { clock, server, collect } = setUpPing()
    await collect()
    const speak = server.silence('b.example')
    const late = collect()
    await settle()
    clock.advance(3000)
    await late
    speak()
    server.reconnect()
    assert.equal((await collect()).failure, undefined)
  })
})

describe('askServedHosts', () => {
  const ask = (reply: (child: Element) => Element | Error, names = ['a.example', 'b.test']) => {
    const texts: string[] = []
    const connection = {
      request: (_: string, child: Element) => {
        texts.push(child.getChildText('hosts', NODE)!)
        const answer = reply(child)
        return answer instanceof Error
          ? Promise.reject(answer)
          : Promise.resolve(xml('iq', { type: 'result' }, answer))
      },
    }
    return { answer: askServedHosts(connection, names), texts }
  }

  test('askServedHosts returns the names that mod_adhoc_statistics reports as hosts', async () => {
    const hosts = xml('hosts', { xmlns: NODE }, 'a.example')
    const { answer, texts } = ask(() => completed(NODE, hosts))
    assert.deepEqual([...(await answer)!], ['a.example'])
    assert.deepEqual(texts, ['a.example b.test'])
  })

  test('askVirtualHosts returns the names that mod_adhoc_statistics reports as VirtualHosts, and undefined if it does not report them', async () => {
    const askVirtual = (attrs: Readonly<Record<string, string>>) =>
      askVirtualHosts(
        {
          request: () => {
            const hosts = xml('hosts', { xmlns: NODE, ...attrs }, 'a.example b.test')
            return Promise.resolve(xml('iq', { type: 'result' }, completed(NODE, hosts)))
          },
        },
        ['a.example', 'b.test'],
      )
    assert.deepEqual([...(await askVirtual({ virtual: 'a.example' }))!], ['a.example'])
    assert.ok(!(await askVirtual({ virtual: '' }))!.has('a.example'))
    assert.equal(await askVirtual({}), undefined)
  })

  test('askServedHosts returns undefined without mod_adhoc_statistics, and with an earlier version of it', async () => {
    const old = ask(() => completed(NODE, form('statistics', ['x'])))
    assert.equal(await old.answer, undefined)
    for (const error of [new NotHandledError('none'), new StanzaError('forbidden', 'auth', '')]) {
      assert.equal(await ask(() => error).answer, undefined)
    }
  })

  test('askServedHosts fails if the stream is lost, the server does not answer, or the server refuses temporarily', async () => {
    for (const error of [
      new LinkError('lost'),
      new TimeoutError('late'),
      new StanzaError('resource-constraint', 'wait', ''),
      new StanzaError('internal-server-error', 'cancel', ''),
    ]) {
      await assert.rejects(ask(() => error).answer, error)
    }
  })

  test('askServedHosts sends several requests if the names are too long for one request', async () => {
    const names = Array.from({ length: 1000 }, (_, i) => `host-${i}.example.com`)
    const { answer, texts } = ask(
      (child) => completed(NODE, xml('hosts', { xmlns: NODE }, child.getChildText('hosts', NODE)!)),
      names,
    )
    assert.deepEqual([...(await answer)!], names)
    assert.ok(texts.length > 1)
    assert.ok(texts.every((text) => text.length <= 8 * 1024))
  })
})

test('a collector that finds no host is idle, and counts as not having received a reply', async () => {
  const { isIdle, isFromCache, families } = await collectorOf(serverOf({}), ping, [])()
  assert.deepEqual([isIdle, isFromCache, families], [true, true, []])
})

import xml, { type Element } from '@xmpp/xml'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import { test, type TestContext } from 'node:test'
import { REGISTRY_NODE } from '../../src/collectors/registry/registry.js'
import { withExporterFor, type RunningExporter } from '../support/exporter.js'
import { prosodyVersions, withProsody, type TestProsody } from '../support/prosody.js'
import { evalLua, sampleValue, serverSamples, untilReady, untilUp } from '../support/real.js'
import { startTap } from '../support/tap.js'
import {
  commandElement,
  connectComponent,
  errorCondition,
  login,
  type XmppStream,
} from '../support/xmpp-client.js'

const STATS = 'stats.one.example'
const OTHER = 'other.example'
const LAX = 'lax.example'
const NS_COMMANDS = 'http://jabber.org/protocol/commands'
const NS_STANZAS = 'urn:ietf:params:xml:ns:xmpp-stanzas'
const USERS = {
  'user@one.example': 'pw',
  'admin@one.example': 'pw',
  'ops@one.example': 'pw',
  'user@two.example': 'pw',
}

const MANY = 20_000
/** Unusual XML in stanzas that Prosody forwards, because it is well-formed and below Prosody's size limit. */
const ODD_BODIES: Readonly<Record<string, string>> = {
  'deep nesting': '<a>'.repeat(MANY) + '</a>'.repeat(MANY),
  'many elements': '<a/>'.repeat(MANY),
  'many attributes': `<a ${Array.from({ length: MANY / 4 }, (_, i) => `a${i}=""`).join(' ')}/>`,
  'many namespaces': Array.from(
    { length: MANY / 8 },
    (_, i) => `<x:a xmlns:x="${i}" x:b=""/>`,
  ).join(''),
  stanzas: '<iq type="result" id="1"><message/></iq><iq xmlns="jabber:component:accept"/>',
  'a stream': `<stream:error><conflict xmlns="urn:ietf:params:xml:ns:xmpp-streams"/></stream:error>`,
  'text that looks like XML':
    '&lt;!DOCTYPE a>&lt;/stream:stream>]]&gt;<a b="&lt;!-- --&gt;&#10;\'&quot;"/>',
  'a page of statistics': `<command xmlns="${NS_COMMANDS}" node="${REGISTRY_NODE}" status="completed"/>`,
}

function startProsody(t: TestContext, version: (typeof prosodyVersions)[number]) {
  return withProsody(t, {
    version,
    users: USERS,
    modules: ['test_eval'],
    globals: { admins: '{ "admin@one.example" }' },
    statsOptions: { adhoc_statistics_access: '{ "ops@one.example" }' },
    components: [
      { domain: OTHER, options: { component_secret: '"x"' } },
      { domain: LAX, options: { component_secret: '"x"', validate_from_addresses: 'false' } },
    ],
  })
}

/** Returns the command as the exporter sends it, as a chat client sends it, and with a list of host names. */
function commands(): Element[] {
  return [
    pageCommand({ first: '1', since: '0' }),
    commandElement(REGISTRY_NODE),
    hostsCommand('one.example'),
  ]
}

function hostsCommand(names: string): Element {
  return commandElement(REGISTRY_NODE, xml('hosts', { xmlns: REGISTRY_NODE }, names))
}

function pageCommand(attrs: Readonly<Record<string, string>>): Element {
  return commandElement(REGISTRY_NODE, xml('statistics', { xmlns: REGISTRY_NODE, ...attrs }))
}

function assertForbidden(reply: Element): void {
  assert.equal(errorCondition(reply), 'forbidden')
  assert.equal(reply.getChild('error')?.attrs['type'], 'auth')
  assert.ok(reply.getChild('error')?.getChildText('text', NS_STANZAS))
  assert.doesNotMatch(reply.toString(), /prosody_|\bmod_c2s/)
}

/** Asserts that Prosody refuses each command from each address, or without addresses from the stream's own address. */
async function assertAllForbidden(stream: XmppStream, ...addresses: readonly string[]) {
  for (const command of commands()) {
    if (addresses.length === 0) assertForbidden(await stream.iq('set', STATS, command))
    for (const from of addresses) assertForbidden(await stream.iq('set', STATS, command, { from }))
  }
}

for (const version of prosodyVersions) {
  test(`Prosody ${version} reports to a user with access which names in a list are its hosts, for lists of up to 8 KB`, async (t) => {
    const prosody = await startProsody(t, version)
    const user = await login({ port: prosody.ports.c2s, jid: 'ops@one.example', password: 'pw' })
    const hosts = async (names: string) => {
      const reply = await user.iq('set', STATS, hostsCommand(names))
      const found = reply.getChild('command', NS_COMMANDS)?.getChild('hosts', REGISTRY_NODE)
      return found ? [found.text(), found.attrs['virtual']] : errorCondition(reply)
    }
    // The hosts are a VirtualHost, an internal component, and external components that are not connected.
    const existing = ['one.example', 'rooms.one.example', OTHER, STATS]
    const unknown = ['example', 'typo.one.example', 'user@one.example', '%', '__index']
    const answer = await hosts([...existing, ...unknown, 'two.example'].join(' \n'))
    const virtual = 'one.example two.example'
    assert.deepEqual(answer, [[...existing, 'two.example'].join(' '), virtual])
    assert.deepEqual(await hosts(''), ['', ''])
    assert.deepEqual(await hosts(`one.example${' x'.repeat(4090)}`), ['one.example', 'one.example'])
    assert.equal(await hosts(`one.example${' x'.repeat(4091)}`), 'bad-request')
    await user.close()
  })

  test(`the exporter's component gets the host names of Prosody ${version}, even after a collection that took very long`, async (t) => {
    const prosody = await startProsody(t, version)
    // This collection takes longer than the time limit that all clients of the module share in one turn of Prosody's
    // event loop.
    await evalLua(
      prosody,
      `module:hook_global("stats-update", function ()
        local started = os.clock(); while os.clock() - started < 0.008 do end
      end)`,
    )
    const { component: port } = prosody.ports
    const component = await connectComponent({ port, domain: STATS, secret: prosody.secret })
    const page = commandElement(REGISTRY_NODE, xml('statistics', { xmlns: REGISTRY_NODE }))
    const ask = (id: string, child: Element) =>
      xml('iq', { type: 'set', from: STATS, to: STATS, id }, child).toString()
    for (let i = 0; i < 3; i++) {
      component.send(ask(`page${i}`, page) + ask(`hosts${i}`, hostsCommand('one.example')))
      const reply = await component.next(({ attrs }) => attrs['id'] === `hosts${i}`)
      assert.equal(reply.attrs['type'], 'result')
    }
    const malformed = xml('hosts', { xmlns: REGISTRY_NODE }, xml('a'))
    const reply = await component.iq('set', STATS, commandElement(REGISTRY_NODE, malformed))
    assert.equal(errorCondition(reply), 'bad-request')
    await component.close()
  })

  test(`Prosody ${version} refuses statistics to users, admins and other components, but not to the exporter's component`, async (t) => {
    const prosody = await startProsody(t, version)
    const { c2s, component } = prosody.ports
    // The test runs without an exporter and with one. While no exporter is connected, another module of Prosody
    // answers stanzas to the domain of the component.
    for (const exporter of [undefined, await withExporterFor(t, prosody)]) {
      if (exporter) await untilReady(exporter, 200)
      for (const jid of ['user@one.example', 'admin@one.example', 'user@two.example']) {
        const user = await login({ port: c2s, jid, password: 'pw' })
        await assertAllForbidden(user)
        await user.close()
      }
      const other = await connectComponent({ port: component, domain: OTHER, secret: 'x' })
      await assertAllForbidden(other, OTHER, `someone@${OTHER}`)
      await other.close()
      // Prosody allows this component to send from any address, even that of the exporter or of the user with access.
      const lax = await connectComponent({ port: component, domain: LAX, secret: 'x' })
      await assertAllForbidden(lax, LAX, STATS, `x@${STATS}`, 'ops@one.example', 'one.example')
      await lax.close()

      if (!exporter) continue
      const { text } = await exporter.get('/metrics')
      assert.equal(sampleValue(text, 'xmpp_up'), 1)
      assert.equal(sampleValue(text, 'prosody_exporter_collector_success{collector="registry"}'), 1)
      assert.ok(serverSamples(text).length > 0)
    }
  })

  test(`Prosody ${version} answers the exporter's component only if the sender of the request is the bare domain`, async (t) => {
    const prosody = await startProsody(t, version)
    const { component } = prosody.ports
    const own = await connectComponent({ port: component, domain: STATS, secret: prosody.secret })
    const [machine, person] = commands()
    const reply = await own.iq('set', STATS, machine!)
    assert.equal(reply.attrs['type'], 'result')
    const lines = reply.getChild('command', NS_COMMANDS)?.getChild('statistics', REGISTRY_NODE)
    assert.match(lines?.getChildText('lines') ?? '', /^F\t/)
    assert.equal((await own.iq('set', STATS, person!)).attrs['type'], 'result')
    await assertAllForbidden(own, `user@${STATS}`, `user@${STATS}/resource`)
    await own.close()
  })

  test(`Prosody ${version} answers a statistics request with invalid attributes with bad-request`, async (t) => {
    const prosody = await startProsody(t, version)
    const { component } = prosody.ports
    const own = await connectComponent({ port: component, domain: STATS, secret: prosody.secret })
    const ask = (fields: Record<string, string>) => own.iq('set', STATS, pageCommand(fields))
    const sinces = ['', ' ', '-1', '1e3', '1:2:3', ':5', '9'.repeat(16), '1:1 '.repeat(2100)]
    const wrong = [
      ...sinces.map((since) => ({ since })),
      ...['0', '-1', '1.5', ' 1', '0x10', '9'.repeat(16)].map((first) => ({ first })),
      ...['', '-1', '0x10'].map((last) => ({ last })),
    ]
    for (const fields of wrong) {
      const condition = errorCondition(await ask(fields))
      assert.equal(condition, 'bad-request', JSON.stringify(fields).slice(0, 40))
    }
    // Requests are valid even with more numbers in `since` than needed, unordered numbers, or ids that do not exist.
    const right = [
      { since: '123456789012:123456789012 '.repeat(300) },
      { since: '0:5 0:3 0:900000 0' },
      { first: '9'.repeat(15) },
      { first: '10', last: '5' },
    ]
    for (const fields of right) assert.equal((await ask(fields)).attrs['type'], 'result')
    await own.close()
  })

  test(`Prosody ${version} sends a complete reply to a statistics request with any id attribute`, async (t) => {
    const prosody = await startProsody(t, version)
    const { component } = prosody.ports
    const own = await connectComponent({ port: component, domain: STATS, secret: prosody.secret })
    for (const id of [
      '/>',
      `'"/></statistics></command></iq>`,
      '<!-- ]]> &amp;',
      'é😀\u2028',
      '%0',
    ]) {
      own.send(xml('iq', { type: 'set', id, from: STATS, to: STATS }, pageCommand({})))
      const reply = await own.next(({ attrs }) => attrs.id === id)
      const command = reply.getChild('command', NS_COMMANDS)
      assert.equal(command?.attrs['status'], 'completed')
      const statistics = command.getChild('statistics', REGISTRY_NODE)
      assert.equal(statistics?.getChildElements().at(-1)?.name, 'lines')
      // The module ends a page after a time limit, so `last` can be the id of any series.
      assert.ok(Number(statistics.attrs['last']) >= 1)
    }
    await own.close()
  })

  test(`Prosody ${version} refuses statistics to another server`, async (t) => {
    const prosody = await startProsody(t, version)
    // The session is like a session that mod_s2s creates after it has authenticated another server.
    const ask = (from: string) =>
      evalLua(
        prosody,
        `local st = require "util.stanza"
        local reply = "closed"
        local session = { type = "s2sin", from_host = "far.example", to_host = "${STATS}",
          hosts = { ["far.example"] = { authed = true } },
          send = function (stanza) reply = tostring(stanza) end, close = function () end }
        prosody.core_process_stanza(session,
          st.iq({ type = "set", id = "1", from = "${from}", to = "${STATS}" })
            :tag("command", { xmlns = "${NS_COMMANDS}", node = "${REGISTRY_NODE}" }))
        return reply`,
      )
    for (const from of ['far.example', 'user@far.example/x']) {
      assert.match(await ask(from), /type='auth'.*<forbidden/)
    }
    // RFC 6120 §13.5.2: Prosody must not accept stanzas of another server with the exporter's address as sender.
    assert.equal(await ask(STATS), 'closed')
  })

  test(`Prosody ${version} answers a statistics request that a Prosody module sends from the address of the component`, async (t) => {
    const prosody = await startProsody(t, version)
    // For a request of a module, Prosody uses the host as the session (origin). The host has the type of a component
    // stream, but its `send` function accepts only stanzas and no text.
    const reply = await evalLua(
      prosody,
      `local st = require "util.stanza"
      local reply = "none"
      module:context("${STATS}"):hook("iq-result/host/asked", function (event)
        reply = tostring(event.stanza)
        return true
      end)
      prosody.core_post_stanza(prosody.hosts["${STATS}"],
        st.iq({ type = "set", id = "asked", from = "${STATS}", to = "${STATS}" })
          :tag("command", { xmlns = "${NS_COMMANDS}", node = "${REGISTRY_NODE}" })
            :tag("statistics", { xmlns = "${REGISTRY_NODE}" }))
      return reply`,
    )
    assert.match(reply, /<lines>F\t/)
  })

  test(`a user in adhoc_statistics_access reads the statistics of Prosody ${version} in a chat client`, async (t) => {
    const prosody = await startProsody(t, version)
    const exporter = await withExporterFor(t, prosody)
    await untilReady(exporter, 200)
    const jid = 'ops@one.example'
    const ops = await login({ port: prosody.ports.c2s, jid, password: 'pw' })
    const reply = await ops.iq('set', STATS, commandElement(REGISTRY_NODE))
    const command = reply.getChild('command', NS_COMMANDS)
    assert.equal(command?.attrs['status'], 'completed')
    const form = command.getChild('x', 'jabber:x:data')
    assert.ok(form)
    assert.ok(form.getChildText('title'))
    const field = form.getChildren('field').find(({ attrs }) => attrs['var'] === 'statistics')
    const lines = field?.getChildren('value').map((value) => value.text()) ?? []
    assert.ok(lines.some((line) => /mod_muc\/live_room.*rooms\.one\.example.* = 0/.test(line)))
    assert.deepEqual(lines, [...lines].sort())
    const page = await ops.iq('set', STATS, pageCommand({}))
    const statistics = page.getChild('command', NS_COMMANDS)?.getChild('statistics', REGISTRY_NODE)
    assert.match(statistics?.getChildText('lines') ?? '', /^F\t/)
    await ops.close()
  })

  test(`a user of Prosody ${version} does not see a metric family that has been replaced by a new one of the same name`, async (t) => {
    const prosody = await startProsody(t, version)
    await evalLua(
      prosody,
      `local metric = require "core.statsmanager".metric
      metric("gauge", "test_replaced", "", "", { "old" }):with_labels("before"):set(1)
      module:hook_global("stats-update", function ()
        metric("gauge", "test_replaced", "", "", { "new" }):with_labels("after"):set(2)
      end)`,
    )
    const ops = await login({ port: prosody.ports.c2s, jid: 'ops@one.example', password: 'pw' })
    const reply = await ops.iq('set', STATS, commandElement(REGISTRY_NODE))
    assert.match(reply.toString(), /test_replaced after = 2/)
    assert.doesNotMatch(reply.toString(), /test_replaced before/)
    await ops.close()
  })

  test(`a client of Prosody ${version} finds the exporter and its features by service discovery`, async (t) => {
    const prosody = await startProsody(t, version)
    const exporter = await withExporterFor(t, prosody)
    await untilReady(exporter, 200)
    const jid = 'user@one.example'
    const user = await login({ port: prosody.ports.c2s, jid, password: 'pw' })
    const ask = async (name: string, xmlns: string, attrs = {}) => {
      const reply = await user.iq('get', STATS, xml(name, { xmlns, ...attrs }))
      assert.equal(reply.attrs['type'], 'result', reply.toString())
      assert.equal(reply.attrs['from'], STATS)
      return reply.getChild(name, xmlns)
    }
    await ask('ping', 'urn:xmpp:ping')
    const info = await ask('query', 'http://jabber.org/protocol/disco#info')
    assert.equal(info?.getChild('identity')?.attrs['category'], 'component')
    const features = info.getChildren('feature').map(({ attrs }) => attrs['var'])
    assert.ok(features.includes(NS_COMMANDS) && features.includes('urn:xmpp:ping'))
    const items = await ask('query', 'http://jabber.org/protocol/disco#items', {
      node: NS_COMMANDS,
    })
    assert.deepEqual(
      items?.getChildren('item').map(({ attrs }) => [attrs['jid'], attrs['node']]),
      [[STATS, REGISTRY_NODE]],
    )
    const software = await ask('query', 'jabber:iq:version')
    assert.equal(software?.getChildText('name'), 'prosody-exporter')
    const unknown = await user.iq('get', STATS, xml('query', { xmlns: 'jabber:iq:last' }))
    assert.equal(errorCondition(unknown), 'service-unavailable')
    await user.close()
  })

  test(`no stanza of a user of Prosody ${version} ends the exporter's stream`, async (t) => {
    const prosody = await startProsody(t, version)
    const exporter = await withExporterFor(t, prosody)
    await untilReady(exporter, 200)
    const jid = 'user@one.example'
    const user = await login({ port: prosody.ports.c2s, jid, password: 'pw' })
    for (const [what, body] of Object.entries(ODD_BODIES)) {
      for (const kind of ['message', 'presence']) {
        user.send(`<${kind} to="${STATS}">${body}</${kind}>`)
      }
      user.send(`<iq to="${STATS}" type="get" id="${what}">${body}</iq>`)
      // Stanzas to the exporter's domain arrive in order. So after this reply, the exporter has also handled the
      // unusual stanza before the ping.
      const pong = await user.iq('get', STATS, xml('ping', { xmlns: 'urn:xmpp:ping' }))
      assert.equal(pong.attrs['type'], 'result', what)
    }
    const samples = await untilUp(exporter)
    assert.equal(sampleValue(samples, 'prosody_exporter_xmpp_connects_total'), 1)
    await user.close()
  })

  test(`whatever HTTP requests it gets, the exporter sends Prosody ${version} only collection requests`, async (t) => {
    const prosody = await startProsody(t, version)
    const tap = await startTap(t, prosody.ports.component)
    const exporter = await withExporterFor(t, { ...sectionOf(prosody), service: tap.service })
    await untilReady(exporter, 200)
    await untilUp(exporter)

    const evil = 'evil%22%3E%3Ciq%20to=%27one.example%27/%3E'
    const paths = [
      '/metrics',
      '/metrics/',
      '//metrics',
      '/metrics/../metrics',
      '/metrics/evil',
      `/metrics?node=${evil}&to=${evil}&target=${evil}&command=${evil}`,
      `/metrics?name[]=${evil}&collect[]=${evil}&first=${evil}`,
      `/probe?target=${evil}&module=${evil}`,
      '/sd?evil',
      '/?evil',
      `/${evil}`,
      '/-/ready?evil',
      '/-/reload',
      '/-/quit',
      '/test_eval',
    ]
    const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND']
    for (const path of paths) {
      for (const method of methods) {
        const status = await send(exporter, method, path)
        const isRead = method === 'GET' || method === 'HEAD'
        if (!isRead && status < 400) assert.fail(`${method} ${path}: ${status}`)
      }
    }

    const { text } = await exporter.get('/metrics')
    const stanzas = tap.stanzas().filter(({ name }) => name !== 'handshake')
    assert.ok(stanzas.length > 0)
    for (const stanza of stanzas) assertIsCollection(stanza)
    const firstPages = stanzas.filter((stanza) => requestFields(stanza)['first'] === '1')
    assert.equal(
      firstPages.length,
      sampleValue(text, 'prosody_exporter_collections_total'),
      'each command belongs to a collection',
    )
    assert.doesNotMatch(tap.bytes(), /evil/i)
  })
}

async function send(exporter: RunningExporter, method: string, path: string): Promise<number> {
  const sent = request(exporter.url, {
    method,
    path,
    agent: false,
    headers: {
      Host: 'evil.example',
      Authorization: 'Basic ZXZpbDpldmls',
      Cookie: 'evil=evil',
      'X-Forwarded-For': 'evil',
      'X-HTTP-Method-Override': 'evil',
      'User-Agent': "evil' to='one.example",
      'X-Prometheus-Scrape-Timeout-Seconds': method === 'GET' ? '5' : 'evil',
    },
  })
  sent.end(method === 'GET' || method === 'HEAD' ? undefined : 'evil=<iq to="one.example"/>')
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  response.resume()
  await once(response, 'close')
  return response.statusCode ?? 0
}

function requestFields(stanza: Element): Readonly<Record<string, string>> {
  const command = stanza.getChild('command', NS_COMMANDS)
  return { ...command?.getChild('statistics', REGISTRY_NODE)?.attrs }
}

/** Asserts that the stanza is the statistics command, without unexpected elements, attributes or values. */
function assertIsCollection(stanza: Element): void {
  const { id, ...addressed } = stanza.attrs
  assert.equal(stanza.name, 'iq')
  assert.match(id ?? '', /^[\da-f-]{36}$/)
  assert.deepEqual({ ...addressed }, { type: 'set', from: STATS, to: STATS })
  assert.equal(stanza.getChildElements().length, 1)
  const command = stanza.getChild('command', NS_COMMANDS)
  assert.equal(command?.attrs['node'], REGISTRY_NODE)
  assert.equal(command.attrs['action'], 'execute')
  assert.equal(command.getChildElements().length, 1)
  assert.equal(command.getChildren('statistics', REGISTRY_NODE)[0]?.getChildElements().length, 0)
  for (const [name, value] of Object.entries(requestFields(stanza))) {
    if (name === 'xmlns') assert.equal(value, REGISTRY_NODE)
    else if (name === 'epoch') assert.match(value, /^[\w-]+$/)
    else {
      assert.ok(['first', 'last', 'since'].includes(name), name)
      assert.match(value, name === 'since' ? /^\d+(:\d+)?( \d+(:\d+)?)*$/ : /^\d+$/)
    }
  }
}

function sectionOf({ service, secret, statsDomains }: TestProsody) {
  return { service, secret, statsDomains }
}

/** Tests questions from a chat client, and ad-hoc commands at the address of the exporter, with real Prosody servers. */

import xml, { type Element } from '@xmpp/xml'
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { getDomain } from '../../src/xmpp/jid.js'
import { withExporterFor } from '../support/exporter.js'
import { startFakeAlertmanager } from '../support/fake-alertmanager.js'
import { prosodyVersions, withProsody, type TestProsody } from '../support/prosody.js'
import { complaints, evalLua, logLines, untilUp } from '../support/real.js'
import { until } from '../support/setup/process.js'
import {
  commandElement,
  connectComponent,
  errorCondition,
  login,
  submitCommand,
  type XmppStream,
  type XmppUser,
} from '../support/xmpp-client.js'

const HOST = 'one.example'
const FAR = 'far.example'
/** A VirtualHost that a test deactivates. */
const OLD = 'old.example'
const DOMAIN = `stats.${HOST}`
const ADDRESS = `alerts@${DOMAIN}`
const FORGER = `forger.${HOST}`
const ADMIN = `admin@${HOST}`
const PASSWORD = 'pw'
const SECRET = 'secret'

const NS_COMMANDS = 'http://jabber.org/protocol/commands'
const NS_INFO = 'http://jabber.org/protocol/disco#info'
const NS_ITEMS = 'http://jabber.org/protocol/disco#items'
const query = (xmlns: string, node?: string) => xml('query', { xmlns, node })

const isAnswer = ({ name, attrs }: Element) => name === 'message' && attrs['from'] === ADDRESS
const say = (user: XmppStream, text: string, attrs: Readonly<Record<string, string>> = {}) => {
  user.send(xml('message', { to: ADDRESS, type: 'chat', ...attrs }, xml('body', {}, text)))
}
const hear = async (user: XmppStream) => (await user.next(isAnswer)).getChildText('body') ?? ''
const ask = async (user: XmppStream, text: string) => {
  say(user, text)
  return await hear(user)
}

/** Asserts that the user gets no answer to messages, and `forbidden` to requests. */
async function assertUnserved(user: XmppUser, allowed: XmppUser): Promise<void> {
  say(user, 'help')
  for (const child of [query(NS_INFO), query(NS_ITEMS, NS_COMMANDS), query('jabber:iq:version')]) {
    assert.equal(errorCondition(await user.iq('get', ADDRESS, child)), 'forbidden')
  }
  const run = commandElement('status')
  assert.equal(errorCondition(await user.iq('set', ADDRESS, run)), 'forbidden')
  const items = await user.iq('get', DOMAIN, query(NS_ITEMS))
  assert.deepEqual(items.getChild('query')?.getChildElements(), [])
  // The exporter has received the message before this one.
  assert.match(await ask(allowed, 'help'), /^status: /)
  // The server delivers what the exporter has sent before the reply to this request.
  await user.iq('get', ADDRESS, query(NS_INFO))
  assert.equal(user.taken(isAnswer), undefined)
}

/** Answers each request of service discovery as Prosody answers for a VirtualHost. @see XEP-0030 §3.1 */
function claimToBeServer(component: XmppStream): void {
  const answer = async () => {
    for (;;) {
      const { attrs } = await component.next((stanza) => !!stanza.getChild('query', NS_INFO))
      const identity = xml('identity', { category: 'server', type: 'im', name: 'Prosody' })
      const { from, to, id } = attrs
      component.send(
        xml(
          'iq',
          { type: 'result', id: id!, from: to!, to: from! },
          xml('query', { xmlns: NS_INFO }, identity),
        ),
      )
    }
  }
  // The stream ends with the test.
  answer().catch(() => undefined)
}

async function startServer(t: TestContext, version: (typeof prosodyVersions)[number]) {
  const prosody = await withProsody(t, {
    version,
    users: {
      [ADMIN]: PASSWORD,
      [`boss@${HOST}`]: PASSWORD,
      [`stranger@${HOST}`]: PASSWORD,
      'admin@two.example': PASSWORD,
      [`admin@${OLD}`]: PASSWORD,
    },
    hosts: [HOST, 'two.example', OLD],
    statsDomains: [DOMAIN],
    modules: ['test_dns', 'test_eval'],
    globals: { admins: `{ "boss@${HOST}" }`, modules_disabled: '{ "tls" }' },
    components: [
      {
        domain: FORGER,
        options: { component_secret: `"${SECRET}"`, validate_from_addresses: 'false' },
      },
    ],
  })
  const alertmanager = await startFakeAlertmanager(t)
  const file = join(prosody.dir, 'exporter.yml')
  const allow = [ADMIN, `mallory@${FAR}`, `admin@${FORGER}`, `admin@${OLD}`]
  // JSON is YAML.
  await writeFile(
    file,
    JSON.stringify({ chat: { allow }, alertmanager: { url: alertmanager.url } }),
  )
  const exporter = await withExporterFor(t, prosody, {
    stock: true,
    // Without this setting, an answer can have the values of a collection shortly before the question.
    env: { PROSODY_EXPORTER_COLLECTION_MIN_AGE: '0s' },
    flags: [`--config.file=${file}`, '--log.format=json'],
  })
  await untilUp(exporter)
  await until(() => complaints(exporter).length > 0, { what: 'the check of the hosts' })
  const connect = async (jid: string, server: TestProsody = prosody) => {
    const user = await login({ port: server.ports.c2s, jid, password: PASSWORD })
    t.after(() => user.close())
    return user
  }
  const allowAlso = (person: string) =>
    writeFile(file, JSON.stringify({ chat: { allow: [...allow, person] } }))
  return { prosody, exporter, alertmanager, connect, allowAlso, admin: await connect(ADMIN) }
}

/** Starts another server with the account, to which the first server connects with dialback. */
async function startOtherServer(t: TestContext, prosody: TestProsody, jid: string) {
  const host = getDomain(jid)
  const other = await withProsody(t, {
    ...{ version: prosody.version as (typeof prosodyVersions)[number], hosts: [host] },
    ...{ statsDomains: [], modules: ['test_dns', 'test_eval'] },
    users: { [jid]: PASSWORD },
    globals: { modules_disabled: '{ "tls" }' },
    components: [{ domain: `stats.${host}`, options: { component_secret: `"${SECRET}"` } }],
  })
  const setPort = (server: TestProsody, hosts: readonly string[], port: number) =>
    evalLua(
      server,
      `prosody.test_dns_ports = { ${hosts.map((each) => `["${each}"] = ${port}`).join(', ')} }`,
    )
  await setPort(other, [DOMAIN, HOST], prosody.ports.s2s)
  await setPort(prosody, [host], other.ports.s2s)
  return other
}

for (const version of prosodyVersions) {
  describe(`chat with Prosody ${version}`, { concurrency: 2 }, () => {
    test('an allowed person gets answers in messages and as ad-hoc commands', async (t) => {
      const { admin } = await startServer(t, version)
      const lines = (await ask(admin, 'Status')).split('\n')
      assert.equal(lines.length, 6, lines.join('\n'))
      assert.match(lines[0]!, new RegExp(`^Prosody ${version} has been up since 2`))
      assert.match(lines[1]!, /^Users online: \d+, connected clients: \d+$/)
      assert.match(lines[3]!, /^Failed logins: \d+ in the last /)
      assert.match(await ask(admin, 'top'), /Messages since the start of Prosody: one\.example \d/)
      assert.match(await ask(admin, 'certs'), /certificate/)
      assert.equal(await ask(admin, 'alerts'), 'No alert is firing.')

      const items = await admin.iq('get', DOMAIN, query(NS_ITEMS))
      assert.deepEqual(
        items
          .getChild('query')
          ?.getChildren('item')
          .map(({ attrs }) => attrs['jid']),
        [ADDRESS],
      )
      const commands = await admin.iq('get', ADDRESS, query(NS_ITEMS, NS_COMMANDS))
      assert.deepEqual(
        commands
          .getChild('query')
          ?.getChildren('item')
          .map(({ attrs }) => attrs['node']),
        ['status', 'certs', 'top', 'alerts', 'silence', 'unsilence'],
      )
      const reply = await admin.iq('set', ADDRESS, commandElement('status'))
      const command = reply.getChild('command')!
      assert.equal(command.attrs['status'], 'completed')
      const values = command.getChild('x')!.getChild('field')!.getChildren('value')
      assert.equal(values.length, 6)
      assert.ok(lines[0]!.startsWith(values[0]!.text().replace(/\(.*/, '')))
    })

    test('a person silences an alert with a code, or with a form', async (t) => {
      const { admin, alertmanager, exporter } = await startServer(t, version)
      alertmanager.alerts.push({
        labels: { alertname: 'ProsodyDown', severity: 'critical' },
        startsAt: new Date().toISOString(),
      })
      assert.match(await ask(admin, 'alerts'), /^1 alert firing:\ncritical: ProsodyDown/)
      const [, code = ''] = /yes (\d+)$/.exec(await ask(admin, 'silence ProsodyDown 2h')) ?? []
      assert.equal(alertmanager.silences.length, 0)
      assert.match(await ask(admin, `yes ${code}`), /^Silenced ProsodyDown until /)
      assert.equal(alertmanager.silences[0]?.createdBy, ADMIN)
      assert.match(await ask(admin, 'alerts'), /^No alert is firing\.\nSilenced: ProsodyDown$/)

      const ended = await submitCommand(admin, ADDRESS, 'unsilence', { alert: 'ProsodyDown' })
      assert.match(ended.toString(), /Ended 1 silence of ProsodyDown/)
      const values = { alert: 'ProsodyDown', duration: '1d' }
      const silenced = await submitCommand(admin, ADDRESS, 'silence', values)
      assert.match(silenced.toString(), /Silenced ProsodyDown until /)
      assert.deepEqual(
        alertmanager.silences.map(({ status }) => status.state),
        ['expired', 'active'],
      )
      // The log names no person.
      const lines = logLines(exporter).map((line) => JSON.stringify(line))
      assert.equal(lines.filter((line) => line.includes('silenced an alert in chat')).length, 2)
      assert.ok(lines.every((line) => !line.includes(ADMIN)))
    })

    test('a stranger, an admin of Prosody, and the same name on another host are not served', async (t) => {
      const { admin, connect, exporter } = await startServer(t, version)
      for (const jid of [`stranger@${HOST}`, `boss@${HOST}`, 'admin@two.example']) {
        await assertUnserved(await connect(jid), admin)
      }
      assert.match(
        complaints(exporter).join('\n'),
        /^.*chat\.allow whose domain is not a VirtualHost of this Prosody: far\.example, forger\.one\.example\..*$/,
      )
    })

    test('a person of another server is not served, even if chat.allow has the person', async (t) => {
      const { prosody, admin, connect } = await startServer(t, version)
      const far = await startOtherServer(t, prosody, `mallory@${FAR}`)
      await assertUnserved(await connect(`mallory@${FAR}`, far), admin)
    })

    test('after a VirtualHost was deactivated, another server with its name is not served', async (t) => {
      const { prosody, admin, connect } = await startServer(t, version)
      const person = `admin@${OLD}`
      const user = await connect(person)
      assert.match(await ask(user, 'help'), /^status: /)
      await evalLua(prosody, `assert(require "core.hostmanager".deactivate("${OLD}"))`)
      const other = await startOtherServer(t, prosody, person)
      await assertUnserved(await connect(person, other), admin)
    })

    test('another component that forges the sender gets no answer, and silences nothing', async (t) => {
      const { prosody, admin, alertmanager } = await startServer(t, version)
      const { component: port } = prosody.ports
      const forger = await connectComponent({ port, domain: FORGER, secret: SECRET })
      t.after(() => forger.close())

      say(forger, 'silence ProsodyDown 2h', { from: admin.jid })
      // The person sees what another component sends in the person's name.
      const [, code = ''] = /yes (\d+)$/.exec(await hear(admin)) ?? []
      say(forger, 'yes 000000', { from: admin.jid })
      assert.match(await hear(admin), code === '000000' ? /Silenced/ : /No request has this code/)

      forger.send(
        xml(
          'iq',
          { type: 'set', id: 'forged', from: admin.jid, to: ADDRESS },
          commandElement('silence'),
        ),
      )
      const reply = await admin.next(({ attrs }) => attrs['id'] === 'forged')
      const { sessionid } = reply.getChild('command')!.attrs
      const submit = xml(
        'command',
        { xmlns: NS_COMMANDS, node: 'silence', sessionid: sessionid!, action: 'complete' },
        xml('x', { xmlns: 'jabber:x:data', type: 'submit' }),
      )
      // A component in its own name cannot continue the session, even if it knows the id.
      assert.equal(errorCondition(await forger.iq('set', ADDRESS, submit)), 'forbidden')
      assert.equal(
        forger.taken((stanza) => !stanza.is('iq')),
        undefined,
      )
      assert.equal(alertmanager.silences.length, 0)
      // The component itself is in chat.allow, but it is not a VirtualHost.
      say(forger, 'help', { from: `admin@${FORGER}/x` })
      assert.match(await ask(admin, `yes ${code}`), /^Silenced ProsodyDown/)
      assert.equal(forger.taken(isAnswer), undefined)
    })

    test('a component that claims to be a server is not served', async (t) => {
      const { prosody, exporter, admin } = await startServer(t, version)
      const { component: port } = prosody.ports
      const component = await connectComponent({ port, domain: FORGER, secret: SECRET })
      t.after(() => component.close())
      claimToBeServer(component)
      exporter.kill('SIGHUP')
      await until(() => logLines(exporter).some(({ message }) => /reloaded/.test(message)), {
        what: 'the exporter has reloaded its configuration',
      })
      assert.match(await ask(admin, 'help'), /^status: /)
      const from = `admin@${FORGER}/x`
      say(component, 'help', { from })
      const run = commandElement('status')
      assert.equal(errorCondition(await component.iq('set', ADDRESS, run, { from })), 'forbidden')
      assert.match(await ask(admin, 'help'), /^status: /)
      assert.equal(component.taken(isAnswer), undefined)
    })

    test('a client that answers each message starts no loop', async (t) => {
      const { admin } = await startServer(t, version)
      say(admin, 'I am away')
      for (let i = 0; i < 3; i++) {
        assert.match(await hear(admin), /does not know this command/)
        say(admin, `I am away, ${i}`)
      }
      // The exporter has ignored the last message, so this is the next answer.
      assert.match(await ask(admin, 'help'), /^status: /)
      assert.equal(admin.taken(isAnswer), undefined)
    })

    test('a reload adds a person, and removes the commands of Alertmanager', async (t) => {
      const { exporter, connect, allowAlso, admin } = await startServer(t, version)
      const stranger = await connect(`stranger@${HOST}`)
      await assertUnserved(stranger, admin)
      await allowAlso(`stranger@${HOST}`)
      exporter.kill('SIGHUP')
      await until(
        async () => errorCondition(await stranger.iq('get', ADDRESS, query(NS_INFO))) === undefined,
        { what: 'the exporter serves the person' },
      )
      assert.match(await ask(stranger, 'help'), /^status: /)
      assert.match(
        await ask(admin, 'alerts'),
        /Set alertmanager\.url in the configuration file of the exporter/,
      )
    })

    test('after a restart of Prosody, the exporter checks the hosts again, and answers', async (t) => {
      const { prosody, connect } = await startServer(t, version)
      await prosody.restart()
      const admin = await connect(ADMIN)
      await until(
        async () => {
          const items = await admin.iq('get', DOMAIN, query(NS_ITEMS))
          return items.getChild('query')?.getChild('item') !== undefined
        },
        { what: 'the exporter serves the person again' },
      )
      assert.match(await ask(admin, 'help'), /^status: /)
    })
  })
}

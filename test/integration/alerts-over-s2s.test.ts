// Tests alerts to users of another server: two real Prosody servers that are connected to each other.

import xml from '@xmpp/xml'
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { withExporterFor } from '../support/exporter.js'
import {
  createNotification,
  postNotification,
  writeMessagingConfig,
} from '../support/notifications.js'
import { prosodyVersions, withProsody, type TestProsody } from '../support/prosody.js'
import { complaints, sampleValue, setServerAddress, untilReady } from '../support/real.js'
import { until } from '../support/setup/process.js'
import { login, type XmppUser } from '../support/xmpp-client.js'

const PASSWORD = 'pw'
const STATS = 'stats.one.example'
const FAR = 'far.example'
const ADMIN = 'admin@one.example'
const USER = `user@${FAR}`
const OFFLINE = `offline@${FAR}`
const UNKNOWN = `unknown@${FAR}`

type Version = (typeof prosodyVersions)[number]

/** Starts a Prosody with these users. */
function startServer(t: TestContext, version: Version, hosts: readonly string[], users: string[]) {
  return withProsody(t, {
    version,
    hosts,
    users: Object.fromEntries(users.map((jid) => [jid, PASSWORD])),
    statsDomains: [`stats.${hosts[0]!}`],
    modules: ['message', 'presence', 'offline', 'test_dns', 'test_eval'],
    // Without certificates, the servers authenticate each other with dialback (XEP-0220).
    globals: { s2s_secure_auth: 'false', modules_disabled: '{ "tls" }' },
  })
}

async function signIn(t: TestContext, prosody: TestProsody, jid: string): Promise<XmppUser> {
  const user = await login({ port: prosody.ports.c2s, jid, password: PASSWORD })
  t.after(() => user.close())
  user.send(xml('presence'))
  await user.next(({ name, attrs }) => name === 'presence' && attrs.from === user.jid)
  return user
}

async function nextAlert(user: XmppUser): Promise<string> {
  const message = await user.next(({ name }) => name === 'message')
  assert.equal(message.attrs.from, `alerts@${STATS}`)
  return message.getChildText('body') ?? ''
}

/** Starts two servers, and an exporter that sends alerts to users of both. The servers cannot reach each other yet. */
async function startServers(t: TestContext, version: Version) {
  const near = await startServer(t, version, ['one.example'], [ADMIN])
  const far = await startServer(t, version, [FAR], [USER, OFFLINE])
  const alerts = { to: [ADMIN, USER, OFFLINE, UNKNOWN] }
  const exporter = await withExporterFor(t, near, {
    flags: ['--log.format=json', await writeMessagingConfig(t, { alerts })],
  })
  await untilReady(exporter, 200)
  return {
    near,
    far,
    exporter,
    admin: await signIn(t, near, ADMIN),
    user: await signIn(t, far, USER),
    post: (name: string) => {
      const body = JSON.stringify(createNotification([{ name, summary: `about ${name}` }]))
      return postNotification(exporter.url, body)
    },
    untilCounted: (result: string, count: number) => {
      const sample = `prosody_exporter_messages_total{result="${result}"}`
      return until(
        async () => sampleValue((await exporter.get('/metrics')).text, sample) === count,
        { what: `${sample} is ${count}` },
      )
    },
  }
}

for (const version of prosodyVersions) {
  test(`alerts reach users of another server, and its late errors are counted (Prosody ${version})`, async (t) => {
    const { near, far, exporter, admin, user, post, untilCounted } = await startServers(t, version)
    const unreachable = await post('First')
    assert.equal(unreachable.status, 503)
    assert.match(
      unreachable.text,
      /^Not delivered to 3 of 4 recipients: Prosody cannot connect to the server of the recipient/,
    )
    await untilCounted('failed', 3)
    assert.match(await nextAlert(admin), /about First/)

    await setServerAddress(near, FAR, far.ports.s2s)
    await setServerAddress(far, STATS, near.ports.s2s)
    // The error about the unknown user can arrive before or after this response.
    assert.equal((await post('First')).status, 200)
    assert.match(await nextAlert(user), /about First/)
    await untilCounted('rejected', 1)

    // While the other server is stopped, Prosody accepts all messages to it.
    far.kill('SIGSTOP')
    const { status, text } = await post('Second')
    assert.deepEqual([status, JSON.parse(text)], [200, { delivered: 4, rejected: 0 }])
    await untilCounted('rejected', 1)
    far.kill('SIGCONT')
    await untilCounted('rejected', 2)
    assert.match(await nextAlert(user), /about Second/)
    assert.match(await nextAlert(admin), /about Second/, 'the repetition went only to the others')
    const offline = await signIn(t, far, OFFLINE)
    assert.match(await nextAlert(offline), /about First/)
    assert.match(await nextAlert(offline), /about Second/)

    const lines = complaints(exporter)
    const counts = [
      /cannot connect to the server of the recipient/,
      /recipient 4 of alerts\.to: there is no such user/,
    ].map((pattern) => lines.filter((line) => pattern.test(line)).length)
    assert.ok(!counts.includes(0), lines.join('\n'))
    assert.equal(counts[0]! + counts[1]!, lines.length, lines.join('\n'))
    assert.doesNotMatch(lines.join('\n'), new RegExp(`@|${FAR}`))
  })
}

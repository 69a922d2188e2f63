// Tests `prosody-exporter doctor --send-test` with an exporter that is connected to a real Prosody.

import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { describe, test, type TestContext } from 'node:test'
import xml from '@xmpp/xml'
import { findService } from '../../src/control/find-service.js'
import { lastLine, runDoctor } from '../support/doctor.js'
import { withExporterFor } from '../support/exporter.js'
import { prosodyVersions, withProsody, type TestProsody } from '../support/prosody.js'
import { untilReady } from '../support/real.js'
import { openRoom } from '../support/rooms.js'
import { until } from '../support/setup/process.js'
import { connectComponent, login } from '../support/xmpp-client.js'

const [ADMIN, OFFLINE, UNKNOWN] = ['admin@one.example', 'offline@one.example', 'nobody@one.example']
const [ROOM, MISSING] = ['ops@rooms.one.example', 'missing@rooms.one.example']
/** An external component. */
const GATEWAY = 'gateway.one.example'
const PASSWORD = 'pw'
const SECRET = 'secret'

const startProsody = (t: TestContext, version: (typeof prosodyVersions)[number]) =>
  withProsody(t, {
    version,
    users: { [ADMIN]: PASSWORD, [OFFLINE]: PASSWORD },
    components: [{ domain: GATEWAY, options: { component_secret: `"${SECRET}"` } }],
  })

async function logIn(t: TestContext, prosody: TestProsody, jid: string) {
  const user = await login({ port: prosody.ports.c2s, jid, password: PASSWORD })
  t.after(() => user.close())
  user.send(xml('presence'))
  await user.next((stanza) => stanza.is('presence') && stanza.attrs.from === user.jid)
  return user
}

/** Starts an exporter with alerts. Returns a function that runs `doctor --send-test` with the configuration of the exporter. */
async function startExporter(t: TestContext, prosody: TestProsody, alerts: object | undefined) {
  const file = join(prosody.dir, 'exporter.yml')
  const write = (section: object | undefined) =>
    writeFile(file, JSON.stringify({ alerts: section && { ...section, token_file: 'token' } }))
  await writeFile(join(prosody.dir, 'token'), 'abc', { mode: 0o600 })
  await write(alerts)
  const env = { XDG_RUNTIME_DIR: prosody.dir, PROSODY_EXPORTER_XMPP_SECRET: prosody.secret }
  const exporter = await withExporterFor(t, prosody, { flags: [`--config.file=${file}`], env })
  await untilReady(exporter, 200)
  const { service } = prosody
  const domain = prosody.statsDomains[0]!
  const owner = { env, uid: process.getuid?.() }
  await until(() => findService({ service, domain }, owner), { what: 'the control socket' })
  const flags = [`--config.file=${file}`, `--xmpp.service=${service}`, `--xmpp.domain=${domain}`]
  return { exporter, write, sendTest: () => runDoctor([...flags, '--send-test'], env) }
}

const textOf = (body: string | null) => body ?? ''

describe('doctor --send-test with a real Prosody', { concurrency: 2 }, () => {
  for (const version of prosodyVersions) {
    test(`the test message reaches people and rooms of Prosody ${version}, and doctor says so`, async (t) => {
      const prosody = await startProsody(t, version)
      const admin = await logIn(t, prosody, ADMIN)
      await openRoom(admin, ROOM)
      const { sendTest } = await startExporter(t, prosody, { to: [ADMIN, OFFLINE], rooms: [ROOM] })
      const { code, out, err } = await sendTest()
      assert.equal(
        lastLine({ out, err }),
        'All good: Prosody accepted the test message for all 3 recipients.',
      )
      for (const jid of [ADMIN, OFFLINE])
        assert.match(out, new RegExp(`^ {2}ok +test message +${jid}: Prosody accepted it`, 'm'))
      assert.match(out, new RegExp(`^ {2}ok +test message +${ROOM}: the room has shown it`, 'm'))
      assert.equal(code, 0)
      for (const type of ['chat', 'groupchat']) {
        const message = await admin.next(
          (stanza) =>
            stanza.is('message') &&
            stanza.attrs.type === type &&
            stanza.getChild('body') !== undefined,
        )
        assert.match(
          textOf(message.getChildText('body')),
          /^Test message of prosody-exporter \(stats\.one\.example\)/,
        )
      }
      const later = await logIn(t, prosody, OFFLINE)
      const stored = await later.next((stanza) => stanza.is('message'))
      assert.match(textOf(stored.getChildText('body')), /^Test message/)

      // Each run sends a message of its own.
      await sendTest()
      await later.next((stanza) => stanza.is('message'))
    })

    test(`doctor says why Prosody ${version} rejects the test message, and what to change`, async (t) => {
      const prosody = await startProsody(t, version)
      const { sendTest } = await startExporter(t, prosody, {
        to: [ADMIN, UNKNOWN],
        rooms: [MISSING],
      })
      const { code, out } = await sendTest()
      assert.match(out, new RegExp(`^ {2}ok +test message +${ADMIN}`, 'm'))
      assert.match(
        out,
        new RegExp(
          `^ {2}FAILED +test message +${UNKNOWN}: rejected: there is no such user.*alerts\\.to`,
          'm',
        ),
      )
      assert.match(
        out,
        new RegExp(
          `^ {2}FAILED +test message +${MISSING}: rejected: the room does not exist.*alerts\\.rooms`,
          'm',
        ),
      )
      assert.match(out, /\nNot working: 2 of 3 recipients did not get the test message\./)
      assert.equal(code, 1)
    })
  }

  test('a component does not confirm the test message, and doctor says so', async (t) => {
    const prosody = await startProsody(t, '13.0.1')
    const { component: port } = prosody.ports
    const gateway = await connectComponent({ port, domain: GATEWAY, secret: SECRET })
    t.after(() => gateway.close())
    const { sendTest } = await startExporter(t, prosody, { to: [`user@${GATEWAY}`] })
    const { out } = await sendTest()
    assert.match(
      out,
      new RegExp(
        `^ {2}note +test message +user@${GATEWAY}: Prosody passes it to another server`,
        'm',
      ),
    )
    await gateway.next((stanza) => stanza.is('message'))
  })

  test('an exporter that started without alerts must be restarted', async (t) => {
    const prosody = await startProsody(t, '13.0.1')
    const { exporter, write, sendTest } = await startExporter(t, prosody, undefined)
    assert.match(
      (await sendTest()).out,
      /^The test message was not sent: No alerts are configured\. /,
    )
    await write({ to: [ADMIN] })
    const running = await sendTest()
    assert.match(
      running.out,
      /sends no alerts through component "stats\.one\.example".*restart the exporter/,
    )
    exporter.kill('SIGTERM')
    await exporter.exited
    const { code, out } = await sendTest()
    assert.match(
      out,
      /^The test message was not sent: No exporter .* runs on this machine\. Start it/,
    )
    assert.equal(code, 1)
  })
})

/** The output of `prosody-exporter doctor --send-test` for each answer of a running exporter. */

import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { test, type TestContext } from 'node:test'
import { createTestReport } from '../../../../src/cli/doctor/test-report.js'
import { createControlSockets } from '../../../../src/control/control-sockets.js'
import { sendTestMessage } from '../../../../src/messaging/test-message.js'
import { DOMAIN, lastLine, runDoctor, SECRET } from '../../../support/doctor.js'
import { temporaryDirectory } from '../../../support/setup/process.js'

const FAR = 'admin@far.example'
const SERVICE = 'xmpp://127.0.0.1:1'
const [ADMIN, FORMER, ROOM] = ['admin@one.example', 'former@one.example', 'ops@rooms.one.example']

/** Runs `doctor --send-test`, with a service that answers with `sendTest`. Without `answer`, no service runs. */
async function runTest(
  t: TestContext,
  { service, alerts = true }: { service?: { sendTest?: () => Promise<string> }; alerts?: boolean },
) {
  const dir = await temporaryDirectory('send-test')
  t.after(dir.remove)
  const file = join(dir.path, 'exporter.yml')
  const section = { to: [ADMIN, FORMER], rooms: [ROOM], token_file: 'token' }
  await writeFile(join(dir.path, 'token'), 'a token\n', { mode: 0o600 })
  await writeFile(file, alerts ? JSON.stringify({ alerts: section }) : '')
  const env = { XDG_RUNTIME_DIR: dir.path, PROSODY_EXPORTER_XMPP_SECRET: SECRET }
  const ignore = () => undefined
  if (service) {
    const controls = createControlSockets({
      ...service,
      owner: { env, uid: process.getuid?.() },
      log: { debug: ignore, info: ignore, warn: ignore, error: ignore },
      components: () => [{ service: SERVICE, domain: DOMAIN }],
      answer: () => Promise.reject(new Error('doctor asked for a diagnosis')),
    })
    t.after(() => controls.close())
    await controls.apply()
  }
  const flags = [`--config.file=${file}`, `--xmpp.service=${SERVICE}`, `--xmpp.domain=${DOMAIN}`]
  const result = await runDoctor([...flags, '--send-test'], env)
  assert.equal(result.err, '')
  assert.ok(!result.out.includes('a token'))
  return result
}

const answerWith = (report: object) => ({
  service: { sendTest: () => Promise.resolve(JSON.stringify(report)) },
})

test('reports the result of the test message for each recipient', async (t) => {
  const report = createTestReport(
    '1.0.0',
    {
      delivered: [ADMIN, FAR],
      rejected: [{ to: FORMER, reason: 'there is no such user. Correct alerts.to.' }],
      pending: [{ to: ROOM, reason: 'the room is members-only. Make it a member.' }],
    },
    { rooms: [ROOM], hosts: new Set(['one.example', 'rooms.one.example']) },
  )
  const { code, out } = await runTest(t, answerWith(report))
  assert.deepEqual(out.split('\n'), [
    `  ok     test message      ${ADMIN}: Prosody accepted it, to show it now or at the next login`,
    `  note   test message      ${FAR}: Prosody passes it to another server or a component, which confirms nothing. If that fails later, the exporter logs it`,
    `  FAILED test message      ${FORMER}: rejected: there is no such user. Correct alerts.to.`,
    `  FAILED test message      ${ROOM}: not delivered yet: the room is members-only. Make it a member.`,
    'Not working: 2 of 4 recipients did not get the test message. Each line with FAILED says why, and what to change. Then run prosody-exporter doctor --send-test again.',
    '',
  ])
  assert.equal(code, 1)
})

test('the exit code is 0 if every recipient has the test message', async (t) => {
  const outcome = { delivered: [ROOM], rejected: [], pending: [] }
  const { code, out } = await runTest(
    t,
    answerWith(createTestReport('1', outcome, { rooms: [ROOM], hosts: undefined })),
  )
  assert.match(out, /^ {2}ok +test message +ops@rooms\.one\.example: the room has shown it/)
  assert.equal(
    lastLine({ out, err: '' }),
    'All good: Prosody accepted the test message for the recipient.',
  )
  assert.equal(code, 0)
})

test('one line says what to do if no message can be sent', async (t) => {
  const cases = [
    [
      { alerts: false },
      /No alerts are configured\. Run prosody-exporter setup --alerts=JID, or .*docs\/alerts\.md/,
    ],
    [{}, /No exporter with a control socket runs.*systemctl start prosody-exporter/],
    // An exporter of an older version does not know the request.
    [{ service: {} }, /is an older version.*systemctl restart prosody-exporter$/],
    [
      answerWith({ version: '1', problem: 'It has no alerts. Restart it.' }),
      /It has no alerts\. Restart it\.$/,
    ],
  ] as const
  for (const [options, message] of cases) {
    const { code, out } = await runTest(t, options)
    assert.match(out, /^The test message was not sent: [^\n]+\n$/)
    assert.match(out.trim(), message)
    assert.equal(code, 1)
  }
})

test('the result is unknown, and not a failure to send, if the service does not say what it did', async (t) => {
  const cases = [
    [answerWith({ other: true }), /cannot read the response.*systemctl restart prosody-exporter$/],
    [
      { service: { sendTest: () => Promise.reject(new Error('boom')) } },
      /did not answer: Error: boom.*See its log/,
    ],
  ] as const
  for (const [options, message] of cases) {
    const { code, out } = await runTest(t, options)
    assert.match(out, /^It is unknown whether the test message was sent\. [^\n]+\n$/)
    assert.match(out.trim(), message)
    assert.equal(code, 1)
  }
})

test('each test message has a key of its own, so that it is sent again', async () => {
  const keys: string[] = []
  const outcome = { delivered: [ADMIN], rejected: [], pending: [] }
  for (let i = 0; i < 2; i++) {
    const sent = await sendTestMessage(
      ({ key, text }, deadlineMs) => {
        keys.push(key)
        assert.match(text, /stats\.one\.example/)
        assert.equal(deadlineMs, 5)
        return Promise.resolve(outcome)
      },
      DOMAIN,
      5,
    )
    assert.deepEqual(sent, outcome)
  }
  assert.equal(new Set(keys).size, 2)
})

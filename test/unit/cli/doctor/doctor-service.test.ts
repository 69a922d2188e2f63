/** `prosody-exporter doctor` while a service uses the component: doctor asks the service, and does not log in. */

import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { test, type TestContext } from 'node:test'
import { freePort, temporaryDirectory, until } from '../../../support/setup/process.js'
import { createControlSockets } from '../../../../src/control/control-sockets.js'
import { findService } from '../../../../src/control/find-service.js'
import { getSocketName } from '../../../../src/control/socket-directories.js'
import { DOMAIN, runDoctor, SECRET } from '../../../support/doctor.js'
import { runExporter, withExporter } from '../../../support/exporter.js'
import { startFakeServer } from '../../../support/fake-server.js'
import { isComplaint, logLines } from '../../../support/real.js'

/** Runs doctor with a service that responds with `answer`, and checks that doctor does not connect to the server. */
async function withAnswer(t: TestContext, answer: () => Promise<string>) {
  const dir = await temporaryDirectory('doctor')
  t.after(dir.remove)
  let dialled = 0
  const server = await startFakeServer(t, { onSocket: () => dialled++ })
  const env = { XDG_RUNTIME_DIR: dir.path, PROSODY_EXPORTER_XMPP_SECRET: SECRET }
  const ignore = () => undefined
  const controls = createControlSockets({
    owner: { env, uid: process.getuid?.() },
    log: { debug: ignore, info: ignore, warn: ignore, error: ignore },
    components: () => [{ service: server.service, domain: DOMAIN }],
    answer,
  })
  t.after(() => controls.close())
  await controls.apply()
  const flags = [`--xmpp.service=${server.service}`, `--xmpp.domain=${DOMAIN}`]
  const result = await runDoctor(flags, env)
  assert.equal(dialled, 0)
  assert.equal(result.err, '')
  return { ...result, controls }
}

const FINDINGS = [
  { step: 'login', result: 'ok', text: 'logged in' },
  { step: 'ping', result: 'note', text: 'off' },
]

test('reports that the service has another version, and prints its findings', async (t) => {
  const answer = JSON.stringify({ version: '9.8.7', pid: 1, findings: FINDINGS, more: true })
  const { code, out } = await withAnswer(t, () => Promise.resolve(answer))
  assert.match(out, /note +service +The running service is version 9\.8\.7, and this command is/)
  assert.match(
    out,
    /\n {2}ok {5}login +logged in\n {2}note {3}ping +off\nWorking, with 2 notes: The running/,
  )
  assert.equal(code, 0)
})

test('fails when it cannot read the response of a service of another version', async (t) => {
  for (const answer of ['{"version":"9.8.7","findings":"other"}', 'no JSON']) {
    const { code, out } = await withAnswer(t, () => Promise.resolve(answer))
    const version = answer.startsWith('{') ? '9\\.8\\.7' : 'unknown'
    assert.match(
      out,
      new RegExp(`FAILED service +The running service is version ${version}, .*\\n.*restart`),
    )
    assert.equal(code, 1)
  }
})

test('fails when the service cannot answer, and does not connect itself', async (t) => {
  const { code, out } = await withAnswer(t, () => Promise.reject(new Error('out of order')))
  assert.match(out, /FAILED service +The running service .* did not answer: Error: out of order/)
  assert.equal(code, 1)
})

test('exits with 1 when a step of the service failed', async (t) => {
  const { version } = (await import('../../../../package.json', { with: { type: 'json' } })).default
  const findings = [{ step: 'statistics', result: 'failed', text: 'is off' }]
  const answer = JSON.stringify({ version, pid: 42, findings })
  const { code, out } = await withAnswer(t, () => Promise.resolve(answer))
  assert.match(
    out,
    /ok +service +runs as process 42; it made the checks below\n {2}FAILED statistics +is off\n/,
  )
  assert.equal(code, 1)
})

/** Starts a service for an XMPP server, with its control socket in a temporary directory. */
async function withService(t: TestContext, service: string) {
  const dir = await temporaryDirectory('doctor')
  t.after(dir.remove)
  const env = { XDG_RUNTIME_DIR: dir.path, PROSODY_EXPORTER_XMPP_SECRET: SECRET }
  const flags = [`--xmpp.service=${service}`, `--xmpp.domain=${DOMAIN}`, '--log.format=json']
  const owner = { env, uid: process.getuid?.() }
  const start = async () => {
    const exporter = await withExporter(t, { flags, env })
    const found = () => findService({ service, domain: DOMAIN }, owner)
    await until(found, { what: 'its control socket' })
    return exporter
  }
  const ask = async () => {
    const ran = await runDoctor(flags, env)
    assert.ok(!`${ran.out}${ran.err}`.includes(SECRET))
    return ran
  }
  return { exporter: await start(), start, ask, env }
}

test('prints the last error of a service that is not connected', async (t) => {
  const { exporter, ask } = await withService(t, `xmpp://127.0.0.1:${await freePort()}`)
  const { code, out } = await ask()
  assert.match(
    out,
    /FAILED connection +Cannot connect to Prosody .*\.\nNot working: Cannot connect .* Check that/,
  )
  assert.equal(out.match(/\n/g)?.length, 4, out)
  assert.equal(code, 1)
  assert.ok(exporter.running())
})

test('prints why the server rejects the service', async (t) => {
  let dialled = 0
  const server = await startFakeServer(t, {
    secret: 'another',
    answer: () => undefined,
    onSocket: () => dialled++,
  })
  const { exporter, ask } = await withService(t, server.service)
  await until(() => exporter.stderr().includes('component_secret'), { what: 'it is refused' })
  const { code, out } = await ask()
  assert.match(out, /FAILED connection +Prosody .*\nNot working: .*component_secret/)
  assert.equal(code, 1)
  assert.ok(dialled > 0)
})

test('connects itself when the service uses another component', async (t) => {
  const service = `xmpp://127.0.0.1:${await freePort()}`
  const { env } = await withService(t, service)
  const flags = [`--xmpp.service=${service}`, '--xmpp.domain=other.one.example']
  const { out } = await runDoctor(flags, env)
  assert.doesNotMatch(out, / service /)
  assert.match(out, /\n +FAILED connection +Cannot connect to Prosody/)
})

test('connects itself after the service was killed, and asks the next service again', async (t) => {
  const { exporter, start, ask } = await withService(t, `xmpp://127.0.0.1:${await freePort()}`)
  exporter.kill('SIGKILL')
  await exporter.exited
  const alone = await ask()
  assert.match(alone.out, /\n +FAILED connection +Cannot connect to Prosody/)
  const next = await start()
  const beside = await ask()
  assert.match(beside.out, new RegExp(`ok +service +runs as process ${next.pid}`))
  assert.equal(
    logLines(next).filter(({ message }) => /control socket|exporter on/.test(message)).length,
    0,
  )
})

test('a second exporter of the component logs a warning, and doctor asks the first', async (t) => {
  const { exporter, start, ask } = await withService(t, `xmpp://127.0.0.1:${await freePort()}`)
  const second = await start()
  const warning = () =>
    logLines(second).filter(
      ({ level, message }) => isComplaint(level) && message.startsWith('Another exporter'),
    )
  await until(() => warning().length === 1, { what: 'the warning' })
  const { out } = await ask()
  assert.match(out, new RegExp(`runs as process ${exporter.pid};`))
})

test('a service that cannot listen exits, and leaves no control socket', async (t) => {
  const service = `xmpp://127.0.0.1:${await freePort()}`
  const { exporter, env } = await withService(t, service)
  const child = runExporter({
    flags: [
      `--xmpp.service=${service}`,
      '--xmpp.domain=other.one.example',
      `--web.listen-address=127.0.0.1:${exporter.port}`,
    ],
    env,
  })
  assert.equal(await child.exited, 1)
  const files = await readdir(join(env.XDG_RUNTIME_DIR, 'prosody-exporter'))
  assert.deepEqual(files, [getSocketName({ service, domain: DOMAIN })])
})

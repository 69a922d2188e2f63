import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect } from 'node:tls'
import { hashSync } from 'bcryptjs'
import { freePort, root as repository, temporaryDirectory } from '../../support/setup/process.js'
import { withProsody } from '../../support/prosody.js'
import { blocksOf } from '../../support/pages.js'
import { sampleValue } from '../../support/real.js'
import { configure, untilAnswered, withService } from '../../support/service.js'
import { createAuthority, curl, type Curled } from '../../support/web.js'

const PASSWORD = 'correct horse'
const CONFIG = 'etc/prosody-exporter'
/** The exit code of curl for a refused connection. */
const CONNECTION_REFUSED = 7
const UNIT = 'prosody-exporter.service'
const SOCKET = 'prosody-exporter.socket'

test('the first connection to the socket of systemd starts the service, which requires TLS and a password', async (t) => {
  const prosody = await withProsody(t, { version: '13.0.1' })
  const service = await withService(t)
  const { root, deb, must, journal, property } = service
  const { path, remove } = await temporaryDirectory('prosody-exporter-socket')
  t.after(remove)
  const port = await freePort()
  const authority = await createAuthority(path, 'ca')
  const issue = async () => {
    await authority.issue('exporter', 'IP:127.0.0.1')
    for (const name of ['exporter.crt', 'exporter.key']) {
      const text = await readFile(join(path, name), 'utf8')
      await writeFile(join(root, CONFIG, name), text, { mode: 0o600 })
    }
  }
  const dropIn = async (unit: string, text: string) => {
    await mkdir(join(root, `etc/systemd/system/${unit}.d`), { recursive: true })
    await writeFile(join(root, `etc/systemd/system/${unit}.d/override.conf`), text)
  }
  const url = `https://127.0.0.1:${port}/metrics`
  const ask = (...flags: string[]): Promise<Curled> =>
    curl(path, '--cacert', 'ca.crt', ...flags, url)
  const login = ['--user', `prometheus:${PASSWORD}`]
  const untilUp = () =>
    untilAnswered(service, async () => {
      const answer = await ask(...login)
      assert.equal(answer.status, 200, `${answer.code} ${answer.body}`)
      return sampleValue(answer.body, 'xmpp_up') === 1
    })

  await must('dpkg', '--install', deb)
  await configure(service, prosody, 'PROSODY_EXPORTER_WEB_SYSTEMD_SOCKET=true')
  // The drop-in files for systemd are those in docs/operations.md, except for the port.
  const page = await readFile(join(repository, 'docs/operations.md'), 'utf8')
  const lines = blocksOf(page, 'ini').find((block) => block.includes('web.yml')) ?? ''
  await dropIn(UNIT, lines)
  await dropIn(SOCKET, `[Socket]\nListenStream=\nListenStream=127.0.0.1:${port}\n`)
  await issue()
  await writeFile(
    join(root, CONFIG, 'web.yml'),
    `tls_server_config: { cert_file: exporter.crt, key_file: exporter.key }
basic_auth_users: { prometheus: ${hashSync(PASSWORD, 4)} }
`,
    { mode: 0o600 },
  )
  await must('systemctl', 'daemon-reload')
  await must('systemctl', 'enable', '--now', SOCKET)
  assert.equal(await property('ActiveState'), 'inactive')
  assert.equal(await property('ActiveState', SOCKET), 'active')

  // systemd holds the connection until the exporter accepts it.
  const stranger = await ask()
  assert.equal(stranger.status, 401, await journal())
  assert.equal(await property('ActiveState'), 'active')
  await untilUp()
  assert.equal((await ask('--user', 'prometheus:wrong')).status, 401)

  // The unprivileged service reads files that only root can read, because systemd passes them as credentials.
  const pid = await property('MainPID')
  const status = await must('cat', `/proc/${pid}/status`)
  const user = Number(/^Uid:\s+(\d+)/m.exec(status)?.[1])
  assert.ok(user >= 61184 && user <= 65519, `the user ${user} of the service is a dynamic user`)
  const seen = `/proc/${pid}/root/run/credentials/${UNIT}`
  const files = await must('find', seen, '-type', 'f', '-printf', '%f %m\n')
  assert.deepEqual(files.trim().split('\n').sort(), [
    'exporter.crt 440',
    'exporter.key 440',
    'web.yml 440',
    'xmpp.secret 440',
  ])
  const other = ['setpriv', '--reuid=1234', '--regid=1234', '--clear-groups', 'cat']
  assert.notEqual((await service.inside(...other, `${seen}/exporter.key`)).code, 0)

  // A reload keeps the process of the service.
  await must('systemctl', 'reload', UNIT)
  await untilUp()
  assert.equal(await property('MainPID'), pid)

  // The port stays open during a restart, so new connections wait. If the old process has accepted a connection but
  // read no request, it closes the connection, and the client must connect again. The new process uses the new
  // certificate.
  const before = await fingerprintOf(port)
  await issue()
  const askWithRetry = async () => {
    const answer = await ask(...login)
    assert.notEqual(answer.code, CONNECTION_REFUSED)
    return answer.code === 0 ? answer : await ask(...login)
  }
  const restart = must('systemctl', 'restart', UNIT)
  const during = await Promise.all(Array.from({ length: 10 }, askWithRetry))
  await restart
  assert.deepEqual(
    during.map(({ status }) => status),
    during.map(() => 200),
  )
  assert.notEqual(await property('MainPID'), pid)
  await untilUp()
  assert.notEqual(await fingerprintOf(port), before)

  // A new connection starts the stopped service again. When the socket unit is stopped, connections are refused.
  await must('systemctl', 'stop', UNIT)
  assert.equal(await property('ActiveState'), 'inactive')
  await untilUp()
  assert.doesNotMatch(await journal(), /level=(warn|error)/)
  await must('dpkg', '--purge', 'prosody-exporter')
  assert.equal((await ask(...login)).code, CONNECTION_REFUSED)
})

/** Returns the SHA-256 fingerprint of the certificate of the exporter. */
async function fingerprintOf(port: number): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  const { fingerprint256 } = socket.getPeerCertificate()
  socket.destroy()
  return fingerprint256
}

import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { freePort, until } from '../../support/setup/process.js'
import { httpGet } from '../../support/exporter.js'
import { withProsody } from '../../support/prosody.js'
import { sampleValue } from '../../support/real.js'
import { configure, SECRET_FILE, untilAnswered, withService } from '../../support/service.js'

/** systemd creates StateDirectory= here, because the user of the service is temporary. */
const STATE = '/var/lib/private/prosody-exporter-state'

// Installs the Debian package under a real systemd. The test checks that systemd applies the settings of the unit for
// the user, the credential, system calls, mounts and addresses. It does not check MemoryMax and TasksMax, because the
// machine may have control groups of version 1.
test('the service runs with the restrictions of its unit, and reads Prosody', async (t) => {
  const prosody = await withProsody(t, { version: '13.0.1' })
  const service = await withService(t)
  const { root, deb, inside, must, journal, property } = service
  const port = await freePort()
  const scrape = () => httpGet(`http://127.0.0.1:${port}/metrics`).catch(() => undefined)
  const untilUp = () =>
    untilAnswered(service, async () => {
      const answer = await scrape()
      return answer && sampleValue(answer.text, 'xmpp_up') === 1 && answer.text
    })

  // After the installation, the service is enabled. It waits for its secret and has not failed.
  await must('dpkg', '--install', deb)
  assert.equal(await property('UnitFileState'), 'enabled')
  assert.equal(await property('ActiveState'), 'inactive')

  await configure(service, prosody, `PROSODY_EXPORTER_WEB_LISTEN_ADDRESS=127.0.0.1:${port}`)
  await must('systemctl', 'start', 'prosody-exporter')
  const exposition = await untilUp()
  assert.equal(sampleValue(exposition, 'prosody_info{version="13.0.1"}'), 1)

  // The kernel applies the restrictions to the process.
  const pid = await property('MainPID')
  const status = await must('cat', `/proc/${pid}/status`)
  const field = (name: string) => new RegExp(`^${name}:\\s+(.*)$`, 'm').exec(status)?.[1]
  const [user = '0'] = field('Uid')?.split('\t') ?? []
  assert.ok(
    Number(user) >= 61184 && Number(user) <= 65519,
    `the user ${user} of the service is a dynamic user`,
  )
  for (const name of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
    assert.equal(Number.parseInt(field(name) ?? '1', 16), 0, name)
  }
  assert.equal(field('NoNewPrivs'), '1')
  assert.equal(field('Seccomp'), '2')
  const namespaces = async (of: string) =>
    await must('readlink', `/proc/${of}/ns/mnt`, `/proc/${of}/ns/user`, `/proc/${of}/ns/ipc`)
  const [exporterNamespaces, hostNamespaces] = [await namespaces(pid), await namespaces('1')].map(
    (each) => each.split('\n'),
  )
  for (const [at, name] of ['mnt', 'user', 'ipc'].entries())
    assert.notEqual(exporterNamespaces?.[at], hostNamespaces?.[at], name)

  // Only root can query the service with doctor. Doctor does not interrupt the stream of the service.
  const config = '--config.file=/etc/prosody-exporter/prosody-exporter.yml'
  const secretFile = `--xmpp.secret-file=${SECRET_FILE}`
  const runtime = '/run/prosody-exporter'
  assert.equal(await must('stat', '--format=%a %u', runtime), `711 ${user}\n`)
  const [socket = ''] = (await must('ls', runtime)).split('\n')
  assert.equal(
    await must('stat', '--format=%a %u %F', `${runtime}/${socket}`),
    `600 ${user} socket\n`,
  )
  const report = await must('prosody-exporter', 'doctor', config, secretFile)
  assert.match(report, new RegExp(`ok +service +runs as process ${pid};`))
  const flags = [`--xmpp.service=${prosody.service}`, `--xmpp.domain=${prosody.statsDomains[0]}`]
  const env = '{ ...process.env, PROSODY_EXPORTER_XMPP_SECRET: "secret" }'
  const asOther = `{ uid: 65534, gid: 65534, stdio: "inherit", env: ${env} }`
  const program = `process.exit(require("node:child_process").spawnSync("prosody-exporter", process.argv.slice(1), ${asOther}).status)`
  const denied = await inside('node', '-e', program, 'doctor', ...flags)
  assert.equal(denied.code, 1, denied.output)
  assert.match(
    denied.output,
    /\nNot working: The service runs as another user .* Run doctor as root/,
  )
  const connects = sampleValue(await untilUp(), 'prosody_exporter_xmpp_connects_total')
  assert.equal(connects, 1)

  // All mounts of the service are read-only, except its state directory, those for its temporary files, and the file
  // systems of the kernel.
  const mounts = await must('cat', `/proc/${pid}/mountinfo`)
  const writable = mounts
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, , , , , options]) => options?.split(',').includes('rw'))
    .map(([, , , , path]) => path)
  assert.deepEqual(
    writable.filter((path) => path && !/^\/(tmp|var\/tmp|dev|proc|run|sys)(\/|$)/.test(path)),
    [STATE],
  )
  const environ = await must('cat', `/proc/${pid}/environ`)
  assert.match(
    environ,
    /XMPP_SECRET_FILE=\/run\/credentials\/prosody-exporter\.service\/xmpp\.secret/,
  )

  // A reload keeps the process of the service, and an upgrade of the package replaces it.
  await must('systemctl', 'reload', 'prosody-exporter')
  assert.equal(await property('MainPID'), pid)
  await must('dpkg', '--install', deb)
  await untilUp()
  assert.notEqual(await property('MainPID'), pid)
  // This reload comes so early after the start that the exporter cannot handle it yet.
  await must('sh', '-c', 'systemctl restart prosody-exporter; systemctl reload prosody-exporter')
  await untilUp()
  assert.doesNotMatch(await journal(), /level=(warn|error)|No control socket/i)

  // With an empty secret, the service fails and systemd does not restart it.
  await rm(join(root, SECRET_FILE))
  await writeFile(join(root, SECRET_FILE), '', { mode: 0o600 })
  await inside('systemctl', 'restart', 'prosody-exporter')
  await until(async () => (await property('ActiveState')) === 'failed', {
    what: 'the service has failed',
  })
  assert.equal(await property('NRestarts'), '0')
  await must('dpkg', '--purge', 'prosody-exporter')
  for (const path of ['/etc/prosody-exporter', STATE, '/var/lib/prosody-exporter-state']) {
    assert.equal((await inside('test', '-e', path)).code, 1, path)
  }
  assert.equal((await inside('systemctl', 'is-enabled', 'prosody-exporter')).code, 4)
})

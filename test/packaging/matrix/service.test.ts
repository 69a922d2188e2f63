import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { freePort, until } from '../../support/setup/process.js'
import { httpGet } from '../../support/exporter.js'
import { withProsody } from '../../support/prosody.js'
import { sampleValue } from '../../support/real.js'
import { configure, SECRET_FILE, untilAnswered, withService } from '../../support/service.js'

// The package as dpkg installs it under a real systemd, which applies the unit itself: user, credential,
// system calls, mounts, addresses. Not shown: MemoryMax and TasksMax, where the machine's control groups
// are of version 1, and the kernel's own share of what systemd asks for on other kernels.
test('the service runs locked down as its unit says, and reads Prosody', async (t) => {
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

  // Installed: enabled, and waiting for its secret without having failed.
  await must('dpkg', '--install', deb)
  assert.equal(await property('UnitFileState'), 'enabled')
  assert.equal(await property('ActiveState'), 'inactive')

  await configure(service, prosody, `PROSODY_EXPORTER_WEB_LISTEN_ADDRESS=127.0.0.1:${port}`)
  await must('systemctl', 'start', 'prosody-exporter')
  const exposition = await untilUp()
  assert.equal(sampleValue(exposition, 'prosody_info{version="13.0.1"}'), 1)

  // What the kernel says of it.
  const pid = await property('MainPID')
  const status = await must('cat', `/proc/${pid}/status`)
  const field = (name: string) => new RegExp(`^${name}:\\s+(.*)$`, 'm').exec(status)?.[1]
  const [user = '0'] = field('Uid')?.split('\t') ?? []
  assert.ok(Number(user) >= 61184 && Number(user) <= 65519, `a dynamic user: ${user}`)
  for (const name of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
    assert.equal(Number.parseInt(field(name) ?? '1', 16), 0, name)
  }
  assert.equal(field('NoNewPrivs'), '1')
  assert.equal(field('Seccomp'), '2')
  const namespaces = async (of: string) =>
    await must('readlink', `/proc/${of}/ns/mnt`, `/proc/${of}/ns/user`, `/proc/${of}/ns/ipc`)
  const [theirs, ours] = [await namespaces(pid), await namespaces('1')].map((each) =>
    each.split('\n'),
  )
  for (const [at, name] of ['mnt', 'user', 'ipc'].entries())
    assert.notEqual(theirs?.[at], ours?.[at], name)

  // Doctor asks the service, for root only, and takes nothing from it.
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
    /FAILED service +The service runs as another user .* Run doctor as root/,
  )
  const connects = sampleValue(await untilUp(), 'prosody_exporter_xmpp_connects_total')
  assert.equal(connects, 1)

  // What it sees of the machine is read-only, but for temporary files of its own and what the kernel shows.
  const mounts = await must('cat', `/proc/${pid}/mountinfo`)
  const writable = mounts
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, , , , , options]) => options?.split(',').includes('rw'))
    .map(([, , , , path]) => path)
  assert.deepEqual(
    writable.filter((path) => path && !/^\/(tmp|var\/tmp|dev|proc|run|sys)(\/|$)/.test(path)),
    [],
  )
  const environ = await must('cat', `/proc/${pid}/environ`)
  assert.match(
    environ,
    /XMPP_SECRET_FILE=\/run\/credentials\/prosody-exporter\.service\/xmpp\.secret/,
  )

  // Reload keeps the process; an upgrade replaces it; a removal ends it.
  await must('systemctl', 'reload', 'prosody-exporter')
  assert.equal(await property('MainPID'), pid)
  await must('dpkg', '--install', deb)
  await untilUp()
  assert.notEqual(await property('MainPID'), pid)
  // One that comes too early for the exporter to hear of it.
  await must('sh', '-c', 'systemctl restart prosody-exporter; systemctl reload prosody-exporter')
  await untilUp()
  assert.doesNotMatch(await journal(), /level=(warn|error)|No control socket/i)

  // Without what it needs, one line and no loop.
  await rm(join(root, SECRET_FILE))
  await writeFile(join(root, SECRET_FILE), '', { mode: 0o600 })
  await inside('systemctl', 'restart', 'prosody-exporter')
  await until(async () => (await property('ActiveState')) === 'failed', { what: 'it gives up' })
  assert.equal(await property('NRestarts'), '0')
  await must('dpkg', '--purge', 'prosody-exporter')
  assert.equal((await inside('test', '-e', '/etc/prosody-exporter')).code, 1)
  assert.equal((await inside('systemctl', 'is-enabled', 'prosody-exporter')).code, 4)
})

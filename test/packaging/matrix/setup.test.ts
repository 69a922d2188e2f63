// Runs `prosody-exporter setup` on a complete Debian with systemd and Prosody in its stock configuration.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compareListings, listFiles } from '../../support/file-listing.js'
import type { Machine } from '../../support/machine.js'
import { until } from '../../support/setup/process.js'
import { EXPORTER_PACKAGES, PACKAGE_NAMES, withInstalledExporter } from './exporter-packages.js'

const COMPONENT = '/etc/prosody/conf.d/prosody-exporter.cfg.lua'
const MODULE = '/usr/local/lib/prosody/modules/mod_adhoc_statistics'
const SECRET = '/etc/prosody-exporter/xmpp.secret'
const CONFIG = '/etc/prosody-exporter/prosody-exporter.yml'
const TOKEN = '/etc/prosody-exporter/alerts-token'
const DROP_IN = '/etc/systemd/system/prosody-exporter.service.d/alerts.conf'
const UNIT = '/etc/systemd/system/prosody-exporter.service'
const STATE = '/var/lib/prosody-exporter-state'

/** A program that takes the port of the exporter. */
const LISTEN = 'require("node:net").createServer().listen(9347, "127.0.0.1")'

/** What setup writes with each package. The Debian package itself has the module and the unit. */
const WRITTEN = {
  'npm package': [MODULE, UNIT],
  'Debian package': [],
}

for (const name of PACKAGE_NAMES) {
  test(`setup of the ${name} makes the exporter run with the stock Prosody of Debian, and its undo restores every file`, async (t) => {
    const prepare = (machine: Machine) => machine.shell('apt-get install prosody curl')
    const machine = await withInstalledExporter(t, 'xmpp', EXPORTER_PACKAGES[name], prepare)
    await untilListening(machine)
    const before = await listMachine(machine)
    const isEnabled = await machine.attempt('systemctl is-enabled prosody-exporter')
    const pid = () => machine.shell('systemctl show --value --property=MainPID prosody')
    const firstPid = await pid()
    const setup = (flags: string) => machine.shell(`prosody-exporter setup ${flags}`)

    // Without a change: --dry-run.
    const plan = await setup('--dry-run')
    for (const path of [COMPONENT, SECRET, ...WRITTEN[name]]) assert.ok(plan.includes(path), plan)
    assert.deepEqual(compareListings(before, await listMachine(machine)), [])
    assert.equal(await pid(), firstPid)

    // Without a restart of Prosody: --yes alone.
    const unfinished = await setup('--yes')
    assert.equal(await pid(), firstPid)
    assert.match(unfinished, /systemctl restart prosody/)
    await setup('--undo --yes')
    assert.equal(await pid(), firstPid)
    assert.deepEqual(compareListings(before, await listMachine(machine)), [])

    // The complete setup.
    const report = await setup('--yes --restart')
    assert.notEqual(await pid(), firstPid)
    await checkRunning(machine, report)
    await checkRights(machine)
    assert.equal(await machine.shell('systemctl is-enabled prosody-exporter'), 'enabled\n')
    const written = (await listMachine(machine)).filter((line) => !before.includes(line))
    for (const line of written.filter((line) => / file /.test(line))) {
      const [path = ''] = line.split(' ')
      assert.ok(report.includes(path), `setup does not name ${path}: ${report}`)
    }

    await until(async () => /\.history$/m.test(await machine.shell(`ls ${STATE}/`)), {
      what: 'the history file exists',
    })

    await checkAlerts(machine)
    await checkWrongRecipient(machine)
    await checkAlertsOff(machine)
    await setup('--yes --alerts=admin@localhost')

    // A second run changes nothing.
    const after = await listMachine(machine)
    const pids = await pidsOf(machine)
    await checkRunning(machine, await setup('--yes --restart'))
    assert.deepEqual(compareListings(after, await listMachine(machine)), [])
    assert.deepEqual(await pidsOf(machine), pids)

    // The undo restores everything.
    await setup('--undo --yes --restart')
    assert.deepEqual(compareListings(before, await listMachine(machine)), [])
    assert.deepEqual(await machine.attempt('systemctl is-enabled prosody-exporter'), isEnabled)
    assert.notEqual((await machine.attempt('systemctl is-active prosody-exporter')).code, 0)
    await untilListening(machine)
    await checkProsody(machine)
    const hosts = await machine.shell('prosodyctl shell host list')
    assert.doesNotMatch(hosts, /stats/)

    // If the service cannot start, setup says why in one line.
    await machine.shell(`systemd-run --quiet --unit=other node -e '${LISTEN}'`)
    await untilListening(machine, 9347)
    const { code, output } = await machine.attempt('prosody-exporter setup --yes >/dev/null')
    assert.match(output, /^prosody-exporter: The service does not start: .*address is in use.*\n$/)
    assert.equal(code, 1)
    await setup('--undo --yes')
    assert.deepEqual(compareListings(before, await listMachine(machine)), [])
  })
}

/** Checks what an operator sees after setup: its last lines, the metrics, the page, doctor and `prosodyctl`. */
async function checkRunning(machine: Machine, report: string) {
  assert.match(report, /All good/)
  assert.match(report, /^\s*http:\/\/127\.0\.0\.1:9347\/$|Open http:\/\/127\.0\.0\.1:9347\//m)
  assert.match(report, /job_name: prosody/)
  const metrics = await machine.shell('curl -s --fail http://127.0.0.1:9347/metrics')
  assert.match(metrics, /^xmpp_up 1$/m)
  assert.match(metrics, /^prosody_exporter_collector_success\{collector="registry"\} 1$/m)
  assert.match(metrics, /^prosody_info\{version="13\./m)
  const accept = "--header 'Accept: text/html'"
  assert.match(await machine.shell(`curl -s --fail ${accept} http://127.0.0.1:9347/`), /<html/)
  const doctor = await machine.shell('prosody-exporter doctor')
  assert.match(doctor.trim().split('\n').at(-1) ?? '', /^All good/)
  await checkProsody(machine)
}

/** Adds alerts to the machine. The service must be able to read the token, and the user is offline. */
async function checkAlerts(machine: Machine) {
  const pid = await machine.shell('systemctl show --value --property=MainPID prosody')
  await machine.shell('prosodyctl register admin localhost a-password')
  const report = await machine.shell('prosody-exporter setup --yes --alerts=admin@localhost')
  assert.match(report, /ok +test message +admin@localhost: Prosody accepted it/)
  assert.match(report, /^All good: Prosody accepted the test message for the recipient\.$/m)
  assert.match(report, /credentials_file: \/etc\/prosody-exporter\/alerts-token/)
  assert.match(report, /^Restarted the service prosody-exporter\.$/m)
  for (const path of [TOKEN, DROP_IN]) assert.ok(report.includes(path), report)
  const stored = await machine.shell('cat /var/lib/prosody/localhost/offline/admin.list')
  assert.match(stored, /Test message of prosody-exporter/)
  assert.equal(await machine.shell('systemctl show --value --property=MainPID prosody'), pid)
  const post = (token: string) =>
    machine.shell(
      `curl -s -o /dev/null -w '%{http_code}' -d '{}' -H "Authorization: Bearer ${token}" http://127.0.0.1:9347/alerts`,
    )
  // The exporter accepts the token, and then rejects the empty notification.
  assert.equal(await post(`$(cat ${TOKEN})`), '400')
  assert.equal(await post('other'), '401')
}

/** Setup says how to correct a recipient that does not exist, and an operator does so. */
async function checkWrongRecipient(machine: Machine) {
  const { code, output } = await machine.attempt(
    'prosody-exporter setup --yes --alerts=amdin@localhost',
  )
  assert.match(output, /FAILED test message +amdin@localhost: rejected: there is no such user/)
  assert.match(
    output,
    /^Setup has added amdin@localhost to .*\.yml\. If a JID is wrong, .* reload/m,
  )
  assert.equal(code, 1)
  await machine.shell(`sed -i 's/, "amdin@localhost"//' ${CONFIG}`)
  await machine.shell('systemctl reload prosody-exporter')
  await until(
    async () => (await machine.attempt('prosody-exporter doctor --send-test')).code === 0,
    { what: 'every recipient has the test message' },
  )
}

/** An operator turns the alerts off, in fewer or more steps. Setup leaves them off, and the service can start. */
async function checkAlertsOff(machine: Machine) {
  const removals = [
    '',
    `rm ${TOKEN}`,
    `rm ${DROP_IN}; systemctl daemon-reload; rm ${TOKEN}`,
    `rm ${DROP_IN} ${TOKEN}`, // without daemon-reload
  ]
  for (const remove of removals) {
    // The test restarts the service more often than systemd allows (StartLimitBurst=).
    await machine.shell('systemctl reset-failed prosody-exporter')
    await machine.shell(`sed -i -z 's/\\n# Alerts that.*//' ${CONFIG}\n${remove}`)
    assert.match(
      await machine.shell('prosody-exporter setup --yes'),
      /^To get alerts as XMPP mess/m,
    )
    await machine.shell('systemctl restart prosody-exporter')
    const post = `curl -s -o /dev/null -w '%{http_code}' -d '{}' http://127.0.0.1:9347/alerts`
    await until(async () => (await machine.attempt(post)).output === '404', {
      what: 'the exporter runs without alerts',
    })
    await machine.shell('prosody-exporter setup --yes --alerts=admin@localhost')
  }
}

async function checkProsody(machine: Machine) {
  const check = await machine.shell('prosodyctl check config')
  assert.match(check, /All checks passed/)
  assert.doesNotMatch(check, /adhoc_statistics|component|statistics/)
}

/** Checks that only root and Prosody can read the files with the secret. */
async function checkRights(machine: Machine) {
  const read = (user: string, path: string) =>
    machine.attempt(`setpriv --reuid=${user} --regid="$(id -g ${user})" --init-groups cat ${path}`)
  const component = await read('prosody', COMPONENT)
  assert.equal(component.code, 0, component.output)
  const [, secret = ''] = /component_secret = "([^"]+)"/.exec(component.output) ?? []
  assert.equal((await machine.shell(`cat ${SECRET}`)).trim(), secret)
  assert.ok(secret.length >= 32)
  assert.notEqual((await read('nobody', COMPONENT)).code, 0)
  for (const user of ['prosody', 'nobody']) assert.notEqual((await read(user, SECRET)).code, 0)
  assert.equal(
    await machine.shell(`stat --format='%U:%G %a' ${COMPONENT} ${SECRET}`),
    'root:prosody 640\nroot:root 600\n',
  )
}

/** Waits until a program listens on a port, by default Prosody for its clients. */
async function untilListening(machine: Machine, port = 5222) {
  await until(async () => (await machine.shell(`ss -Hltn sport = ${port}`)) !== '', {
    what: `a program listens on port ${port}`,
  })
}

const pidsOf = (machine: Machine) =>
  machine.shell('systemctl show --value --property=MainPID prosody prosody-exporter')

/**
 * Lists the files that setup could change. Omits Prosody's own data, and what systemd changes while it runs: the
 * state of timers, the seed for random numbers, and links to the directories of services with a dynamic user. The exporter
 * writes its history file every five minutes.
 */
const listMachine = ({ root }: Machine) =>
  listFiles(
    root,
    ['/etc', '/usr/lib/systemd', '/usr/lib/prosody', '/usr/local', '/var/lib'],
    (path) =>
      /^\/var\/lib\/(prosody|systemd\/(timers|random-seed|timesync)|.*\.history)$/.test(path),
  )

// Runs `prosody-exporter setup` from the checkout, on a small Debian with the stock configuration of Prosody and
// without systemd. test/packaging/matrix/setup.test.ts runs it on complete machines.

import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { after, afterEach, before, describe, test } from 'node:test'
import { parse } from 'yaml'
import { commandFor, findProsody } from '../support/setup/installation.js'
import { launch, temporaryDirectory, until } from '../support/setup/process.js'
import { compareListings } from '../support/file-listing.js'
import { prosodyVersions, type Version } from '../support/prosody.js'
import {
  CONFIG,
  EXPORTER,
  withStockMachine,
  type Ended,
  type StockMachine,
} from '../support/stock-machine.js'

const COMPONENT = '/etc/prosody/conf.d/prosody-exporter.cfg.lua'
const PLUGINS = '/usr/local/lib/prosody/modules'
const MODULE = `${PLUGINS}/mod_adhoc_statistics/mod_adhoc_statistics.lua`
const EXPORTER_CONFIG = '/etc/prosody-exporter/prosody-exporter.yml'
const SECRET = '/etc/prosody-exporter/xmpp.secret'
const TOKEN = '/etc/prosody-exporter/alerts-token'
const RECORD = '/var/lib/prosody-exporter/setup.json'
const WRITTEN = [RECORD, MODULE, EXPORTER_CONFIG, SECRET, COMPONENT]
const ALL = ['setup', '--yes', '--restart']
const UNDO = ['setup', '--undo', '--yes', '--restart']

const PID_FILE = '/run/prosody/prosody.pid'
// The machine has its own processes, so this stops only its own Prosody.
const STOP = `pkill -KILL -x lua5.4; while pgrep -x lua5.4; do sleep 0.1; done; rm -f ${PID_FILE}`

/** The tests of a suite share a machine. */
const ONE_BY_ONE = { concurrency: 1 }

type Dialog = readonly (readonly [question: RegExp, answer: string])[]

const CTRL_C = '\x03'
const CTRL_D = '\x04'

/** Starts one machine for all tests of a suite. After each test, its files are as before. */
function useMachine(version?: Version): () => StockMachine {
  let machine: StockMachine | undefined
  const ends: (() => Promise<void>)[] = []
  before(async () => {
    const options = version === undefined ? {} : { version }
    machine = await withStockMachine({ after: (end) => ends.push(end) }, options)
  })
  afterEach(async () => {
    await machine?.run('sh', '-c', STOP)
    await machine?.reset()
  })
  after(async () => {
    for (const end of ends.reverse()) await end()
  })
  return () => machine ?? assert.fail('the machine did not start')
}

async function succeeds(machine: StockMachine, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await machine.exporter(...args)
  assert.equal(code, 0, stdout + stderr)
  assert.equal(stderr, '')
  return stdout
}

/** Runs setup, which must fail with one line on standard error and change no file. */
async function fails(machine: StockMachine, args: readonly string[], message: RegExp) {
  const files = await machine.list()
  const { code, stdout, stderr } = await machine.exporter(...args)
  assert.match(stderr, /^prosody-exporter: [^\n]+\n$/, stdout)
  assert.match(stderr, message)
  assert.equal(code, 1)
  await assertFiles(machine, files)
}

async function assertFiles(machine: StockMachine, expected: readonly string[]) {
  assert.deepEqual(compareListings(expected, await machine.list()), [])
}

/** Returns the process id of Prosody. Prosody writes it after its start script has ended. */
const pidOf = (machine: StockMachine) =>
  until(async () => (await machine.attempt('cat', PID_FILE)).stdout, { what: 'Prosody runs' })

// The suites mostly wait for servers, and each has its own machine.
describe('prosody-exporter setup', { concurrency: 4 }, () => {
  for (const version of prosodyVersions) {
    describe(`setup with Prosody ${version}`, ONE_BY_ONE, () => {
      const getMachine = useMachine(version)

      test(`setup configures the stock Prosody ${version}, a second run changes nothing, and the undo restores every file`, async () => {
        const machine = getMachine()
        const stock = await machine.list()
        await machine.run('service', 'prosody', 'start')
        const pid = await pidOf(machine)
        const plan = await succeeds(machine, ['setup', '--dry-run'])
        for (const path of [MODULE, EXPORTER_CONFIG, SECRET, COMPONENT])
          assert.ok(plan.includes(path), plan)
        await assertFiles(machine, stock)
        assert.equal(await pidOf(machine), pid)

        const report = await succeeds(machine, ALL)
        for (const path of WRITTEN) assert.ok(report.includes(path), `${path}: ${report}`)
        assert.match(report, /prosody-exporter --config\.file=\/etc\/prosody-exporter/)
        const newPid = await pidOf(machine)
        assert.notEqual(newPid, pid)

        const files = await machine.list()
        await succeeds(machine, ALL)
        await assertFiles(machine, files)
        assert.equal(await pidOf(machine), newPid)

        await succeeds(machine, UNDO)
        await assertFiles(machine, stock)
        assert.notEqual(await pidOf(machine), newPid)
      })
    })
  }

  describe('setup in odd situations', ONE_BY_ONE, () => {
    const getMachine = useMachine('13.0.1')

    test('setup --yes does not restart Prosody, and a second run finishes after the operator did', async () => {
      const machine = getMachine()
      await machine.run('service', 'prosody', 'start')
      const pid = await pidOf(machine)
      const report = await succeeds(machine, ['setup', '--yes'])
      assert.match(report, /restart Prosody.*: service prosody restart$/m)
      assert.equal(await pidOf(machine), pid)
      await machine.run('service', 'prosody', 'restart')
      const restarted = await pidOf(machine)
      await succeeds(machine, ['setup', '--yes'])
      assert.equal(await pidOf(machine), restarted)
    })

    test('setup uses the first of several component ports', async () => {
      const machine = getMachine()
      await machine.prepend(CONFIG, 'component_ports = { 5350, 5347 }\n')
      await succeeds(machine, ALL)
      assert.match(await machine.read(EXPORTER_CONFIG), /service: xmpp:\/\/127\.0\.0\.1:5350$/m)
    })

    test('setup without a directory in the configuration names the line to add, and a second run finishes', async () => {
      const machine = getMachine()
      const text = await machine.read(CONFIG)
      await machine.write(CONFIG, text.replace(/^Include .*$/m, ''))
      const stock = await machine.list()
      const { code, stderr } = await machine.exporter(...ALL)
      assert.equal(code, 1)
      const [, line = '', file] =
        /^prosody-exporter: .* (Include "\S+") .* (\/\S+), .*\n$/.exec(stderr) ?? []
      assert.equal(file, CONFIG, stderr)
      await machine.append(CONFIG, `${line}\n`)
      await succeeds(machine, ALL)
      assert.match(await machine.run('prosodyctl', 'check', 'config'), /All checks passed/)
      await machine.write(CONFIG, text.replace(/^Include .*$/m, ''))
      await succeeds(machine, UNDO)
      await assertFiles(machine, stock)
    })

    test('setup refuses if statistics has another value', async () => {
      const machine = getMachine()
      await machine.prepend(CONFIG, 'statistics = "statsd"\n')
      await fails(machine, ALL, /statistics = "statsd".*"internal"/)
    })

    test('setup refuses if Prosody has no VirtualHost', async () => {
      const machine = getMachine()
      await machine.remove('/etc/prosody/conf.d/localhost.cfg.lua')
      const text = await machine.read(CONFIG)
      await machine.write(CONFIG, text.replace(/^VirtualHost .*$/m, ''))
      await fails(machine, ALL, /no VirtualHost.*VirtualHost "example\.com"/)
    })

    for (const [kind, section] of [
      ['VirtualHost', 'VirtualHost "stats.example.com"'],
      ['component of Prosody', 'Component "stats.example.com" "muc"'],
      ['external component', 'Component "stats.example.com"\n  component_secret = "x"'],
    ] as const) {
      test(`setup refuses the name of another ${kind}, and --domain chooses a free name`, async () => {
        const machine = getMachine()
        await machine.append(CONFIG, `\nVirtualHost "example.com"\n${section}\n`)
        await fails(machine, ALL, /"stats\.example\.com".*--domain/)
        const plan = await succeeds(machine, [
          'setup',
          '--dry-run',
          '--domain=exporter.example.com',
        ])
        assert.match(plan, /^ +Component "exporter\.example\.com"$/m)
      })
    }

    for (const directory of ['/etc/prosody/conf.d', PLUGINS, '/var/lib']) {
      test(`setup changes nothing if ${directory} is read-only`, async () => {
        const machine = getMachine()
        await machine.run('mkdir', '-p', directory)
        await machine.run('mount', '--bind', directory, directory)
        await machine.run('mount', '-o', 'remount,bind,ro', directory)
        try {
          await fails(machine, ALL, new RegExp(`Cannot write ${directory}/\\S+: .*read-only`, 'i'))
        } finally {
          await machine.run('umount', directory)
        }
      })
    }

    test('setup refuses if it does not run as root', async () => {
      const machine = getMachine()
      const files = await machine.list()
      const { code, stderr } = await asOther(machine, ...EXPORTER, ...ALL)
      assert.match(stderr, /^prosody-exporter: .*as root.*sudo prosody-exporter setup\n$/)
      assert.equal(code, 1)
      await assertFiles(machine, files)
    })

    test('setup refuses if Prosody cannot read its configuration', async () => {
      const machine = getMachine()
      await machine.append(CONFIG, '\nVirtualHost "example.com\n')
      await fails(machine, ALL, /cannot read its configuration: .*prosody\.cfg\.lua/)
    })

    test('setup without a terminal refuses to ask, and names --yes', async () => {
      const machine = getMachine()
      await fails(machine, ['setup'], /not a terminal.*--yes/)
    })

    test('setup changes nothing if the operator answers no, or presses Ctrl-C or Ctrl-D at the first question', async () => {
      const machine = getMachine()
      const files = await machine.list()
      for (const [dialog, message] of [
        [
          [
            [/stats\.localhost/, '\n'],
            [/Write these files/, 'n\n'],
          ],
          /^prosody-exporter: Nothing was changed\.$/m,
        ],
        [[[/stats\.localhost/, CTRL_C]], /^prosody-exporter: Setup was interrupted\. Nothing /m],
        [[[/stats\.localhost/, CTRL_D]], /^prosody-exporter: Setup was interrupted\. Nothing /m],
      ] as const) {
        const { code, output } = await answer(machine, dialog)
        assert.match(output, message)
        assert.equal(code, 1)
        await assertFiles(machine, files)
      }
    })
  })

  describe('setup after an interruption', ONE_BY_ONE, () => {
    const getMachine = useMachine('13.0.1')

    test('after Ctrl-C at the question whether to restart Prosody, a second run finishes, and the undo restores every file', async () => {
      const machine = getMachine()
      const stock = await machine.list()
      await machine.run('service', 'prosody', 'start')
      const pid = await pidOf(machine)
      const { code, output } = await answer(machine, [
        [/stats\.localhost/, 'stats.example.com\n'],
        [/Write these files/, '\n'],
        [/Restart Prosody now/, CTRL_C],
      ])
      assert.equal(code, 1)
      assert.match(output, /^prosody-exporter: Setup was interrupted\. Run it again .*--undo/m)
      assert.equal(await pidOf(machine), pid)

      const secret = await machine.read(SECRET)
      await succeeds(machine, ALL)
      assert.notEqual(await pidOf(machine), pid)
      assert.equal(await machine.read(SECRET), secret)
      assert.match(await machine.read(COMPONENT), /^Component "stats\.example\.com"$/m)
      await succeeds(machine, UNDO)
      await assertFiles(machine, stock)
    })

    for (const path of [RECORD, MODULE, COMPONENT]) {
      test(`after SIGKILL as soon as ${path} exists, Prosody can start, and a second run finishes or undoes the setup`, async () => {
        const machine = getMachine()
        const stock = await machine.list()
        await killWhenExists(machine, path)
        await succeeds(machine, UNDO)
        await assertFiles(machine, stock)

        await killWhenExists(machine, path)
        await machine.run('service', 'prosody', 'start')
        await succeeds(machine, ALL)
        await succeeds(machine, UNDO)
        await assertFiles(machine, stock)
      })
    }

    test('a second run removes the temporary file of a setup that was killed', async () => {
      const machine = getMachine()
      await succeeds(machine, ['setup', '--yes'])
      const files = await machine.list()
      await machine.write('/etc/prosody-exporter/.xmpp.secret.setup', 'secret')
      await succeeds(machine, ['setup', '--yes'])
      await assertFiles(machine, files)
    })

    test('a second run restarts Prosody if the restart of the first run had no effect', async () => {
      const machine = getMachine()
      // With another component, Prosody listens on the port for components from the start.
      await machine.append(CONFIG, '\nComponent "a.example.com"\n  component_secret = "a"\n')
      await machine.run('service', 'prosody', 'start')
      const pid = await pidOf(machine)
      const script = '/etc/init.d/prosody'
      const text = await machine.read(script)
      await machine.write(script, '#!/bin/sh\n')
      const { code, stdout } = await machine.exporter(...ALL)
      assert.equal(code, 1)
      assert.match(stdout, /FAILED/)
      assert.equal(await pidOf(machine), pid)
      await machine.write(script, text)
      await succeeds(machine, ALL)
      assert.notEqual(await pidOf(machine), pid)
    })
  })

  describe('setup --alerts', ONE_BY_ONE, () => {
    const getMachine = useMachine('13.0.1')
    const checkConfig = async (machine: StockMachine) => {
      const flag = `--config.file=${EXPORTER_CONFIG}`
      assert.match(await succeeds(machine, ['--config.check', flag]), /configuration is valid/)
      return parse(await machine.read(EXPORTER_CONFIG)) as { alerts?: unknown }
    }

    test('setup adds the alerts to a machine that is set up, later runs keep them, and the undo restores every file', async () => {
      const machine = getMachine()
      await machine.append(CONFIG, '\nComponent "rooms.localhost" "muc"\n')
      await machine.append('/etc/group', 'prometheus:x:115:\n')
      const stock = await machine.list()
      await succeeds(machine, ALL)
      const pid = await pidOf(machine)
      const plan = await succeeds(machine, ['setup', '--dry-run', '--alerts=admin@localhost'])
      assert.match(plan, new RegExp(`^ {2}update: ${EXPORTER_CONFIG}\n {2}create: ${TOKEN}$`, 'm'))

      const jids = 'admin@localhost,ops@rooms.localhost,me@far.example'
      const report = await succeeds(machine, ['setup', '--yes', `--alerts=${jids}`])
      assert.equal(await pidOf(machine), pid)
      assert.match(report, /^ {2}ops@rooms\.localhost: room\n {2}me@far\.example: person, not on/m)
      assert.match(report, /^Other servers .*stats\.localhost has a DNS/m)
      assert.match(report, /^Alert rules .*: \/.*\/deploy\/prometheus\/rules\.yml$/m)
      assert.doesNotMatch(report, /chgrp/)
      assert.match(report, /^ +- url: http:\/\/127\.0\.0\.1:9347\/alerts$/m)
      assert.match(report, /doctor --send-test$/m)
      const token = (await machine.read(TOKEN)).trim()
      assert.match(token, /^[0-9a-f]{64}$/)
      assert.ok(!report.includes(token))
      const rights = await machine.run('stat', '--format=%u:%g %a', TOKEN)
      assert.equal(rights, process.getuid?.() === 0 ? '0:115 640\n' : rights)
      const rooms = ['ops@rooms.localhost']
      const expected = {
        to: ['admin@localhost', 'me@far.example'],
        rooms,
        token_file: 'alerts-token',
      }
      assert.deepEqual((await checkConfig(machine)).alerts, expected)

      const files = await machine.list()
      await succeeds(machine, ['setup', '--yes'])
      await succeeds(machine, ['setup', '--yes', '--alerts=admin@localhost'])
      await assertFiles(machine, files)
      await succeeds(machine, ['setup', '--yes', '--alerts=b@localhost'])
      assert.deepEqual((await checkConfig(machine)).alerts, {
        ...expected,
        to: [...expected.to, 'b@localhost'],
      })
      assert.equal((await machine.read(TOKEN)).trim(), token)

      await succeeds(machine, UNDO)
      await assertFiles(machine, stock)
    })

    test('setup adds the alerts to a configuration that the operator has changed, and later runs keep its changes', async () => {
      const machine = getMachine()
      await succeeds(machine, ALL)
      await machine.append(EXPORTER_CONFIG, '\n# mine\ncollection: { min_age: 1s }\n')
      const edited = await machine.read(EXPORTER_CONFIG)
      const report = await succeeds(machine, ['setup', '--yes', '--alerts=admin@localhost'])
      // This machine has no group of Alertmanager.
      assert.match(report, /^Alertmanager must be able to read .*: chgrp prometheus/m)
      assert.match(await machine.run('stat', '--format=%u:%g %a', TOKEN), /^0:0 600$/m)
      assert.match(report, new RegExp(`^ {2}add alerts: ${EXPORTER_CONFIG}$`, 'm'))
      assert.ok((await machine.read(EXPORTER_CONFIG)).startsWith(edited))
      const { alerts } = await checkConfig(machine)
      assert.deepEqual(alerts, { to: ['admin@localhost'], token_file: 'alerts-token' })

      const files = await machine.list()
      for (const more of [[], ['--alerts=admin@localhost']])
        await succeeds(machine, ['setup', '--yes', ...more])
      await assertFiles(machine, files)
      await fails(
        machine,
        ['setup', '--yes', '--alerts=b@localhost'],
        /Add b@localhost to alerts\.to by hand, and run/,
      )

      const { code, stdout } = await machine.exporter(...UNDO)
      assert.equal(code, 1)
      assert.match(stdout, new RegExp(`^Kept ${EXPORTER_CONFIG}`, 'm'))
      assert.equal((await machine.attempt('ls', TOKEN)).code, 2)
    })
  })

  describe('setup after an operator has changed the alerts', ONE_BY_ONE, () => {
    const getMachine = useMachine('13.0.1')
    const SECTION = /^# Alerts that[^]*?alerts-token\n/m

    for (const [what, remove] of [
      ['and the token', (machine: StockMachine) => machine.remove(TOKEN)],
      ['but not the token', () => Promise.resolve()],
    ] as const) {
      test(`setup leaves alerts off if the operator has removed the section ${what}, and --alerts turns them on`, async () => {
        const machine = getMachine()
        const alertsOf = async () =>
          (parse(await machine.read(EXPORTER_CONFIG)) as { alerts?: { to?: unknown } }).alerts
        await succeeds(machine, ALL)
        const withoutAlerts = await machine.read(EXPORTER_CONFIG)
        for (const rest of [withoutAlerts, `${withoutAlerts}\n# mine\n`]) {
          await succeeds(machine, ['setup', '--yes', '--alerts=admin@localhost'])
          assert.match(await machine.read(EXPORTER_CONFIG), SECTION)
          await machine.write(EXPORTER_CONFIG, rest)
          await remove(machine)
          const files = await machine.list()
          const report = await succeeds(machine, ['setup', '--yes'])
          await assertFiles(machine, files)
          assert.match(report, /^To get alerts as XMPP messages: /m)
          assert.equal(await alertsOf(), undefined)
        }
        await succeeds(machine, ['setup', '--yes', '--alerts=b@localhost'])
        assert.deepEqual((await alertsOf())?.to, ['b@localhost'])
      })
    }

    test('setup changes no recipients and adds no token if the operator has written the section', async () => {
      const machine = getMachine()
      await succeeds(machine, ALL)
      await machine.append(EXPORTER_CONFIG, 'alerts: { to: [Admin@Localhost], token_file: mine }\n')
      await machine.write('/etc/prosody-exporter/mine', 'a token\n')
      await machine.run('chmod', '600', '/etc/prosody-exporter/mine')
      const files = await machine.list()
      for (const more of [[], ['--alerts=admin@localhost']]) {
        const report = await succeeds(machine, ['setup', '--yes', ...more])
        assert.doesNotMatch(report, /To get alerts|alerts-token/)
      }
      await assertFiles(machine, files)
    })
  })

  describe('setup on a machine without Prosody', ONE_BY_ONE, () => {
    const getMachine = useMachine()

    test('setup refuses if there is no Prosody', async () => {
      await fails(getMachine(), ALL, /not installed.*machine that runs Prosody/)
    })

    test('setup refuses if Prosody runs in a container', async (t) => {
      const machine = getMachine()
      const directory = await temporaryDirectory('prosody-exporter-container')
      t.after(() => directory.remove())
      // Prosody runs with the files of the host, but among the processes of the machine.
      const installation = await findProsody('13.0.1')
      await writeFile(join(directory.path, 'prosody.cfg.lua'), CONTAINER)
      const command = await commandFor(installation, 'prosody', directory.path)
      const start = ['sh', '-c', 'echo "process $$"; exec "$@"', 'sh', ...command, '-F']
      const [program = '', ...args] = machine.outside(start)
      const prosody = launch(program, args, { env: installation.env })
      t.after(() => prosody.exited)
      await until(() => prosody.output().includes('Activated service'), { what: 'Prosody runs' })
      const [, pid = ''] = /^process (\d+)$/m.exec(prosody.output()) ?? []
      await fails(machine, ALL, new RegExp(`in a container \\(process ${pid}\\)`))
    })
  })
})

const CONTAINER = `
run_as_root = true
log = { info = "*console" }
VirtualHost "example.com"
`

/** Runs a program on the machine as another user than root. */
async function asOther(machine: StockMachine, ...command: string[]): Promise<Ended> {
  // Without root on the host, the machine has no other user than root, so the program runs on the host.
  if (process.getuid?.() !== 0) {
    const child = launch(process.execPath, command.slice(1))
    return { code: await child.exited, stdout: child.stdout(), stderr: child.stderr() }
  }
  const program = `const { status } = require("node:child_process").spawnSync(process.argv[1], process.argv.slice(2),
    { uid: 65534, gid: 65534, stdio: "inherit" }); process.exit(status)`
  return await machine.attempt('node', '-e', program, ...command)
}

/**
 * Runs setup on a terminal and answers its questions. Types each answer only after its question, because setup
 * ignores earlier input.
 */
async function answer(machine: StockMachine, dialog: Dialog) {
  const setup = machine.open(...EXPORTER, 'setup')
  for (const [question, text] of dialog) {
    await until(() => question.test(setup.output()) || !setup.running(), { what: String(question) })
    setup.type(text)
  }
  await until(() => !setup.running(), { what: 'setup ends' })
  const code = await setup.exited
  return { code, output: setup.output().replaceAll('\r', '') }
}

/** Starts setup and kills it when it has written the file. */
async function killWhenExists(machine: StockMachine, path: string): Promise<void> {
  const kill = `"$@" >/dev/null 2>&1 & while [ ! -e "$file" ]; do kill -0 $! || exit 1; done; kill -KILL $!; wait $! || true`
  await machine.run('env', `file=${path}`, 'sh', '-c', kill, 'sh', ...EXPORTER, ...ALL)
}

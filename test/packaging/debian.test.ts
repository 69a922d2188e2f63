import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { appendFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { findProsody } from '../support/setup/installation.js'
import { findMandoc } from '../support/setup/programs.js'
import { freePort, launch, root, run, until } from '../support/setup/process.js'
import { inRoot } from '../support/setup/root-directory.js'
import { httpGet } from '../support/exporter.js'
import { prosodyVersions, withProsody } from '../support/prosody.js'
import { sampleValue } from '../support/real.js'
import { putPackage, withSmallDebian, type SmallDebian } from '../support/small-debian.js'

const CONFIG = 'etc/prosody-exporter/prosody-exporter.yml'
const SECRET = 'etc/prosody-exporter/xmpp.secret'
const ALERTS = 'etc/systemd/system/prosody-exporter.service.d/alerts.conf'
const SERVICE = '/usr/lib/systemd/system/prosody-exporter.service'
const WANTED = 'etc/systemd/system/multi-user.target.wants/prosody-exporter.service'
const MODULES = 'usr/lib/prosody/modules'

const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
  version: string
}

// The tests run in order on the same system. They install, use, upgrade, remove and purge the package.
describe('the Debian package', () => {
  let debian: SmallDebian
  let deb: string
  let untouched: string[]
  const ends: (() => Promise<void>)[] = []

  before(async () => {
    debian = await withSmallDebian({ after: (end) => ends.push(end) })
    deb = await putPackage(debian)
    untouched = await filesOf(debian)
  })
  after(async () => {
    for (const end of ends) await end()
  })

  test('the Debian package cannot be installed if Node.js is too old', async () => {
    const status = join(debian.root, 'var/lib/dpkg/status')
    const text = await readFile(status, 'utf8')
    const version = /^(?<=Package: nodejs\n(?:.+\n)*?)Version: .+$/m
    const older = text.replace(version, 'Version: 18.20.4')
    await writeFile(status, older)
    const { code, output } = await debian.attempt('dpkg', '--install', deb)
    assert.notEqual(code, 0)
    assert.match(output, /prosody-exporter depends on nodejs \(>= 20\)/)
    await debian.run('dpkg', '--purge', 'prosody-exporter')
    await writeFile(status, text)
  })

  test('without a running systemd, the Debian package is installed and its service enabled, but not started', async () => {
    await debian.run('dpkg', '--install', deb)
    assert.match(await debian.run('dpkg', '--status', 'prosody-exporter'), /install ok installed/)
    assert.equal(await debian.run('prosody-exporter', '--version'), `prosody-exporter ${version}\n`)
    assert.ok((await readdir(join(debian.root, WANTED, '..'))).includes('prosody-exporter.service'))
    const program = await readdir(join(debian.root, 'usr/lib/prosody-exporter'))
    assert.deepEqual(program.sort(), ['deploy', 'dist', 'docs', 'node_modules', 'package.json'])
    // The page links to these files.
    const linked = ['deploy/grafana/prosody.json', 'deploy/prometheus/rules.yml']
    for (const name of [...linked, 'docs/metrics.md', 'docs/operations.md'])
      assert.ok(existsSync(join(debian.root, 'usr/lib/prosody-exporter', name)), name)
    for (const name of ['prometheus/rules.yml', 'grafana/prosody.json', 'config.schema.json'])
      assert.ok(existsSync(join(debian.root, 'usr/share/prosody-exporter', name)), name)
    for (const name of ['README.md', 'docs/install.md', 'docs/metrics.md'])
      assert.ok(existsSync(join(debian.root, 'usr/share/doc/prosody-exporter', name)), name)
    // Lists the files of the package that users other than root can write.
    const files = await debian.run('dpkg', '--listfiles', 'prosody-exporter')
    const findWritable = ['find', ...files.trim().split('\n'), '-maxdepth', '0', '-perm', '/022']
    assert.equal(await debian.run(...findWritable, '-not', '-type', 'l'), '')
  })

  test('mandoc finds no mistake in the manual page of the Debian package, and renders it', async () => {
    const page = join(debian.root, 'usr/share/man/man1/prosody-exporter.1.gz')
    const { command, env } = await findMandoc()
    const lint = await run(command, ['-T', 'lint', '-W', 'warning', page], { env })
    assert.deepEqual(lint, { ...lint, code: 0, output: '' })
    const { stdout } = await run(command, ['-T', 'ascii', '-O', 'width=200', page], { env })
    const text = stdout.replace(/.\x08/g, '')
    assert.match(
      text,
      /^PROSODY-EXPORTER\(1\) .*\n\nNAME\n +prosody-exporter - Prometheus exporter/,
    )
    assert.match(text, /^ +--xmpp\.domain=JID\n +Domain of the component/m)
    assert.ok(
      text.trimEnd().split('\n').at(-1)!.includes(`prosody-exporter ${version}`),
      text.slice(-200),
    )
  })

  test('systemd-analyze verify finds no problem in the units of the Debian package', async () => {
    assert.equal((await debian.run('systemd-analyze', 'verify', '--man=no', SERVICE)).trim(), '')
    const socket = SERVICE.replace('.service', '.socket')
    assert.equal((await debian.run('systemd-analyze', 'verify', '--man=no', socket)).trim(), '')
  })

  test('systemd-analyze security rates the exposure of the service as at most 1.3', async () => {
    const analyze = ['systemd-analyze', 'security', '--offline=true', '--no-pager']
    const output = await debian.run(...analyze, SERVICE)
    const [, exposure] = /Overall exposure level for \S+: ([\d.]+)/.exec(output) ?? []
    assert.ok(exposure !== undefined && Number(exposure) <= 1.3, output)
  })

  test('the Debian package has an empty directory for the configuration that setup writes', async () => {
    assert.deepEqual(await readdir(join(debian.root, CONFIG, '..')), [])
    const yaml = 'servers:\n  - domain: stats.example.com\n    secret_file: xmpp.secret\n'
    await writeFile(join(debian.root, CONFIG), yaml)
    const check = ['prosody-exporter', '--config.check', `--config.file=/${CONFIG}`]
    assert.match(
      (await debian.attempt(...check)).output,
      /secret_file: there is no such file in "\/etc\/prosody-exporter"/,
    )
    await writeFile(join(debian.root, SECRET), 'secret\n', { mode: 0o600 })
    assert.match(await debian.run(...check), /the configuration is valid/)
  })

  for (const prosodyVersion of prosodyVersions) {
    test(`the Debian package installs mod_adhoc_statistics where Prosody ${prosodyVersion} finds it, and the exporter exports its statistics`, async (t) => {
      const { script } = await findProsody(prosodyVersion)
      assert.match(
        await readFile(script, 'utf8'),
        /^CFG_PLUGINDIR='\/usr\/lib\/prosody\/modules\/'/m,
      )
      const prosody = await withProsody(t, {
        version: prosodyVersion,
        pluginPaths: [join(debian.root, MODULES)],
      })
      const port = await freePort()
      const [domain = ''] = prosody.statsDomains
      const args = [`--config.file=/${CONFIG}`, `--web.listen-address=127.0.0.1:${port}`]
      const flags = [`--xmpp.service=${prosody.service}`, `--xmpp.domain=${domain}`]
      const [command = '', ...rest] = inRoot(debian.root, ['prosody-exporter', ...args, ...flags])
      const child = launch(command, rest)
      t.after(() => child.stop())
      const text = await until(
        async () => {
          assert.ok(child.running(), child.stderr())
          const answer = await httpGet(`http://127.0.0.1:${port}/metrics`).catch(() => undefined)
          return answer && sampleValue(answer.text, 'xmpp_up') === 1 && answer.text
        },
        { what: 'the exporter is up' },
      )
      assert.match(text, /^prosody_mod_muc__live_room/m)
      assert.equal(sampleValue(text, 'prosody_exporter_collector_success{collector="registry"}'), 1)
    })
  }

  test('an upgrade of the Debian package keeps a changed configuration file and a disabled service', async () => {
    await appendFile(join(debian.root, CONFIG), '# local change\n')
    await rm(join(debian.root, WANTED))
    await debian.run('dpkg', '--install', deb)
    assert.match(await readFile(join(debian.root, CONFIG), 'utf8'), /# local change\n$/)
    assert.equal(existsSync(join(debian.root, WANTED)), false)
  })

  test('after the removal of the Debian package, only its configuration remains, and after a purge nothing', async () => {
    await debian.run('dpkg', '--remove', 'prosody-exporter')
    const remaining = (await filesOf(debian)).filter((file) => !untouched.includes(file))
    assert.deepEqual(
      remaining.filter((file) => /^\/(usr|etc\/(default|prosody))/.test(file)),
      ['/etc/default/prosody-exporter', '/etc/prosody-exporter', `/${CONFIG}`, `/${SECRET}`],
    )
    // `prosody-exporter setup --alerts` writes this file.
    await mkdir(join(debian.root, dirname(ALERTS)), { recursive: true })
    await writeFile(join(debian.root, ALERTS), '')
    await debian.run('dpkg', '--purge', 'prosody-exporter')
    assert.deepEqual(await filesOf(debian), untouched)
  })
})

/** Returns all files of the system, except the files of dpkg. */
async function filesOf({ root }: SmallDebian): Promise<string[]> {
  const { stdout } = await run('find', [root, '-xdev', '-not', '-path', '*/var/lib/dpkg/*'])
  const files = stdout.split('\n').map((line) => line.slice(root.length))
  // The list has no mount points, logs and temporary files.
  return files
    .filter((file) => !/^\/(dev|proc|run|tmp|sys|var\/log)/.test(file) && file !== '')
    .sort()
}

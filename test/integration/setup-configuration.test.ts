import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, test, type TestContext } from 'node:test'
import { findProsodyInstallation } from '../../src/cli/setup/prosody-installation.js'
import { commandFor, findProsody } from '../support/setup/installation.js'
import { root, temporaryDirectory } from '../support/setup/process.js'
import { everyVersion, type Version } from '../support/prosody.js'

const NAME = 'prosody-exporter.cfg.lua'

/** Creates a Prosody whose prosodyctl is in PATH, with the given configuration. */
async function createInstallation(t: TestContext, version: Version, configuration: string) {
  const { path: directory, remove } = await temporaryDirectory('prosody-exporter-setup')
  t.after(remove)
  for (const name of ['conf.d', 'data']) await mkdir(join(directory, name))
  await writeFile(join(directory, 'prosody.cfg.lua'), configuration)
  const installation = await findProsody(version)
  await commandFor(installation, 'prosodyctl', directory)
  const [lua = ''] = installation.command
  const script = join(directory, 'prosodyctl')
  const text = await readFile(script, 'utf8')
  await writeFile(script, text.replace(/^#!.*/, `#!${lua}`), { mode: 0o755 })
  const env = { ...installation.env, PATH: `${directory}:${installation.env['PATH'] ?? ''}` }
  const source = pathToFileURL(join(root, 'src/'))
  return { directory, prosody: findProsodyInstallation(env, source) }
}

const HOSTS = `VirtualHost "b.example"
VirtualHost "a.example"
Component "rooms.a.example" "muc"
`

describe('the configuration that setup reads', { concurrency: 2 }, () => {
  for (const version of everyVersion) {
    test(`setup reads the configuration of Prosody ${version} as if it had written its file`, async (t) => {
      const { directory, prosody } = await createInstallation(
        t,
        version,
        `${HOSTS}Include "conf.d/*.cfg.lua"\n`,
      )
      const before = await prosody.readConfiguration('')
      assert.equal(before.version, version)
      assert.equal(before.config_file, join(directory, 'prosody.cfg.lua'))
      assert.equal(before.included, join(directory, 'conf.d', NAME))
      assert.equal(before.statistics, undefined)
      assert.equal(before.group, 'prosody')
      assert.deepEqual(before.component_ports, [5347])
      assert.deepEqual(
        before.hosts.map(({ name, component }) => [name, component]),
        [
          ['b.example', undefined],
          ['a.example', undefined],
          ['rooms.a.example', 'muc'],
        ],
      )

      const lines =
        'statistics = "internal"\nComponent "stats.b.example"\n  component_secret = "x"\n'
      const after = await prosody.readConfiguration(lines)
      assert.equal(after.statistics, 'internal')
      assert.deepEqual(after.hosts.at(-1), {
        name: 'stats.b.example',
        component: 'component',
        has_secret: true,
      })

      // The file that an earlier setup wrote does not count.
      await writeFile(join(directory, 'conf.d', NAME), lines)
      assert.deepEqual(await prosody.readConfiguration(''), before)
      assert.deepEqual((await prosody.readConfiguration(undefined)).hosts, before.hosts)
    })

    test(`setup knows that Prosody ${version} cannot do without a file that its configuration names`, async (t) => {
      const { directory, prosody } = await createInstallation(t, version, `Include "${NAME}"\n`)
      await writeFile(join(directory, NAME), HOSTS)
      const { included, hosts } = await prosody.readConfiguration('VirtualHost "c.example"\n')
      assert.equal(included, join(directory, NAME))
      assert.deepEqual(
        hosts.map(({ name }) => name),
        ['c.example'],
      )
      await assert.rejects(prosody.readConfiguration(undefined), /No such file or directory/)
    })

    test(`setup reads the options of Prosody ${version} that matter to it`, async (t) => {
      const { prosody } = await createInstallation(
        t,
        version,
        `statistics = "statsd"
statistics_interval = 30
component_ports = { 5348, 5349 }
component_interface = "*"
plugin_paths = { "/one", "/two" }
prosody_group = "xmpp"
${HOSTS}`,
      )
      const configuration = await prosody.readConfiguration('')
      assert.equal(configuration.included, undefined)
      assert.equal(configuration.statistics, 'statsd')
      assert.equal(configuration.statistics_interval, 30)
      assert.deepEqual(configuration.component_ports, [5348, 5349])
      assert.deepEqual(configuration.component_interfaces, ['*'])
      assert.deepEqual(configuration.plugin_paths, ['/one', '/two'])
      assert.equal(configuration.group, 'xmpp')
    })

    test(`setup reports in one line that Prosody ${version} cannot read its configuration`, async (t) => {
      const { prosody } = await createInstallation(t, version, 'VirtualHost "b\n')
      await assert.rejects(
        prosody.readConfiguration(''),
        /^SetupFailure: Prosody cannot read its configuration: \S*prosody\.cfg\.lua:1: unfinished .*\. Correct that, and run setup again\.$/,
      )
      const missing = await createInstallation(t, version, 'Include "missing.cfg.lua"\n')
      await assert.rejects(missing.prosody.readConfiguration(''), /missing\.cfg\.lua/)
    })
  }
})

import assert from 'node:assert/strict'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { packNpm } from '../../tools/package.js'
import { findPrometheus, prometheusVersions } from '../support/setup/programs.js'
import { freePort, launch, root, run, temporaryDirectory, until } from '../support/setup/process.js'
import { httpGet } from '../support/exporter.js'
import { withProsody } from '../support/prosody.js'
import { sampleValue } from '../support/real.js'

const { version, dependencies, devDependencies } = JSON.parse(
  await readFile(join(root, 'package.json'), 'utf8'),
) as { version: string } & Record<'dependencies' | 'devDependencies', Record<string, string>>

const MAX_BYTES = 600_000

test('the packed npm package contains the program and its documentation, and runs with npx', async (t) => {
  const directory = await temporaryDirectory('prosody-exporter-npm')
  t.after(() => directory.remove())
  const cwd = directory.path
  const runOrFail = async (command: string, ...args: string[]) => {
    const { code, output, stdout } = await run(command, args, { cwd })
    assert.equal(code, 0, `${command} ${args.join(' ')}: ${output}`)
    return stdout
  }
  const tarball = await packNpm(cwd)
  assert.ok((await stat(tarball)).size < MAX_BYTES)
  const files = (await runOrFail('tar', '-tzf', tarball)).trim().split('\n')
  const documents = [
    'CHANGELOG.md',
    'LICENSE',
    'README.md',
    'SECURITY.md',
    'config.schema.json',
    'package.json',
  ]
  const examples = ['prosody-example.cfg.lua', 'prosody-exporter.example.yml']
  const program =
    /^package\/(dist\/.+|docs\/(recipes\/)?[\w-]+\.md|prosody-modules\/mod_adhoc_statistics\/.+\.(lua|md)|deploy\/.+)$/
  assert.deepEqual(
    files.filter((file) => !program.test(file)).sort(),
    [...documents, ...examples].map((name) => `package/${name}`).sort(),
  )
  assert.deepEqual(
    files.filter((file) => /\.(ts|map)$|dist\/.*test|\.test\./.test(file)),
    [],
  )
  for (const name of [
    'prometheus/rules.yml',
    'grafana/prosody.json',
    'systemd/prosody-exporter.service',
    'compose.yml',
    'kubernetes/sidecar.yaml',
  ])
    assert.ok(files.includes(`package/deploy/${name}`), name)
  for (const name of await readdir(join(root, 'docs'))) {
    assert.equal(files.includes(`package/docs/${name}`), name.endsWith('.md'), name)
  }

  const npx = ['--prefer-offline', '--yes', `--package=${tarball}`, '--', 'prosody-exporter']
  assert.equal(await runOrFail('npx', ...npx, '--version'), `prosody-exporter ${version}\n`)

  await runOrFail(
    'npm',
    'install',
    '--prefer-offline',
    '--ignore-scripts',
    '--prefix',
    cwd,
    tarball,
  )
  const installed = await readdir(join(cwd, 'node_modules'))
  const tools = Object.keys(devDependencies).filter((name) => !name.includes('/'))
  assert.deepEqual(
    installed.filter((name) => tools.includes(name)),
    [],
  )
  const prosody = await withProsody(t, { version: '0.12.3' })
  const port = await freePort()
  const child = launch(
    join(cwd, 'node_modules/.bin/prosody-exporter'),
    [
      `--web.listen-address=127.0.0.1:${port}`,
      `--xmpp.service=${prosody.service}`,
      `--xmpp.domain=${prosody.statsDomains[0] ?? ''}`,
    ],
    { cwd, env: { PATH: process.env.PATH, PROSODY_EXPORTER_XMPP_SECRET: prosody.secret } },
  )
  t.after(() => child.stop())
  const text = await until(
    async () => {
      assert.ok(child.running(), child.stderr())
      const answer = await httpGet(`http://127.0.0.1:${port}/metrics`).catch(() => undefined)
      return answer && sampleValue(answer.text, 'xmpp_up') === 1 && answer.text
    },
    { what: 'the installed exporter is up' },
  )
  assert.match(text, /^prosody_mod_muc__live_room/m)
})

test('a global installation of the npm package links the command and its manual page', async (t) => {
  const directory = await temporaryDirectory('prosody-exporter-npm-global')
  t.after(() => directory.remove())
  const tarball = await packNpm(directory.path)
  const prefix = join(directory.path, 'global')
  const install = ['install', '--global', '--prefer-offline', '--ignore-scripts']
  const { code, output } = await run('npm', [...install, '--prefix', prefix, tarball])
  assert.equal(code, 0, output)
  const help = await run(join(prefix, 'bin/prosody-exporter'), ['help', 'setup'])
  assert.match(help.stdout, /^Usage: prosody-exporter setup /)
  const page = await readFile(join(prefix, 'share/man/man1/prosody-exporter.1'), 'utf8')
  assert.ok(page.includes(`prosody\\-exporter ${version}`))
})

test('the SBOM of npm run sbom lists every runtime dependency and no development tool', async () => {
  const { code, stdout, output } = await run('npm', ['run', '--silent', 'sbom'], { cwd: root })
  assert.equal(code, 0, output)
  const bom = JSON.parse(stdout) as {
    bomFormat: string
    components: { name: string; version: string; hashes?: unknown }[]
  }
  assert.equal(bom.bomFormat, 'CycloneDX')
  const names = bom.components.map(({ name }) => name)
  const lock = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean }>
  }
  const expected = Object.entries(lock.packages)
    .filter(([path, { dev }]) => path !== '' && dev !== true)
    .map(([path]) => path.replace(/^.*node_modules\//, ''))
  assert.ok(expected.length > Object.keys(dependencies).length)
  assert.deepEqual([...new Set(names)].sort(), [...new Set(expected)].sort())
})

for (const major of prometheusVersions) {
  test(`Prometheus ${major} accepts the jobs of deploy/prometheus`, async () => {
    const { promtool } = await findPrometheus(major)
    const file = join(root, 'deploy/prometheus/prosody-exporter.yml')
    const { code, output } = await run(promtool, ['check', 'config', '--syntax-only', file])
    assert.equal(code, 0, output)
    assert.match(output, /SUCCESS/)
  })
}

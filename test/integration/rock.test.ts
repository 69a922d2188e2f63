import assert from 'node:assert/strict'
import { cp, mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { root, temporaryDirectory } from '../support/setup/process.js'
import { startProsody } from '../support/setup/prosody.js'
import { httpGet, withExporter } from '../support/exporter.js'
import { luaConfig, SECRET } from '../support/prosody.js'
import { sampleValue, untilReady } from '../support/real.js'

const NAME = 'mod_adhoc_statistics'
const source = join(root, 'prosody-modules', NAME)
const DOMAIN = 'stats.one.example'

type FrontMatter = {
  readonly labels: readonly string[]
  readonly summary: string
  readonly rockspec: { readonly build: { readonly modules: Readonly<Record<string, string>> } }
}

// Prosody's community repository builds a rock (a package of LuaRocks) from a module, and `prosodyctl install` unpacks
// the rock. The rock has the main file of the module and the files that the README lists, under the names in that list.
test('mod_adhoc_statistics works in the layout of prosodyctl install, with the files that its README lists', async (t) => {
  const text = await readFile(join(source, 'README.md'), 'utf8')
  const [, yaml = ''] = /^---\n([^]*?)\n\.\.\.\n/.exec(text) ?? []
  const { labels, summary, rockspec } = parse(yaml) as FrontMatter
  assert.ok(labels.some((label) => /^Stage-(Alpha|Beta|Stable)$/.test(label)))
  assert.ok(summary.length > 10)
  for (const section of ['Introduction', 'Configuration', 'Compatibility'])
    assert.match(text, new RegExp(`^${section}\n=+\n`, 'm'))

  const files = (await readdir(source)).filter((name) => name.endsWith('.lua'))
  const { modules } = rockspec.build
  assert.deepEqual([...Object.values(modules), `${NAME}.lua`].sort(), files.sort())

  const { path, remove } = await temporaryDirectory('prosody-exporter-rock')
  t.after(remove)
  const all = { ...modules, [`${NAME}.${NAME}`]: `${NAME}.lua` }
  for (const [module, file] of Object.entries(all)) {
    const target = join(path, 'share/lua/5.4', `${module.replaceAll('.', '/')}.lua`)
    await mkdir(join(target, '..'), { recursive: true })
    await cp(join(source, file), target)
  }
  const prosody = await startProsody({
    version: '13.0.1',
    config: luaConfig({ hosts: ['one.example'], statsDomains: [DOMAIN] }),
    pluginPaths: [path],
  })
  t.after(() => prosody.stop())
  const exporter = await withExporter(t, {
    flags: [
      `--xmpp.service=xmpp://127.0.0.1:${prosody.ports.component}`,
      `--xmpp.domain=${DOMAIN}`,
    ],
    env: { PROSODY_EXPORTER_XMPP_SECRET: SECRET },
  })
  await untilReady(exporter, 200)
  const { text: exposition } = await httpGet(`${exporter.url}/metrics`)
  assert.equal(
    sampleValue(exposition, 'prosody_exporter_collector_success{collector="registry"}'),
    1,
    prosody.log(),
  )
  assert.equal(sampleValue(exposition, 'xmpp_client_connections{host="one.example"}'), 0)
})

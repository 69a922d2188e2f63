import assert from 'node:assert/strict'
import { cp, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, test, type TestContext } from 'node:test'
import { everyVersion, withProsody, type TestProsody, type Version } from '../support/prosody.js'
import { complaints, evalLua, sampleValue, serverSamples, untilUp } from '../support/real.js'
import { root, temporaryDirectory } from '../support/setup/process.js'
import { withExporterFor } from '../support/exporter.js'

const MODULE = 'mod_adhoc_statistics'

type Edit = readonly [file: string, from: string, to: string]

/** Copies mod_adhoc_statistics with the given edits. Returns the directory in which Prosody finds the copy. */
async function editedModule(t: TestContext, edits: readonly Edit[]): Promise<string> {
  const directory = await temporaryDirectory('prosody-exporter-module')
  t.after(() => directory.remove())
  const copy = join(directory.path, MODULE)
  await cp(join(root, 'prosody-modules', MODULE), copy, { recursive: true })
  for (const [file, from, to] of edits) {
    const path = join(copy, file)
    const text = await readFile(path, 'utf8')
    assert.ok(text.includes(from), `${file} does not contain the text to replace: ${from}`)
    await writeFile(path, text.replaceAll(from, to))
  }
  return directory.path
}

/** Starts a Prosody with the edited module and an exporter. Returns the exposition of the exporter. */
async function expositionWith(t: TestContext, version: Version, edits: readonly Edit[]) {
  const pluginPaths = [await editedModule(t, edits)]
  const prosody = await withProsody(t, { version, pluginPaths })
  const exporter = await withExporterFor(t, prosody, {
    flags: ['--log.format=json', ...prosody.hosts.map((host) => `--xmpp.host=${host}`)],
    stock: true,
  })
  const text = await untilUp(exporter)
  assert.deepEqual(complaints(exporter), [])
  return { prosody, text }
}

function assertComplete({ hosts }: TestProsody, text: string): void {
  assert.equal(sampleValue(text, 'prosody_exporter_collector_success{collector="registry"}'), 1)
  for (const host of hosts) {
    assert.equal(sampleValue(text, `xmpp_client_connections{host="${host}"}`), 0)
    assert.ok(sampleValue(text, `xmpp_ping_seconds{host="${host}"}`)! > 0)
  }
}

for (const version of everyVersion) {
  suite(`Prosody ${version}`, { concurrency: true }, () => {
    test('the exporter exports everything with an older mod_adhoc_statistics, which cannot say which names are hosts', async (t) => {
      const { prosody, text } = await expositionWith(t, version, [
        [`${MODULE}.lua`, 'local hosts = stanza.tags[1]:get_child("hosts", node);', 'local hosts;'],
        [
          `${MODULE}.lua`,
          'return stanza.tags[1]:get_child("hosts", node) ~= nil;',
          'return stanza == nil;',
        ],
      ])
      assertComplete(prosody, text)
    })

    test('the exporter exports everything with a newer mod_adhoc_statistics, which has more attributes and options', async (t) => {
      const { prosody, text } = await expositionWith(t, version, [
        ['page.lib.lua', `"' epoch='"`, `"' era='2' epoch='"`],
        ['page.lib.lua', `status='completed'>`, `status='completed' era='2'>`],
        [
          `${MODULE}.lua`,
          'local command = { xmlns = xmlns_cmd; node = node; status = "completed" };',
          'local command = { xmlns = xmlns_cmd; node = node; status = "completed"; era = "2" };',
        ],
      ])
      assertComplete(prosody, text)
    })

    test('when mod_adhoc_statistics is upgraded in a running Prosody, the new version replaces the state of the old version', async (t) => {
      const prosody = await withProsody(t, { version, modules: ['test_eval'] })
      const exporter = await withExporterFor(t, prosody, {
        flags: ['--log.format=json'],
        env: { PROSODY_EXPORTER_COLLECTION_MIN_AGE: '0s' },
      })
      const before = serverSamples(await untilUp(exporter)).map(nameOf)
      // An older version stored other fields in its state, and the new version does not know them. To simulate that, the
      // state here has only the field `layout`, with the value of another version.
      await evalLua(
        prosody,
        `local statsman = require "core.statsmanager"
        local registry = statsman.get_metric_registry and statsman.get_metric_registry()
        local state = registry and registry.adhoc_statistics or statsman.adhoc_statistics
        local layout = state.layout
        for key in pairs(state) do state[key] = nil end
        state.layout = tostring(layout).." older"
        assert(require "core.modulemanager".reload("${prosody.statsDomains[0]!}", "adhoc_statistics"))`,
      )
      const after = serverSamples(await untilUp(exporter)).map(nameOf)
      assert.deepEqual(new Set(after), new Set(before))
      assert.deepEqual(complaints(exporter), [])
    })
  })
}

const nameOf = (sample: string) => sample.slice(0, sample.lastIndexOf(' '))

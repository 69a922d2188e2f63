// Tests an exporter without the settings of the checks from outside: it does not load their code, and sends no packets
// but those to its XMPP server. Also tests an exporter that has only these settings, and no XMPP server.

import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { withExporter } from '../support/exporter.js'
import { listLoadedFiles } from '../support/loaded-files.js'
import { freePort, temporaryDirectory, until } from '../support/setup/process.js'

test('the code of the checks from outside is loaded only with their settings', async (t) => {
  const inOutside = (files: readonly string[]) =>
    files.filter((file) => file.startsWith('outside/'))
  assert.deepEqual(inOutside(await listLoadedFiles(t, [])), [])
  const flags = ['--outside.domains=one.example', '--outside.interval=0']
  assert.ok(inOutside(await listLoadedFiles(t, flags)).includes('outside/outside.ts'))
})

test('without an XMPP server, the exporter checks domains and serves all its endpoints', async (t) => {
  const exporter = await withExporter(t, {
    flags: [
      '--outside.domains=one.example',
      '--outside.interval=0',
      '--outside.timeout=1s',
      // Nothing listens on this port of loopback, so that no packet leaves the machine.
      `--outside.name-servers=127.0.0.1:${await freePort()}`,
    ],
  })
  const get = async (path: string) => {
    const { status, text } = await exporter.get(path)
    return { status, text }
  }
  assert.equal((await get('/-/ready')).status, 200)
  assert.equal((await get('/')).status, 200)
  assert.deepEqual(await get('/sd'), { status: 200, text: '[]' })
  assert.match((await get('/sd?module=outside')).text, /"__param_target":"one\.example"/)
  assert.match((await get('/config')).text, /servers: \[\]\n[^]*- one\.example/)
  const metrics = await get('/metrics')
  assert.equal(metrics.status, 200)
  assert.match(metrics.text, /^prosody_exporter_build_info\{/m)
  assert.doesNotMatch(metrics.text, /xmpp_up/)
  const probe = await get('/probe?module=outside&target=one.example')
  assert.equal(probe.status, 200)
  assert.match(probe.text, /^xmpp_domain_check_finished\{host="one\.example"\} 1$/m)
  assert.match(probe.text, /^xmpp_endpoint_problem\{host="one\.example".*severity="error"\} 1$/m)
  const other = await get('/probe?module=outside&target=two.example')
  assert.equal(other.status, 400)
  assert.match(other.text, /a domain that the exporter checks from outside/)
  assert.match((await get('/probe?module=outside&target=one.example&debug=true')).text, /^# one\./)
  assert.equal((await get('/probe?target=one.example')).status, 400)
})

test('a reload cannot turn on the checks, and says so', async (t) => {
  const { path, remove } = await temporaryDirectory('prosody-exporter-outside')
  t.after(remove)
  const file = join(path, 'exporter.yml')
  await writeFile(file, '')
  const exporter = await withExporter(t, {
    flags: [
      `--config.file=${file}`,
      `--xmpp.service=xmpp://127.0.0.1:${await freePort()}`,
      '--xmpp.domain=stats.one.example',
    ],
    env: { PROSODY_EXPORTER_XMPP_SECRET: 'secret' },
  })
  await writeFile(file, 'outside: { domains: [one.example], interval: 0 }\n')
  exporter.kill('SIGHUP')
  await until(() => exporter.stderr().includes('Restart the exporter to turn on checks'), {
    what: 'the exporter says that it needs a restart',
  })
  assert.equal((await exporter.get('/probe?module=outside&target=one.example')).status, 400)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runExporter, withExporterFor } from '../support/exporter.js'
import { prosodyVersions, withProsody } from '../support/prosody.js'
import { untilReady } from '../support/real.js'
import { login } from '../support/xmpp-client.js'

for (const version of prosodyVersions) {
  test(`shows that nothing of mod_http_openmetrics is lost with Prosody ${version}`, async (t) => {
    const jid = 'user@one.example'
    const prosody = await withProsody(t, {
      version,
      modules: ['test_series'],
      globals: { test_series_count: '30', test_series_families: '3' },
      users: { [jid]: 'pw' },
    })
    const user = await login({ port: prosody.ports.c2s, jid, password: 'pw' })
    t.after(() => user.close())
    const exporter = await withExporterFor(t, prosody)
    await untilReady(exporter, 200)
    const run = async (...urls: string[]) => {
      const child = runExporter({ flags: ['compare', ...urls] })
      return { code: await child.exited, out: child.stdout(), err: child.stderr() }
    }
    const ours = `${exporter.url}/metrics`
    const { code, out } = await run(prosody.openmetricsUrl, ours)
    assert.match(out, /^prosody_mod_c2s__connections +2 +0 +0$/m)
    assert.match(out, /^All \d+ families of the old one are in the new one, with every series\.$/m)
    assert.equal(code, 0)

    const back = await run(ours, prosody.openmetricsUrl)
    assert.match(back.out, /missing: xmpp_up\{\}/)
    assert.equal(back.code, 1)

    const wrong = await run('http://user:hidden@127.0.0.1:1/metrics')
    assert.match(wrong.err, /^prosody-exporter: http:\/\/127\.0\.0\.1:1\/metrics: .*\n$/)
    assert.equal(wrong.code, 2)
  })
}

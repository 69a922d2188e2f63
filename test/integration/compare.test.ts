import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { runExporter, withExporterFor } from '../support/exporter.js'
import { prosodyVersions, withProsody } from '../support/prosody.js'
import { untilReady } from '../support/real.js'
import { login } from '../support/xmpp-client.js'

for (const version of prosodyVersions) {
  test(`the command compare finds all series of mod_http_openmetrics in the exporter, with Prosody ${version}`, async (t) => {
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
    const exporterUrl = `${exporter.url}/metrics`
    const { code, out } = await run(prosody.openmetricsUrl, exporterUrl)
    assert.match(out, /^prosody_mod_c2s__connections +2 +0 +0$/m)
    assert.match(out, /^The new metrics have every series of all \d+ families\.$/m)
    assert.match(out, /^Alert on `xmpp_up == 0`, or set `web\.fail_when_down`\.$/m)
    assert.equal(code, 0)

    const reversed = await run(exporterUrl, prosody.openmetricsUrl)
    assert.match(reversed.out, /missing: xmpp_up\{\}/)
    assert.doesNotMatch(reversed.out, /fail_when_down/)
    assert.equal(reversed.code, 1)

    const wrong = await run('http://user:hidden@127.0.0.1:1/metrics')
    assert.match(wrong.err, /^prosody-exporter: http:\/\/127\.0\.0\.1:1\/metrics: .*\n$/)
    assert.equal(wrong.code, 2)
  })
}

test('the command compare stops reading a gzip bomb at its size limit, needs little memory, and prints one line', async (t) => {
  const MIB = 1024 * 1024
  const bombs: Record<string, { piece: Buffer; count: number }> = {
    '/series': { piece: gzipSync(`a{b="c"} ${'1'.repeat(300)}\n`.repeat(3000)), count: 100 },
    '/body': { piece: gzipSync(`# ${'x'.repeat(MIB)}\n`), count: 300 },
    '/line': { piece: gzipSync('x'.repeat(MIB)), count: 300 },
    '/page': { piece: gzipSync(`<p>${'x'.repeat(MIB)}</p>\n`), count: 250 },
  }
  const server = createServer((request, response) => {
    const { piece, count } = bombs[request.url ?? ''] ?? { piece: gzipSync('a 1\n'), count: 1 }
    response.setHeader('Content-Encoding', 'gzip')
    response.end(Buffer.concat(Array.from({ length: count }, () => piece)))
  })
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const run = async (path: string) => {
    const env = { NODE_OPTIONS: '--max-old-space-size=64' }
    const child = runExporter({ flags: ['compare', `${url}${path}`, `${url}/metrics`], env })
    return { code: await child.exited, out: child.stdout(), err: child.stderr() }
  }
  const series = await run('/series')
  assert.match(series.out, /^Repeated samples in the old metrics: 299999\./m)
  assert.equal(series.code, 1)
  for (const [path, line] of [
    ['/body', 'the metrics are longer than the limit of 256 MiB'],
    ['/line', 'a line is longer than the limit of 16 MiB'],
    ['/page', `expected metrics, got no sample; line 1 is <p>${'x'.repeat(197)}`],
  ] as const) {
    const { code, out, err } = await run(path)
    assert.equal(err, `prosody-exporter: ${url}${path}: ${line}\n`)
    assert.equal(out, '')
    assert.equal(code, 2)
  }
})

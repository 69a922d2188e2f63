import assert from 'node:assert/strict'
import { hostname } from 'node:os'
import { test } from 'node:test'
import { freePort } from '../../../support/setup/process.js'
import { doctor } from '../../../support/doctor.js'

test('reports that nothing listens, and that a host name has no address', async () => {
  const nobody = await doctor(`xmpp://127.0.0.1:${await freePort()}`)
  assert.match(nobody.out, /FAILED connection +Cannot connect to Prosody .*\.\nNot working: /)
  assert.equal(nobody.code, 1)
  const nameless = await doctor('xmpp://no-such-host.invalid')
  assert.match(nameless.out, /FAILED name +The host name .* has no address/)
  assert.equal(nameless.code, 1)
})

test('prints the lines for the configuration of Prosody and Prometheus', async () => {
  const { code, out } = await doctor('xmpp://127.0.0.1', {
    flags: ['--show.prosody', '--show.prometheus', '--web.listen-address=10.1.2.3:9999'],
  })
  assert.match(out, /^Component "stats\.one\.example"$/m)
  assert.match(out, /targets: \['10\.1\.2\.3:9999'\]/)
  assert.equal(code, 0)
  const flags = ['--show.prometheus', '--web.listen-address=:9999']
  const all = await doctor('xmpp://127.0.0.1', { flags })
  assert.ok(all.out.includes(`targets: ['${hostname()}:9999']`), all.out)
})

test('reports a wrong flag', async () => {
  const { code, err } = await doctor('http://x')
  assert.match(err, /^prosody-exporter: --xmpp\.service: .*\n$/)
  assert.equal(code, 2)
})

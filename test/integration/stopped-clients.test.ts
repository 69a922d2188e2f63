// Clients that stop reading, over each transport, against the program as operators run it.

import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { freePort, until } from '../../scripts/process.js'
import { selfSigned } from '../support/certificate.js'
import { httpGet, runExporter } from '../support/exporter.js'
import { withProsody } from '../support/prosody.js'
import { sampleValue } from '../support/real.js'
import {
  isEncrypted,
  STOPPED,
  stopReading,
  type StoppedClient,
} from '../support/stopped-clients.js'

const COUNT = 100
const AT_A_TIME = 20
const MB = 1024 * 1024
// With whole responses encrypted or copied it was 400 MB more.
const MOST_MORE = 200 * MB

for (const how of STOPPED) {
  test(`${COUNT} clients that stop reading over ${how} cost little, and others are served`, async (t) => {
    const prosody = await withProsody(t, {
      version: '13.0.1',
      modules: ['test_series'],
      globals: { test_series_count: '50000' },
    })
    const { cert, key } = selfSigned()
    const at = (name: string) => join(prosody.dir, name)
    await writeFile(at('x.crt'), cert)
    await writeFile(at('x.key'), key, { mode: 0o600 })
    await writeFile(at('web.yml'), 'tls_server_config: { cert_file: x.crt, key_file: x.key }\n')
    const port = await freePort()
    const exporter = runExporter({
      flags: [
        `--web.listen-address=127.0.0.1:${port}`,
        `--xmpp.service=${prosody.service}`,
        `--xmpp.domain=${prosody.statsDomains[0]}`,
        ...(isEncrypted(how) ? [`--web.config.file=${at('web.yml')}`] : []),
      ],
      env: { PROSODY_EXPORTER_XMPP_SECRET: prosody.secret },
    })
    t.after(() => exporter.stop())
    const url = `${isEncrypted(how) ? 'https' : 'http'}://127.0.0.1:${port}/metrics`
    const isServed = async () => {
      const { status, text } = await httpGet(url, {}, undefined, cert)
      return status === 200 && sampleValue(text, 'xmpp_up') === 1 && text.length > 3 * MB
    }
    const memory = async () => {
      const status = await readFile(`/proc/${exporter.pid}/status`, 'utf8')
      return Number(/^VmRSS:\s+(\d+)/m.exec(status)![1]) * 1024
    }
    await until(async () => isServed().catch(() => false), { what: 'the exporter is up' })
    for (let i = 0; i < 3; i++) await isServed()
    const before = await memory()
    const clients: StoppedClient[] = []
    t.after(() => {
      for (const each of clients) each.destroy()
    })
    while (clients.length < COUNT) {
      const some = Array.from({ length: AT_A_TIME }, () => stopReading(how, port, '/metrics'))
      clients.push(...(await Promise.all(some)))
      assert.ok(await isServed(), 'a scrape is answered')
    }
    const more = (await memory()) - before
    assert.ok(more < MOST_MORE, `${Math.round(more / MB)} MB more`)
  })
}

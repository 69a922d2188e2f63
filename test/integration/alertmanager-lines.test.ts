// The lines for alertmanager.yml that setup prints, checked with the amtool of Debian.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { parse, stringify } from 'yaml'
import { formatReceiver } from '../../src/cli/setup/alertmanager-lines.js'
import { temporaryDirectory } from '../support/setup/process.js'
import { findAlertmanager } from '../support/setup/programs.js'

const LINES = formatReceiver('http://127.0.0.1:9347/alerts', '/etc/prosody-exporter/alerts-token')

async function checkConfig(t: TestContext, text: string): Promise<string> {
  const directory = await temporaryDirectory('prosody-exporter-amtool')
  t.after(() => directory.remove())
  const file = join(directory.path, 'alertmanager.yml')
  await writeFile(file, text)
  const [command = '', ...args] = (await findAlertmanager(undefined, 'amtool'))([
    'check-config',
    file,
  ])
  return (await promisify(execFile)(command, args)).stdout
}

test('Alertmanager accepts the lines below the section global of Debian, also before the files exist', async (t) => {
  const global = {
    smtp_smarthost: 'localhost:25',
    smtp_from: 'alertmanager@example.org',
    smtp_auth_username: 'alertmanager',
    smtp_auth_password: 'password',
  }
  assert.match(await checkConfig(t, `${stringify({ global })}${LINES}`), /SUCCESS[^]*2 receivers/)
})

test('Alertmanager accepts the file after the alerts are turned off as in docs/alerts.md', async (t) => {
  const { route, receivers } = parse(LINES) as {
    route: { receiver: string }
    receivers: { name: string }[]
  }
  const rest = receivers.filter(({ name }) => name !== 'xmpp')
  const changed = { route: { ...route, receiver: 'without-xmpp' }, receivers: rest }
  assert.match(await checkConfig(t, stringify(changed)), /SUCCESS[^]*1 receivers/)
  // Without another receiver of the root route, Alertmanager would not start.
  await assert.rejects(checkConfig(t, stringify({ route, receivers: rest })), {
    stdout: /undefined receiver/,
  })
})

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import {
  formatAlertmanagerLines,
  formatReceiver,
} from '../../../../src/cli/setup/alertmanager-lines.js'
import {
  addAlertsSection,
  needsAlertFiles,
  planAlertFiles,
  renderAlertsSection,
} from '../../../../src/cli/setup/plan-alerts.js'
import { SetupFailure } from '../../../../src/cli/setup/setup-failure.js'
import { planExporterFiles } from '../../../../src/cli/setup/setup-plan.js'
import { root } from '../../../support/setup/process.js'

const ADMIN = 'admin@example.com'
const ROOM = 'ops@rooms.example.com'
const RECIPIENTS = { to: [ADMIN], rooms: [ROOM] }
const ALERTS = { ...RECIPIENTS, token_file: 'alerts-token' }
const settings = { domain: 'stats.example.com', service: 'xmpp://127.0.0.1:5347', secret: 'x' }

test('the configuration decides about alerts: setup writes no token if the section is missing or written by hand', () => {
  const record = (...paths: string[]) => ({
    ...{ domain: 'stats.example.com', hasEnabledService: true, needsRestart: false },
    created: paths.map((path) => ({ path, sha256: '' })),
  })
  const token = record('/etc/prosody-exporter/alerts-token')
  const before = RECIPIENTS
  assert.equal(needsAlertFiles({ before: undefined, added: [ADMIN] }, record()), true)
  assert.equal(needsAlertFiles({ before, added: [] }, token), true)
  assert.equal(needsAlertFiles({ before, added: [ADMIN] }, record()), false)
  assert.equal(needsAlertFiles({ before, added: [] }, undefined), false)
  assert.equal(needsAlertFiles({ before: undefined, added: [] }, token), false)
})

test('the configuration that setup writes has the recipients, and none without --alerts', () => {
  const [withAlerts] = planExporterFiles(settings, renderAlertsSection(RECIPIENTS))
  const { alerts, servers } = parse(withAlerts!.content) as Record<string, unknown[]>
  assert.deepEqual(alerts, ALERTS)
  assert.equal(servers!.length, 1)
  const [without] = planExporterFiles(settings, renderAlertsSection({ to: [], rooms: [] }))
  assert.deepEqual(Object.keys(parse(without!.content) as object), ['servers'])
  assert.deepEqual(parse(renderAlertsSection({ to: [], rooms: [ROOM] })), {
    alerts: { rooms: [ROOM], token_file: 'alerts-token' },
  })
})

test('a JID stays one text in the configuration', () => {
  const to = ['#a,b]@example.com', 'null@example.com', '{x}!@example.com']
  assert.deepEqual(parse(renderAlertsSection({ to, rooms: [] })), {
    alerts: { to, token_file: 'alerts-token' },
  })
})

test('setup adds the alerts at the end of a configuration that the operator has changed', () => {
  const text = '# mine\nservers: [{domain: stats.example.com}] # one\ncollection: {min_age: 1s}'
  const added = addAlertsSection(text, RECIPIENTS, 'stats.example.com')
  assert.ok(added.startsWith(`${text}\n`))
  assert.deepEqual(parse(added), { ...(parse(text) as object), alerts: ALERTS })
  assert.equal(addAlertsSection(added, RECIPIENTS, 'stats.example.com'), added)
})

test('with several servers, the alerts name the server of the component', () => {
  const servers = [{ name: 'one', domain: 'stats.example.com' }, { domain: 'b.example' }]
  const text = `servers: ${JSON.stringify(servers)}`
  for (const [domain, server] of [
    ['stats.example.com', 'one'],
    ['b.example', 'b.example'],
  ] as const) {
    const { alerts } = parse(addAlertsSection(text, RECIPIENTS, domain)) as { alerts: unknown }
    assert.deepEqual(alerts, { server, ...ALERTS })
  }
})

test('setup does not add the alerts to a configuration whose meaning would change, and shows the line to add', () => {
  const servers = 'servers: [{domain: a.example}]'
  for (const text of [`{${servers}}`, `${servers}\n...\n`, `${servers}\n---\n`, 'servers: [', '']) {
    assert.throws(
      () => addAlertsSection(text, RECIPIENTS, 'a.example'),
      (error) => {
        assert.ok(error instanceof SetupFailure)
        const [, line = ''] =
          /by hand, and run setup again: (alerts: .+)$/.exec(error.message) ?? []
        assert.deepEqual(parse(line), { alerts: ALERTS })
        return true
      },
      text,
    )
  }
})

test('setup names the recipients that a section of the operator does not have', () => {
  const text = 'servers: [{domain: a.example}]\nalerts: {to: [Admin@Example.com]}\n'
  assert.equal(addAlertsSection(text, { to: [ADMIN], rooms: [] }, 'a.example'), text)
  assert.throws(
    () => addAlertsSection(text, { to: [ADMIN, 'b@example.com'], rooms: [ROOM] }, 'a.example'),
    /Add b@example\.com to alerts\.to and ops@rooms\.example\.com to alerts\.rooms by hand, .*systemctl reload/,
  )
})

test('only root and the group of Alertmanager can read the token, and the service gets it from systemd', () => {
  const plan = (groupId: number | undefined, hasService: boolean) =>
    planAlertFiles({ token: 'abc', groupId, hasService })
  const [token, dropIn, ...more] = plan(115, true)
  assert.deepEqual(
    { ...token },
    { path: '/etc/prosody-exporter/alerts-token', content: 'abc\n', mode: 0o640, groupId: 115 },
  )
  assert.match(
    dropIn!.content,
    /^LoadCredential=alerts-token:\/etc\/prosody-exporter\/alerts-token$/m,
  )
  assert.match(
    dropIn!.content,
    /^Environment=PROSODY_EXPORTER_ALERTS_TOKEN_FILE=%d\/alerts-token$/m,
  )
  assert.ok(!dropIn!.content.includes('abc'))
  assert.deepEqual(more, [])
  const [secret, ...none] = plan(undefined, false)
  assert.deepEqual([secret!.mode, secret!.groupId], [0o600, 0])
  assert.deepEqual(none, [])
})

test('the lines for Alertmanager that setup prints are those of docs/alerts.md', () => {
  const lines = formatReceiver('http://127.0.0.1:9347/alerts', '/etc/prosody-exporter/alerts-token')
  const page = readFileSync(join(root, 'docs/alerts.md'), 'utf8')
  assert.ok(page.includes(lines.replace(/^(?=.)/gm, '   ')), lines)
  const { receivers } = parse(lines) as { receivers: { name: string }[] }
  assert.deepEqual(
    receivers.map(({ name }) => name),
    ['xmpp', 'without-xmpp'],
  )
})

test('setup says what the receiver needs if the exporter uses TLS, or if the group of Alertmanager cannot read the token', () => {
  const format = (page: string, canGroupRead: boolean) =>
    formatAlertmanagerLines({ page, directory: new URL('file:///app/dist/'), canGroupRead })
  const isAboutTls = (line: string) => line.includes('tls_config')
  const isAboutGroup = (line: string) => line.includes('chgrp prometheus')
  const encrypted = format('https://localhost:9347/', true)
  assert.equal(encrypted.filter(isAboutTls).length, 1)
  assert.match(encrypted.join('\n'), /url: https:\/\/localhost:9347\/alerts$/m)
  assert.ok(!encrypted.some(isAboutGroup))
  const plain = format('http://127.0.0.1:9347/', false)
  assert.ok(!plain.some(isAboutTls))
  assert.equal(plain.filter(isAboutGroup).length, 1)
})

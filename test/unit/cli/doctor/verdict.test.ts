import assert from 'node:assert/strict'
import { test } from 'node:test'
import { noteOldVersion } from '../../../../src/catalogue/prosody-versions.js'
import { addDefaultConfigFile } from '../../../../src/cli/doctor/default-config-file.js'
import type { Finding } from '../../../../src/cli/doctor/findings.js'
import { findPageUrl } from '../../../../src/cli/doctor/page-url.js'
import { formatVerdict, judge, sumUp } from '../../../../src/cli/doctor/verdict.js'
import { readConfig } from '../../../../src/config/read-config.js'
import { readSettings } from '../../../../src/config/read-settings.js'

const ok: Finding = { step: 'login', result: 'ok', text: 'logged in' }
const minor: Finding = { step: 'security', result: 'note', text: 'Old.', weight: 'minor' }
const note: Finding = { step: 'clock', result: 'note', text: 'The clocks differ. Run NTP.' }
const failed: Finding = { step: 'statistics', result: 'failed', text: 'It is off. Turn it on.' }
const verdictOf = (series: number | undefined, ...findings: Finding[]) => judge(findings, series)

test('the verdict names the first failure, or else the first note that asks for a change', () => {
  const format = (series: number | undefined, ...findings: Finding[]) =>
    formatVerdict(verdictOf(series, ...findings))
  assert.equal(format(36, ok), 'All good: 36 series.')
  assert.equal(format(36, ok, minor), 'All good: 36 series.')
  assert.equal(format(36, minor, note), 'Working, with one note: The clocks differ. Run NTP.')
  assert.equal(format(36, note, note), 'Working, with 2 notes: The clocks differ. Run NTP.')
  assert.equal(format(undefined, note, failed), 'Not working: It is off. Turn it on.')
  const users: Finding = { step: 'users', result: 'failed', text: 'Too many. Count less.' }
  assert.equal(format(36, note, users), 'Partly working: users: Too many. Count less.')
  assert.equal(format(undefined, failed, users), 'Not working: It is off. Turn it on.')
})

test('the verdict about several servers names the most severe problem', () => {
  const of = (...all: ReturnType<typeof judge>[]) =>
    sumUp(new Map(all.map((verdict, i) => [`server${i}`, verdict])))
  const good = verdictOf(10, ok)
  assert.equal(of(good, good), 'All good: 2 servers with 20 series.')
  const noted = verdictOf(10, note)
  assert.equal(
    of(good, noted, noted),
    'Working, with notes on 2 of 3 servers. server1: The clocks differ.',
  )
  const broken = verdictOf(undefined, failed)
  assert.equal(of(noted, broken, good), 'Not working: 1 of 3 servers. server1: It is off.')
})

test('the note about old versions of Prosody knows which releases have the fixes', () => {
  for (const version of ['13.0.1', '13.0.4', '0.12.0', '0.12.5']) {
    const fixed = version.startsWith('13') ? '13.0.5' : '0.12.6'
    assert.ok(noteOldVersion(version)?.startsWith(`Prosody ${version} is older than ${fixed}, `))
  }
  for (const version of ['0.9.14', '0.10.3', '0.11.14', '0.12.6']) {
    assert.match(noteOldVersion(version)!, /is at its end of life/)
  }
  const others = ['13.0.5', '13.0.12', '13.1.0', '14.0.0', 'trunk nightly build 2000']
  for (const version of others) assert.equal(noteOldVersion(version), undefined, version)
})

test('the URL of the page follows the configuration', () => {
  const urlWith = (...flags: string[]) => {
    const all = ['--xmpp.domain=a.example', ...flags]
    const settings = readSettings(all, { PROSODY_EXPORTER_XMPP_SECRET: 's' })
    const { web } = readConfig(settings, { file: undefined, env: {} })
    return findPageUrl(web, flags.includes('--web.config.file=tls'))
  }
  const listen = (address: string) => `--web.listen-address=${address}`
  assert.equal(urlWith(), 'http://127.0.0.1:9347/')
  assert.equal(urlWith('--web.config.file=tls'), 'https://127.0.0.1:9347/')
  assert.equal(urlWith('--web.route-prefix=/x'), 'http://127.0.0.1:9347/x/')
  assert.equal(urlWith('--web.external-url=https://example.org/p'), 'https://example.org/p/')
  assert.equal(urlWith(listen(':8000')), 'http://localhost:8000/')
  assert.equal(urlWith(listen('0.0.0.0:8000')), 'http://localhost:8000/')
  assert.equal(urlWith(listen('[2001:db8::1]:8000')), 'http://[2001:db8::1]:8000/')
  assert.equal(urlWith(listen('unix:/run/x.sock'), listen('10.0.0.1:80')), 'http://10.0.0.1:80/')
  assert.equal(urlWith(listen('unix:/run/x.sock')), undefined)
  assert.equal(urlWith(listen('localhost:0')), undefined)
})

test('doctor reads the usual configuration file only if it exists and nothing names a component', () => {
  const exists = import.meta.filename
  const fileWith = (flags: string[], env: Record<string, string>, path = exists) =>
    addDefaultConfigFile(readSettings(flags, env), path).all('config.file')[0]?.text
  assert.equal(fileWith([], {}), exists)
  assert.equal(fileWith(['--log.level=debug'], {}), exists)
  assert.equal(fileWith([], {}, `${exists}.missing`), undefined)
  assert.equal(fileWith(['--config.file=other.yml'], {}), 'other.yml')
  assert.equal(fileWith(['--xmpp.domain=a.example'], {}), undefined)
  assert.equal(fileWith([], { PROSODY_EXPORTER_XMPP_DOMAIN: 'a.example' }), undefined)
  // These settings override those of the file.
  assert.equal(fileWith(['--xmpp.host=a.example'], {}), exists)
  assert.equal(fileWith([], { PROSODY_EXPORTER_XMPP_SERVICE: 'xmpp://a' }), exists)
})

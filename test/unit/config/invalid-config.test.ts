// The messages of the real program for each kind of mistake in the configuration file: at the start, and at a
// reload.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { freePort, until } from '../../support/setup/process.js'
import { SECRET, testDirectory } from '../../support/config.js'
import { runExporter, withExporter } from '../../support/exporter.js'
import { logLines, sampleValue } from '../../support/real.js'

const { path: directory, file: writeTestFile } = testDirectory()
writeTestFile('good.secret')
const openSecret = JSON.stringify(writeTestFile('open.secret', SECRET, 0o644))

const GOOD = `servers:
  - name: one
    domain: stats.one.example
    secret_file: good.secret
  - { name: two, domain: stats.two.example, secret_file: good.secret }
`
const noFile = `there is no such file in ${JSON.stringify(directory)}`

/** The mistake, the file, and the message after the name of the file. */
const CASES: readonly (readonly [string, string, string])[] = [
  ['an unknown key', GOOD.replace('secret_file', 'secret_fil'), '4:5: servers[0].secret_fil: '],
  [
    'a value of another type',
    `${GOOD}limits: { series: many }\n`,
    '6:19: limits.series: expected a whole number, 0 for no limit, got "many"',
  ],
  [
    'a value out of range',
    `${GOOD}collection:\n  min_age: 1h\n`,
    '7:12: collection.min_age: expected at most 4m (Prometheus forgets a series after 5m), got "1h"',
  ],
  [
    'a file that ends in the middle of a line',
    GOOD.slice(0, GOOD.indexOf('two.example')),
    '5:32: YAML: expected a closing } or ] and indented lines before it, got none',
  ],
  [
    'a file that ends between two lines',
    GOOD.slice(0, GOOD.indexOf('    domain')),
    '2:5: servers[0]: expected a domain (or --xmpp.domain), got none',
  ],
  [
    'a file that ends before the secret',
    GOOD.slice(0, GOOD.indexOf('    secret_file')),
    '2:5: servers[0]: expected a secret_file (or --xmpp.secret-file, or PROSODY_EXPORTER_XMPP_SECRET), got none',
  ],
  ['an empty file', '', '1:1: the file: expected a domain (or --xmpp.domain), got none'],
  [
    'a duplicate name',
    GOOD.replace('two,', 'one,'),
    '5:13: servers[1].name: expected each name once, got "one"',
  ],
  [
    'a duplicate component',
    GOOD.replace('stats.two', 'stats.one'),
    '5:26: servers[1].domain: expected each domain once for each service, got "stats.one.example"',
  ],
  [
    'a secret file that does not exist',
    GOOD.replace('good', 'none'),
    `4:18: servers[0].secret_file: ${noFile}`,
  ],
  [
    'a single server whose secret file does not exist',
    GOOD.slice(0, GOOD.indexOf('  - { name: two')).replace('good', 'none'),
    `4:18: servers[0].secret_file: ${noFile}`,
  ],
  [
    'a secret file that every user can read',
    GOOD.replace('good', 'open'),
    `4:18: servers[0].secret_file: ${openSecret} can be read by every user of the machine: run chmod 600 on the file, or in a container mount it read-only`,
  ],
  [
    'the secret itself',
    GOOD.replace('secret_file: good.secret\n', `secret: ${SECRET}\n`),
    '4:5: servers[0].secret: expected the key secret_file with the name of a file, got a secret in the configuration file',
  ],
  [
    'an unknown collector',
    GOOD.replace('name: two', 'collectors: { user: true }, name: two'),
    '5:21: servers[1].collectors.user: expected ping, ',
  ],
]

describe('a configuration file with', { concurrency: 2 }, () => {
  for (const [i, [what, yaml, expected]] of CASES.entries()) {
    test(`${what} causes one line with the place, and exit code 2`, async () => {
      const file = writeTestFile(`${i}.yml`, yaml)
      const child = runExporter({ flags: [`--config.file=${file}`] })
      assert.equal(await child.exited, 2)
      assert.equal(child.stdout(), '')
      assert.match(child.stderr(), /^[^\n]*\n$/)
      assert.ok(child.stderr().startsWith(`prosody-exporter: ${file}:${expected}`), child.stderr())
      assert.ok(!child.stderr().includes(SECRET))
    })
  }

  test('any of these mistakes at a reload causes the same line once, and the exporter keeps its configuration', async (t) => {
    const service = `service: 'xmpp://127.0.0.1:${await freePort()}', `
    const good = GOOD.replace('{ name', `{ ${service}name`)
    const file = writeTestFile('reloaded.yml', good)
    const exporter = await withExporter(t, {
      flags: [`--config.file=${file}`, '--log.format=json'],
    })
    const refusals = () =>
      logLines(exporter).filter(({ message }) => message.startsWith('configuration reload failed'))
    const state = async () => {
      const { text } = await exporter.get('/metrics')
      const wasRead = sampleValue(text, 'prosody_exporter_config_last_reload_successful')
      return { wasRead, servers: text.match(/^xmpp_up\{server=".*"\}/gm) }
    }
    const servers = ['xmpp_up{server="one"}', 'xmpp_up{server="two"}']
    assert.deepEqual(await state(), { wasRead: 1, servers })
    for (const [i, [what, yaml, expected]] of CASES.entries()) {
      writeFileSync(file, yaml)
      exporter.kill('SIGHUP')
      await until(() => refusals().length > i, { what: `${what} is refused` })
      assert.equal(refusals().length, i + 1)
      const { error } = refusals()[i]!
      assert.ok(String(error).startsWith(`${file}:${expected}`), String(error))
      assert.deepEqual(await state(), { wasRead: 0, servers }, what)
    }
    writeFileSync(file, good)
    exporter.kill('SIGHUP')
    await until(async () => (await state()).wasRead === 1, { what: 'a valid file is loaded' })
    assert.ok(!exporter.stderr().includes(SECRET))
  })
})

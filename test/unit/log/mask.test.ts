import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { until } from '../../support/setup/process.js'
import type { Log } from '../../../src/log/log.js'
import { maskJids, maskKeys, maskQuoted, secretMask, withMask } from '../../../src/log/mask.js'
import { doctor, DOMAIN } from '../../support/doctor.js'
import { withExporter } from '../../support/exporter.js'
import { startFakeServer } from '../../support/fake-server.js'

const SECRET = `fish&chips'"`

describe('the mask for a secret', () => {
  const mask = secretMask(SECRET)
  test('replaces every form that the secret has in XML', () => {
    const forms = [SECRET, `fish&amp;chips'"`, 'fish&amp;chips&apos;&quot;']
    for (const form of forms) assert.equal(mask(`a ${form} b ${form}`), 'a … b …')
  })

  test('changes nothing if the secret is empty', () => {
    assert.equal(secretMask('')('abc'), 'abc')
  })
})

test('maskKeys removes names of users and unknown keys', () => {
  assert.equal(
    maskKeys('w.yml:5:10: basic_auth_users.alice: expected a bcrypt hash'),
    'w.yml:5:10: basic_auth_users.…: expected a bcrypt hash',
  )
  assert.equal(
    maskKeys('a.yml:2:5: servers[0].hunter2: expected domain, hosts, got an unknown key'),
    'a.yml:2:5: …: expected domain, hosts, got an unknown key',
  )
  const known = 'a.yml:2:5: servers[0].domain: expected a domain, got none'
  assert.equal(maskKeys(known), known)
})

test('maskQuoted removes the values that a message quotes', () => {
  assert.equal(
    maskQuoted('a.yml:1:2: x: "hunter\\"2" is no "number"'),
    'a.yml:1:2: x: "…" is no "…"',
  )
  assert.equal(maskQuoted('one " is no quotation'), 'one " is no quotation')
})

test('maskJids removes the names of persons and rooms from JIDs', () => {
  const cases = [
    ['juliet@a.example/balcony is gone', '…@a.example is gone'],
    ['<from="den@rooms.a.example/me">', '<from="…@rooms.a.example">'],
    ['stats.a.example at xmpp://127.0.0.1:5347', 'stats.a.example at xmpp://127.0.0.1:5347'],
    ['(by juliet@a.example/balcony)', '(by …@a.example)'],
    ['a @ b', 'a @ b'],
  ] as const
  for (const [text, masked] of cases) assert.equal(maskJids(text), masked)
})

test('a masked log hides the secret at every level, and names in JIDs above debug', () => {
  const lines: string[] = []
  const line = (level: string) => (message: string, fields?: object) => {
    lines.push(`${level} ${message} ${JSON.stringify(fields)}`)
  }
  const raw: Log = {
    debug: line('debug'),
    info: line('info'),
    warn: line('warn'),
    error: line('error'),
  }
  const log = withMask(raw, 's3cret')
  log.debug('s3cret of a@b.example', { error: 's3cret', count: 1 })
  log.warn('s3cret of a@b.example', { error: 'a@b.example/s3cret', count: 1 })
  assert.deepEqual(lines, [
    'debug … of a@b.example {"error":"…","count":1}',
    'warn … of …@b.example {"error":"…@b.example","count":1}',
  ])
})

test('a secret and a name in a text of the server appear neither in the log nor on the page', async (t) => {
  const said = `fish&amp;chips'" of juliet@a.example/balcony`
  let streams = 0
  const server = await startFakeServer(t, {
    secret: SECRET,
    answer: ({ attrs: { id, to, from } }) => {
      streams++
      // The server refuses the first requests, and then ends the stream with an error.
      return streams < 20
        ? `<iq type="error" id="${id}" from="${to}" to="${from}"><error type="cancel">` +
            `<forbidden xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>` +
            `<text xmlns="urn:ietf:params:xml:ns:xmpp-stanzas">${said}</text></error></iq>`
        : `<stream:error><undefined-condition xmlns="urn:ietf:params:xml:ns:xmpp-streams"/>` +
            `<text xmlns="urn:ietf:params:xml:ns:xmpp-streams">${said}</text></stream:error></stream:stream>`
    },
  })
  const exporter = await withExporter(t, {
    flags: [`--xmpp.service=${server.service}`, `--xmpp.domain=${DOMAIN}`],
    env: { PROSODY_EXPORTER_XMPP_SECRET: SECRET, PROSODY_EXPORTER_PAGE_INTERVAL: '1s' },
  })
  const shown: string[] = []
  const look = async () => {
    for (const path of ['/', '/metrics', '/probe?target=stats.one.example&debug=true']) {
      shown.push((await exporter.get(path)).text)
    }
    return exporter.stderr()
  }
  await until(
    async () =>
      /collector=registry reason=forbidden error=.*\(… of …@a\.example\)/.test(await look()),
    {
      what: 'the log has a refused request',
    },
  )
  await until(async () => /\(undefined-condition\)\. .* … of …@a\.example/.test(await look()), {
    what: 'the log has the end of the stream',
  })
  // First, `prosody-exporter doctor` queries the running exporter. When the exporter has stopped, doctor connects
  // itself.
  for (const say of [() => undefined, () => exporter.stop()]) {
    await say()
    streams = 0
    const ran = await doctor(server.service, { secret: SECRET })
    assert.match(ran.out, /… of …@a\.example/)
    shown.push(ran.out, ran.err)
  }
  for (const text of [...shown, exporter.stdout(), exporter.stderr()]) {
    assert.doesNotMatch(text, /fish|chips|juliet|balcony/)
  }
  assert.ok(shown.some((text) => /of …@a\.example/.test(text)))
})

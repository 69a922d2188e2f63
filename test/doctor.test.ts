import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { freePort } from '../scripts/process.js'
import { runExporter } from './helpers/exporter.js'
import { prosodyVersions, withProsody, type ProsodyConfig } from './helpers/prosody.js'

const SECRET = 'xyzzy-42'
const DOMAIN = 'stats.one.example'

async function doctor(service: string, options: { secret?: string; flags?: string[] } = {}) {
  const child = runExporter({
    flags: [
      'doctor',
      `--xmpp.service=${service}`,
      `--xmpp.domain=${DOMAIN}`,
      ...(options.flags ?? []),
    ],
    env: { PROSODY_EXPORTER_XMPP_SECRET: options.secret ?? SECRET },
  })
  const code = await child.exited
  assert.ok(!`${child.stdout()}${child.stderr()}`.includes(options.secret ?? SECRET))
  return { code, out: child.stdout(), err: child.stderr() }
}

describe('doctor', { concurrency: 2 }, () => {
  for (const version of prosodyVersions) {
    const start = (t: Parameters<typeof withProsody>[0], config: ProsodyConfig = {}) =>
      withProsody(t, {
        version,
        ...config,
        statsOptions: { component_secret: `"${SECRET}"`, ...config.statsOptions },
      })

    test(`says that all is well with Prosody ${version}`, async (t) => {
      const { service } = await start(t)
      const { code, out, err } = await doctor(service)
      assert.deepEqual(
        out.match(/^ {2}(ok|note|FAILED) +\w+/gm)?.map((line) => line.trim().split(/ +/).join(' ')),
        ['name', 'connection', 'handshake', 'statistics', 'hosts', 'collection', 'clock'].map(
          (step) => `ok ${step}`,
        ),
      )
      assert.match(out, /ok +hosts +.*rooms\.one\.example/)
      assert.equal(err, '')
      assert.equal(code, 0)
    })

    test(`says what a numeric interval of Prosody ${version} means`, async (t) => {
      const { service } = await start(t, { globals: { statistics_interval: '60' } })
      const { code, out } = await doctor(service)
      assert.match(out, /note +collection .*statistics_interval = "manual"/)
      assert.equal(code, 0)
    })

    const wrong: readonly (readonly [string, ProsodyConfig, { secret?: string }, RegExp])[] = [
      ['a wrong secret', {}, { secret: 'not the one' }, /FAILED handshake .*component_secret/],
      [
        'no such component',
        { statsDomains: ['other.example'] },
        {},
        /FAILED handshake .*Component "stats\.one\.example"/,
      ],
      [
        'no module',
        { statsOptions: { modules_enabled: undefined } },
        {},
        /FAILED statistics .*modules_enabled = \{ "adhoc_statistics" \}/,
      ],
      [
        'no statistics',
        { globals: { statistics: undefined, statistics_interval: undefined } },
        {},
        /FAILED statistics .*statistics = "internal"/,
      ],
    ]
    for (const [what, config, options, line] of wrong) {
      test(`finds ${what} of Prosody ${version}`, async (t) => {
        const { service } = await start(t, config)
        const { code, out, err } = await doctor(service, options)
        assert.match(out, line)
        assert.equal(out.match(/FAILED/g)?.length, 1)
        assert.equal(err, '')
        assert.equal(code, 1)
      })
    }
  }

  test('finds that nothing listens, and a name without an address', async () => {
    const nobody = await doctor(`xmpp://127.0.0.1:${await freePort()}`)
    assert.match(nobody.out, /ok +name .*\n +FAILED connection nothing listens/)
    assert.equal(nobody.code, 1)
    const nameless = await doctor('xmpp://no-such-host.invalid')
    assert.match(nameless.out, /FAILED name +the host name .* has no address/)
    assert.equal(nameless.code, 1)
  })

  test('prints the lines to configure', async () => {
    const { code, out } = await doctor('xmpp://127.0.0.1', {
      flags: ['--show.prosody', '--show.prometheus', '--web.listen-address=10.1.2.3:9999'],
    })
    assert.match(out, /^Component "stats\.one\.example"$/m)
    assert.match(out, /targets: \['10\.1\.2\.3:9999'\]/)
    assert.equal(code, 0)
  })

  test('says what is wrong with its own flags', async () => {
    const { code, err } = await doctor('http://x')
    assert.match(err, /^prosody-exporter: --xmpp\.service: .*\n$/)
    assert.equal(code, 2)
  })
})

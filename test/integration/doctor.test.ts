import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { hashSync } from 'bcryptjs'
import { findPrometheus } from '../support/setup/programs.js'
import { freePort, run, temporaryDirectory } from '../support/setup/process.js'
import { doctor, DOMAIN, lastLine, runDoctor, SECRET } from '../support/doctor.js'
import { COLLECTORS } from '../../src/collectors/index.js'
import { everyVersion, legacyVersion, withProsody, type ProsodyConfig } from '../support/prosody.js'
import { createAuthority } from '../support/web.js'

/** The collectors that work only with servers other than Prosody. */
const OTHER_SERVERS = ['ejabberd_s2s', 'ejabberd_rooms']
/** What doctor --verbose reports about each collector, for a Prosody with the module and without admin rights. */
const COLLECTOR_STEPS = Object.fromEntries(
  COLLECTORS.filter(({ name }) => name !== 'registry').map(({ name, isOn, adminCommand }) => [
    name,
    isOn && adminCommand === undefined && !OTHER_SERVERS.includes(name) ? 'ok' : 'note',
  ]),
)
/** Reads the output of doctor, and returns the result of each step by the name of the step. */
const stepsOf = (out: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    [...out.matchAll(/^ {2}(ok|note|FAILED) +(\w+)/gm)].map(
      ([, result, step]) => [step!, result!] as const,
    ),
  )

describe('doctor', { concurrency: 2 }, () => {
  for (const version of everyVersion) {
    const isLegacy = version === legacyVersion
    const start = (t: Parameters<typeof withProsody>[0], config: ProsodyConfig = {}) =>
      withProsody(t, {
        version,
        ...config,
        statsOptions: { component_secret: `"${SECRET}"`, ...config.statsOptions },
      })

    test(`doctor finds no problem with a correct Prosody ${version}`, async (t) => {
      const globals = isLegacy ? { statistics_interval: '3600' } : {}
      const { service } = await start(t, { globals })
      const { code, out, err } = await doctor(service)
      assert.equal(err, '')
      assert.equal(code, 0)
      const steps = {
        ...Object.fromEntries(
          ['connection', 'login', 'versions', 'hosts', 'statistics', 'collectors', 'clock'].map(
            (step) => [step, 'ok'],
          ),
        ),
        security: 'note',
        collection: isLegacy ? 'note' : 'ok',
      }
      assert.deepEqual(stepsOf(out), steps)
      assert.match(
        lastLine({ out, err }),
        /^Prosody is ready: \d+ series\. The exporter does not run on this machine\. Start it, and open http:\/\/127\.0\.0\.1:9347\/$/,
      )
      assert.ok(out.trimEnd().split('\n').length <= 12, out)
      assert.match(out, new RegExp(`ok +versions +Prosody ${version}, prosody-exporter \\d`))
      assert.match(
        out,
        isLegacy
          ? /note +security +Prosody 0\.11\S+ is at its end of life/
          : /note +security +Prosody \S+ is older than \S+, .*CVE-2026-43506/,
      )
      assert.match(out, /ok +hosts +one\.example, rooms\.one\.example/)
      assert.doesNotMatch(out, /admin/)

      const verbose = await doctor(service, { flags: ['--verbose'] })
      assert.deepEqual(stepsOf(verbose.out), { ...steps, ...COLLECTOR_STEPS })
      assert.match(
        verbose.out,
        /note +users +not used: mod_adhoc_statistics already counts these values/,
      )
      assert.match(verbose.out, /note +modules +not used: Prosody answers its requests for admins/)
      assert.match(
        verbose.out,
        /note +server_statistics +off; turn it on with --collector\.server_statistics/,
      )
      assert.match(verbose.out, /note +ejabberd_s2s +not used: no host of this server offers/)
    })

    test(`without mod_adhoc_statistics, doctor checks the statistics that Prosody ${version} gives to an admin`, async (t) => {
      const { service } = await start(t, {
        modules: ['admin_adhoc'],
        globals: {
          admins: `{ "${DOMAIN}" }`,
          statistics: undefined,
          // The module s2s is off, because it would look up the unknown host in DNS, which can take long.
          modules_disabled: '{ "s2s" }',
        },
        statsOptions: { modules_enabled: undefined },
      })
      const { code, out } = await doctor(service, {
        flags: ['--no-collector.registry', '--verbose'],
      })
      assert.equal(code, 0)
      const steps = stepsOf(out)
      assert.equal(steps['statistics'], 'note')
      for (const { name, isOn } of COLLECTORS.filter(({ name }) => name !== 'registry')) {
        const expected = isOn && !OTHER_SERVERS.includes(name) ? 'ok' : 'note'
        assert.equal(steps[name], expected, name)
      }
      assert.ok(!('rights' in steps))

      const both = await doctor(service, { flags: ['--xmpp.host=typo.one.example'] })
      assert.equal(both.code, 1)
      assert.match(both.out, /FAILED statistics +mod_adhoc_statistics is not loaded/)
      assert.match(
        both.out,
        /FAILED components +typo\.one\.example of `hosts` does not describe itself/,
      )
    })

    test(`doctor stops at a missing mod_adhoc_statistics of Prosody ${version}, and speaks of admin rights only if the module is not wanted`, async (t) => {
      const { service } = await start(t, { statsOptions: { modules_enabled: undefined } })
      const { code, out } = await doctor(service)
      assert.equal(code, 1)
      assert.match(
        out,
        /FAILED statistics .*\nNot working: mod_adhoc_statistics is not loaded .*\n$/,
      )
      assert.doesNotMatch(out, /admin|clock|collection|collectors/)
      const without = await doctor(service, { flags: ['--no-collector.registry', '--verbose'] })
      assert.equal(without.code, 0)
      assert.match(without.out, /note +rights +users, s2s, modules: no data, .*admins = \{ "/)
      assert.match(without.out, /note +users +not used: requires admin rights on a host/)
      assert.match(without.out, /\nWorking, with one note: users, s2s, modules: no data/)
      assert.equal(stepsOf(without.out)['muc_rooms'], 'ok')
    })

    test(`doctor explains a numeric statistics_interval of Prosody ${version}`, async (t) => {
      const { service } = await start(t, { globals: { statistics_interval: '60' } })
      const { code, out } = await doctor(service)
      assert.match(
        out,
        isLegacy
          ? /note +collection .*set statistics_interval to your scrape interval[^]*\nProsody is ready/
          : /note +collection .*statistics_interval = "manual"[^]*\nWorking, with one note/,
      )
      assert.equal(code, 0)
    })

    const wrong: readonly (readonly [string, ProsodyConfig, { secret?: string }, RegExp])[] = [
      [
        'a wrong secret',
        {},
        { secret: 'not the one' },
        /FAILED login .*\nNot working: .*component_secret/,
      ],
      [
        'a domain without a component',
        { statsDomains: ['other.example'] },
        {},
        /FAILED login .*\nNot working: .*Component "stats\.one\.example"/,
      ],
      [
        'no mod_adhoc_statistics',
        { statsOptions: { modules_enabled: undefined } },
        {},
        /FAILED statistics .*\nNot working: .*modules_enabled = \{ "adhoc_statistics" \}/,
      ],
      [
        'statistics switched off',
        { globals: { statistics: undefined, statistics_interval: undefined } },
        {},
        /FAILED statistics +Statistics are switched off in Prosody\.\nNot working: .* Put statistics = "internal"/,
      ],
    ]
    for (const [what, config, options, line] of wrong) {
      test(`doctor reports the problem "${what}" with Prosody ${version}`, async (t) => {
        const { service } = await start(t, config)
        const { code, out, err } = await doctor(service, options)
        assert.match(out, line)
        assert.equal(out.match(/FAILED/g)?.length, 1, out)
        assert.equal(err, '')
        assert.equal(code, 1)
      })
    }
  }

  test('the Prometheus job that doctor prints has the TLS and authentication settings that the web configuration file requires', async (t) => {
    const { path, remove } = await temporaryDirectory('prosody-exporter-doctor')
    t.after(remove)
    await createAuthority(path, 'exporter')
    const tls = '{ cert_file: exporter.crt, key_file: exporter.key }'
    const jobWith = async (yaml: string) => {
      await writeFile(join(path, 'web.yml'), yaml)
      const flags = [`--web.config.file=${join(path, 'web.yml')}`, '--show.prometheus']
      return (await doctor('xmpp://127.0.0.1', { flags })).out
    }
    assert.equal(
      await jobWith(
        `tls_server_config: ${tls}\nbasic_auth_users: { someone: ${hashSync('x', 4)} }\n`,
      ),
      `scrape_configs:
  - job_name: prosody
    scheme: https
    tls_config: { ca_file: prosody-exporter.crt }
    basic_auth: { username: "someone", password_file: prosody-exporter.password }
    static_configs:
      - targets: ['127.0.0.1:9347']
`,
    )
    const requiringCertificate = tls.replace(' }', ', client_auth_type: RequireAnyClientCert }')
    assert.match(
      await jobWith(`tls_server_config: ${requiringCertificate}\n`),
      /ca_file: prosody-exporter\.crt, cert_file: prometheus\.crt, key_file: prometheus\.key }$/m,
    )
    await writeFile(join(path, 'token'), 'a-long-token', { mode: 0o600 })
    assert.match(
      await jobWith('bearer_token_files: [token]\n'),
      /^    authorization: { credentials_file: prosody-exporter\.token }$/m,
    )

    // With several servers, doctor prints two jobs, one of them with service discovery. All three parts need the TLS
    // settings.
    await writeFile(join(path, 'secret'), SECRET, { mode: 0o600 })
    const servers = ['one', 'two'].map(
      (name) => `  - { name: ${name}, domain: ${name}.example, secret_file: secret }\n`,
    )
    await writeFile(join(path, 'config.yml'), `servers:\n${servers.join('')}`)
    await writeFile(join(path, 'web.yml'), `tls_server_config: ${tls}\n`)
    const flags = ['config.file=config.yml', 'web.config.file=web.yml'].map(
      (flag) => `--${flag.replace('=', `=${path}/`)}`,
    )
    const several = await runDoctor([...flags, '--show.prometheus'], {})
    assert.equal(several.out.match(/tls_config/g)?.length, 3, several.err)
    await writeFile(join(path, 'prometheus.yml'), several.out)
    const { promtool } = await findPrometheus('2')
    const check = ['check', 'config', '--syntax-only', join(path, 'prometheus.yml')]
    const checked = await run(promtool, check)
    assert.equal(checked.code, 0, checked.output)
  })

  test('doctor checks each server in the configuration file, even if the checks of one server fail', async (t) => {
    const { service } = await withProsody(t, {
      version: everyVersion[1],
      statsOptions: { component_secret: `"${SECRET}"` },
    })
    const dir = await temporaryDirectory('prosody-exporter-doctor')
    t.after(dir.remove)
    await writeFile(join(dir.path, 'secret'), SECRET, { mode: 0o600 })
    const yaml = [
      ['gone', `xmpp://127.0.0.1:${await freePort()}`, DOMAIN],
      ['there', service, 'stats.two.example'],
    ].map(
      ([name, to, domain]) =>
        `  - { name: ${name}, service: '${to}', domain: ${domain}, secret_file: secret }`,
    )
    const file = join(dir.path, 'config.yml')
    await writeFile(file, `servers:\n${yaml.join('\n')}\n`)
    const run = (...flags: string[]) => runDoctor([`--config.file=${file}`, ...flags], {})
    const { code, out } = await run()
    assert.equal(code, 1)
    assert.match(out, /^gone: stats\.one\.example at .*\n +FAILED connection/m)
    const there = out.slice(out.indexOf('there: '))
    assert.equal(stepsOf(there)['statistics'], 'ok')
    assert.doesNotMatch(there, /FAILED/)
    assert.match(there, /^ {2}All good: \d+ series\.$/m)
    assert.match(out, /\nNot working: 1 of 2 servers\. gone: Cannot connect to Prosody .*\.\n$/)
    const jobs = await run('--show.prometheus', '--web.telemetry-path=/x')
    assert.match(jobs.out, /- url: http:\/\/127\.0\.0\.1:9347\/sd/)
    assert.match(jobs.out, /job_name: prosody-exporter\n +metrics_path: \/x\n/)
  })
})

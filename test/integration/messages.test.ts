import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { freePort, until } from '../support/setup/process.js'
import { withExporterFor, type RunningExporter } from '../support/exporter.js'
import {
  prosodyVersions,
  withProsody,
  type LuaOptions,
  type ProsodyConfig,
  type TestProsody,
} from '../support/prosody.js'
import {
  complaints,
  evalLua,
  isComplaint,
  logLines,
  sampleValue,
  serverSamples,
  untilReady,
  untilUp,
} from '../support/real.js'

const STATS = 'stats.one.example'
const SECRET = 'xyzzy-plugh-42-"\\\\'
const WRONG_SECRET = 'frobozz-magic-43'
const COMMAND = 'iq/host/http://jabber.org/protocol/commands:command'
const LOST = /"message":"Disconnected\./

type Version = (typeof prosodyVersions)[number]

const collected = 'prosody_exporter_collector_success{collector="registry"}'
const collections = 'prosody_exporter_collections_total'

function startProsody(
  t: TestContext,
  version: Version,
  { statsOptions, ...config }: ProsodyConfig = {},
): Promise<TestProsody> {
  return withProsody(t, {
    version,
    modules: ['test_eval'],
    ...config,
    statsOptions: {
      component_secret: JSON.stringify(SECRET),
      // The test uses Prosody's default for component_conflict_resolve.
      component_conflict_resolve: undefined,
      ...statsOptions,
    },
  })
}

function startExporter(
  t: TestContext,
  prosody: TestProsody,
  options: { secret?: string; domain?: string; service?: string; flags?: string[] } = {},
): Promise<RunningExporter> {
  const { service, statsDomains } = prosody
  return withExporterFor(
    t,
    { service: options.service ?? service, statsDomains, secret: options.secret ?? SECRET },
    {
      ...(options.domain !== undefined && { domain: options.domain }),
      flags: ['--log.format=json', '--log.level=debug', ...(options.flags ?? [])],
      // With a minimum age of 0, each scrape causes a collection.
      env: { PROSODY_EXPORTER_COLLECTION_MIN_AGE: '0ms' },
    },
  )
}

/** Waits until the log has `tries` more matches of the pattern than now. */
async function untilTried(log: () => string, pattern: RegExp, tries: number): Promise<void> {
  const count = () => log().match(new RegExp(pattern, 'g'))?.length ?? 0
  const before = count()
  await until(() => count() >= before + tries, {
    what: `the log has ${tries} more matches of ${pattern.source}`,
  })
}

/** Scrapes several times, and asserts that each scrape causes a new collection, which fails. */
async function assertFails(exporter: RunningExporter, up: 0 | 1, scrapes = 3): Promise<void> {
  const { text } = await exporter.get('/metrics')
  for (let i = 1; i <= scrapes; i++) {
    const answer = await exporter.get('/metrics')
    assert.equal(answer.status, 200)
    assert.equal(sampleValue(answer.text, 'xmpp_up'), up)
    assert.equal(sampleValue(answer.text, 'prosody_exporter_xmpp_connected'), up)
    assert.equal(sampleValue(answer.text, collected), 0)
    assert.deepEqual(serverSamples(answer.text), [])
    assert.equal(sampleValue(answer.text, collections), sampleValue(text, collections)! + i)
  }
  assert.equal((await exporter.get('/-/ready')).status, 503)
}

/** Asserts that the exporter logs one line about the problem, with prosody.cfg.lua and the given words. */
function assertOneComplaint(exporter: RunningExporter, ...words: readonly (string | RegExp)[]) {
  // If two exporters on one machine use the same component, the control socket causes another line about the conflict.
  const lines = complaints(exporter).filter(
    (line) => !/Another exporter on this machine/.test(line),
  )
  assert.equal(lines.length, 1, lines.join('\n'))
  for (const word of ['prosody.cfg.lua', ...words]) assertHas(lines[0]!, word)
}

function assertHas(line: string, word: string | RegExp): void {
  if (typeof word === 'string')
    assert.ok(line.includes(word), `${word} must be in the log line: ${line}`)
  else assert.match(line, word)
}

/** Asserts that the HTTP responses, the command line and the log of the exporter do not contain the secret. */
async function assertSecretHidden(exporter: RunningExporter, secret: string): Promise<void> {
  const pages = ['/metrics', '/', '/-/ready', '/-/healthy', '/nowhere']
  const texts = await Promise.all(pages.map(async (path) => (await exporter.get(path)).text))
  const cmdline = await readFile(`/proc/${exporter.pid}/cmdline`, 'utf8')
  assert.match(cmdline, /xmpp\.domain/)
  assert.ok(logLines(exporter).length > 0)
  for (const text of [...texts, cmdline, exporter.stderr(), exporter.stdout()]) {
    // In a JSON log, special characters of the secret would be escaped. So the test searches for both forms.
    for (const form of [secret, JSON.stringify(secret).slice(1, -1)]) {
      assert.ok(!text.includes(form), text)
    }
  }
}

/** Makes Prosody close the stream, and scrapes until the exporter has reconnected. */
async function breakStream(prosody: TestProsody, exporter: RunningExporter): Promise<void> {
  const connects = async () =>
    sampleValue((await exporter.get('/metrics')).text, 'prosody_exporter_xmpp_connects_total')!
  const before = await connects()
  await evalLua(
    prosody,
    `for _, session in pairs(module:context("*"):shared("/*/component/sessions")) do
      session:close()
    end`,
  )
  await until(async () => (await connects()) > before, {
    what: 'the exporter has reconnected',
  })
}

for (const version of prosodyVersions) {
  describe(`log messages about problems with Prosody ${version}`, { concurrency: 4 }, () => {
    test('one log line says what to change when the secret is wrong', async (t) => {
      const prosody = await startProsody(t, version)
      const exporter = await startExporter(t, prosody, { secret: WRONG_SECRET })
      await untilTried(() => prosody.log(), /Component authentication failed/, 4)
      await assertFails(exporter, 0)
      assertOneComplaint(exporter, 'component_secret', STATS, 'PROSODY_EXPORTER_XMPP_SECRET')
      await assertSecretHidden(exporter, WRONG_SECRET)
    })

    for (const [which, domain] of [
      ['unknown', 'nowhere.example'],
      ["a virtual host's", 'one.example'],
      ["an inner component's", 'rooms.one.example'],
    ] as const) {
      test(`one log line says what to change when the domain of the component is ${which}`, async (t) => {
        const prosody = await startProsody(t, version)
        const exporter = await startExporter(t, prosody, { domain })
        const refused =
          domain === 'rooms.one.example'
            ? /Incoming Jabber component connection/
            : /does not match any configured external components/
        await untilTried(() => prosody.log(), refused, 4)
        await assertFails(exporter, 0)
        assertOneComplaint(exporter, domain, 'xmpp.domain', /Component \\"/)
      })
    }

    test('one log line says what to change when the Component section in prosody.cfg.lua has no secret', async (t) => {
      const prosody = await startProsody(t, version, {
        statsOptions: { component_secret: undefined },
      })
      const exporter = await startExporter(t, prosody)
      await untilTried(() => prosody.log(), /component_secret is not set/, 4)
      await assertFails(exporter, 0)
      assertOneComplaint(exporter, 'component_secret', STATS)
    })

    test('one log line says what to change when another exporter uses the same component domain', async (t) => {
      const prosody = await startProsody(t, version)
      const first = await startExporter(t, prosody)
      await untilReady(first, 200)
      const second = await startExporter(t, prosody)
      await untilTried(() => prosody.log(), /Second component attempted to connect/, 4)
      await assertFails(second, 0)
      assertOneComplaint(second, 'component_conflict_resolve', STATS)
      assert.match(second.stderr(), /Another exporter on this machine uses component/)
      // The first exporter keeps its stream and logs no problem.
      const { text } = await first.get('/metrics')
      assert.equal(sampleValue(text, 'prosody_exporter_xmpp_connects_total'), 1)
      assert.equal(sampleValue(text, collected), 1)
      assert.deepEqual(complaints(first), [])
      // The second exporter connects after the first one stops.
      await first.stop()
      await untilUp(second)
    })

    test('one log line says what to change when no server listens at the address in --xmpp.service', async (t) => {
      const prosody = await startProsody(t, version)
      const service = `xmpp://127.0.0.1:${await freePort()}`
      const exporter = await startExporter(t, prosody, { service })
      await untilTried(() => exporter.stderr(), /still no stream/, 3)
      await assertFails(exporter, 0)
      assertOneComplaint(exporter, service, 'xmpp.service', 'component_ports', STATS)
    })

    test('one log line says what to change when --xmpp.service has the port of another Prosody service', async (t) => {
      const prosody = await startProsody(t, version)
      const service = `xmpp://127.0.0.1:${prosody.ports.c2s}`
      const exporter = await startExporter(t, prosody, { service })
      await untilTried(() => exporter.stderr(), /still no stream/, 3)
      await assertFails(exporter, 0)
      assertOneComplaint(exporter, 'xmpp.service', 'component_ports')
    })

    const off: readonly (readonly [string, ProsodyConfig, readonly string[]])[] = [
      [
        'mod_adhoc_statistics is not loaded',
        { statsOptions: { modules_enabled: undefined } },
        ['modules_enabled', 'adhoc_statistics', 'plugin_paths', STATS],
      ],
      [
        'statistics of Prosody are off',
        globals({ statistics: undefined, statistics_interval: undefined }),
        ['statistics = ', 'statistics_interval'],
      ],
      [
        'statistics_interval of Prosody is set without statistics',
        globals({ statistics: undefined }),
        ['statistics = ', 'statistics_interval'],
      ],
    ]
    for (const [what, config, words] of off) {
      test(`one log line says what to change when ${what}`, async (t) => {
        const prosody = await startProsody(t, version, config)
        const exporter = await startExporter(t, prosody)
        await until(() => complaints(exporter).length > 0, {
          what: 'the exporter has logged a problem',
        })
        await assertFails(exporter, 1)
        assertOneComplaint(exporter, ...words)
        // After the exporter has reconnected, it must not log the same problem again.
        await breakStream(prosody, exporter)
        await assertFails(exporter, 1)
        const about = complaints(exporter).filter((line) => !LOST.test(line))
        assert.equal(about.length, 1, about.join('\n'))
        await assertSecretHidden(exporter, SECRET)
      })
    }

    test('one log line says what to change when Prosody does not allow the component to request statistics', async (t) => {
      const prosody = await startProsody(t, version)
      // This hook refuses the command, like a Prosody module that restricts commands.
      await evalLua(
        prosody,
        `local st = require "util.stanza"
        module:context("${STATS}"):hook("${COMMAND}", function (event)
          event.origin.send(st.error_reply(event.stanza, "auth", "forbidden", "not you"))
          return true
        end, 1000)`,
      )
      const exporter = await startExporter(t, prosody)
      await until(() => complaints(exporter).length > 0, {
        what: 'the exporter has logged a problem',
      })
      await assertFails(exporter, 1)
      assertOneComplaint(exporter, 'modules_enabled', STATS, 'not you')
    })

    test('when a problem is fixed, the exporter logs that the collector recovered', async (t) => {
      const config = globals({ statistics: undefined })
      const prosody = await startProsody(t, version, config)
      const exporter = await startExporter(t, prosody)
      await until(() => complaints(exporter).length > 0, {
        what: 'the exporter has logged a problem',
      })
      await prosody.restart(globals({}))
      await untilUp(exporter)
      const about = logLines(exporter).filter(({ collector }) => collector === 'registry')
      const shown = about.filter(({ level }) => isComplaint(level) || level === 'INFO')
      assert.deepEqual(
        shown.map(({ message }) => message),
        ['collector failed', 'collector recovered'],
      )
    })

    test('the secret is not in the HTTP responses, the command line or the log of the exporter', async (t) => {
      const prosody = await startProsody(t, version)
      const file = join(prosody.dir, 'secret')
      await writeFile(file, `${SECRET}\n`, { mode: 0o600 })
      // The environment variable with the secret is empty, so the exporter reads the secret from the file.
      const flags = [`--xmpp.secret-file=${file}`]
      const exporter = await startExporter(t, prosody, { secret: '', flags })
      await untilReady(exporter, 200)
      await untilUp(exporter)
      await assertSecretHidden(exporter, SECRET)
      assert.deepEqual(complaints(exporter), [])
    })
  })
}

function globals(options: LuaOptions): ProsodyConfig {
  return { globals: options }
}

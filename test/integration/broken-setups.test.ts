/** The last line of `prosody-exporter doctor` names the cause of each broken set-up, and says what to change. */

import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { BROKEN_SETUPS, type Fault } from '../support/broken-setups.js'
import { doctor, lastLine, runDoctor } from '../support/doctor.js'
import { httpGet, runExporter } from '../support/exporter.js'
import { prosodyVersions, withProsody } from '../support/prosody.js'
import { sampleValue } from '../support/real.js'
import { freePort, temporaryDirectory, until } from '../support/setup/process.js'

const ask = (t: TestContext, { flags, env, script }: Fault) =>
  runDoctor(flags, env, script).then((result) => {
    t.diagnostic(lastLine(result))
    return result
  })

/** The set-ups with which Prosody works, so that doctor has only a note. */
const ONLY_NOTED = /statistics_interval is a number|second exporter/

/** Starts an exporter, and waits until doctor can ask it. Does not use HTTP, because one fault is of the certificate. */
async function startExporter(t: TestContext, { flags, env, script }: Fault) {
  const address = `127.0.0.1:${await freePort()}`
  const listen = `--web.listen-address=${address}`
  const exporter = runExporter({ flags: [listen, ...flags], env, ...(script && { script }) })
  t.after(() => exporter.stop())
  const directory = join(env['XDG_RUNTIME_DIR']!, 'prosody-exporter')
  await until(async () => (await readdir(directory).catch(() => [])).length > 0, {
    what: 'the exporter has a control socket',
  })
  return { ...exporter, address }
}

describe('the last line of doctor names the problem', { concurrency: 2 }, () => {
  for (const { name, start, expected, isRunnable } of BROKEN_SETUPS) {
    test(`${name}: without a running exporter`, async (t) => {
      const fault = await start(t)
      await fault.cause?.()
      const result = await ask(t, fault)
      assert.match(lastLine(result), expected, result.out)
      if (!isRunnable) assert.equal(result.code, 2)
      else assert.equal(result.code, ONLY_NOTED.test(name) ? 0 : 1, result.out)
      const failures = result.out.match(/^ +FAILED/gm) ?? []
      assert.ok(failures.length <= 1, result.out)
    })

    if (!isRunnable) continue
    test(`${name}: with a running exporter`, async (t) => {
      const fault = await start(t)
      const exporter = await startExporter(t, fault)
      if (fault.cause) {
        await until(() => exporter.stderr().includes('connected to Prosody'), {
          what: 'the exporter is connected',
        })
        await fault.cause()
        await until(() => exporter.stderr().includes('Prosody stopped'), {
          what: 'the exporter cannot connect any more',
        })
      }
      if (name.includes('second exporter')) {
        await until(() => exporter.stderr().match(/Disconnected\. Another/) !== null, {
          what: 'the other exporter has logged in',
        })
      }
      const result = await ask(t, fault)
      assert.match(lastLine(result), expected, result.out)
      assert.match(result.out, new RegExp(`ok +service +runs as process ${exporter.pid};`))
    })
  }
})

test('doctor recognizes the port of Prosody for other servers', async (t) => {
  const prosody = await withProsody(t, { version: prosodyVersions[1] })
  const result = await doctor(`xmpp://127.0.0.1:${prosody.ports.s2s}`)
  assert.match(lastLine(result), /is not a Prosody component port: it is for XMPP servers\. /)
})

describe('a second exporter on this machine', { concurrency: 2 }, () => {
  const secondExporter = BROKEN_SETUPS.find(({ name }) => name.includes('second exporter'))!

  test('doctor names it, even if Prosody rejects it and the first exporter works', async (t) => {
    const prosody = await withProsody(t, {
      version: prosodyVersions[1],
      // With its default, Prosody rejects the newer connection.
      statsOptions: { component_conflict_resolve: undefined },
    })
    const { path, remove } = await temporaryDirectory('prosody-exporter-control')
    t.after(remove)
    const fault: Fault = {
      flags: [`--xmpp.service=${prosody.service}`, `--xmpp.domain=${prosody.statsDomains[0]}`],
      env: { PROSODY_EXPORTER_XMPP_SECRET: prosody.secret, XDG_RUNTIME_DIR: path },
    }
    const first = await startExporter(t, fault)
    assert.match(lastLine(await ask(t, fault)), /^All good/)
    const second = await startExporter(t, fault)
    await until(() => second.stderr().includes('Another exporter on this machine'), {
      what: 'the second exporter has found the first',
    })
    const result = await ask(t, fault)
    assert.match(result.out, new RegExp(`ok +service +runs as process ${first.pid};`))
    assert.match(
      lastLine(result),
      /^Working, with one note: Another exporter on this machine uses component "/,
    )
  })

  test('after several evictions, doctor fails even while the exporter is connected', async (t) => {
    const fault = await secondExporter.start(t)
    const exporter = await startExporter(t, fault)
    const connects = async () => {
      const { text } = await httpGet(`http://${exporter.address}/metrics`)
      return sampleValue(text, 'prosody_exporter_xmpp_connects_total') ?? 0
    }
    await until(async () => (await connects()) > 2, { what: 'the exporter was evicted twice' })
    const result = await ask(t, fault)
    assert.equal(result.code, 1)
    assert.match(lastLine(result), /^Not working: Another program logged in as component "/)
  })
})

// Tests the history file of the page with a real Prosody.

import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { createLayout } from '../../src/history/file-layout.js'
import { openHistoryFile } from '../../src/history/history-file.js'
import { getHistoryPath } from '../../src/history/state-directory.js'
import { withExporterFor } from '../support/exporter.js'
import { withProsody } from '../support/prosody.js'
import { isComplaint, logLines } from '../support/real.js'
import { temporaryDirectory, until } from '../support/setup/process.js'

const FAST = { PROSODY_EXPORTER_PAGE_INTERVAL: '1s' }
const JSON_LOG = { ...FAST, PROSODY_EXPORTER_LOG_FORMAT: 'json' }

async function readPoints(directory: string, server: string) {
  const ignore = () => undefined
  const refuse = (message: string) => {
    throw new Error(message)
  }
  const log = { debug: ignore, info: ignore, warn: refuse, error: refuse }
  const path = getHistoryPath(directory, server)
  const nowMs = Date.now()
  const file = await openHistoryFile(path, { server, nowMs, maxGapMs: 60_000, log })
  return await file.readPoints(0, nowMs)
}

async function setUp(t: TestContext) {
  const { path: directory, remove } = await temporaryDirectory('prosody-exporter-state')
  t.after(remove)
  const prosody = await withProsody(t, { version: '13.0.1' })
  return { directory, prosody, domain: prosody.statsDomains[0]! }
}

describe('the history file of the exporter', () => {
  test('is written when the exporter stops, and continued by the next exporter', async (t) => {
    const { directory, prosody, domain } = await setUp(t)
    const start = () =>
      withExporterFor(t, prosody, { flags: [`--state.directory=${directory}`], env: FAST })
    const first = await start()
    await until(async () => (await first.get('/-/ready')).status === 200, { what: 'a collection' })
    await first.stop()
    const points = await readPoints(directory, domain)
    assert.ok(points.some(({ isUp, clients }) => isUp && clients === 0))
    assert.equal(statSync(getHistoryPath(directory, domain)).size, createLayout().bytes)

    await prosody.stop()
    // The file has one point for each 7.5 s.
    const { stepMs } = createLayout().points
    const slot = Math.floor(points.at(-1)!.atMs / stepMs)
    await until(() => Math.floor(Date.now() / stepMs) > slot, { what: 'the next slot' })
    const second = await start()
    await until(async () => /^xmpp_up 0$/m.test((await second.get('/metrics')).text), {
      what: 'a failed collection',
    })
    await second.stop()
    const all = await readPoints(directory, domain)
    assert.deepEqual(all.slice(0, points.length), points)
    assert.equal(all.at(-1)!.isUp, false)
  })

  test('is in a directory that another program may use too', async (t) => {
    const { directory, prosody, domain } = await setUp(t)
    const path = getHistoryPath(directory, domain)
    writeFileSync(path, 'of another program')
    const exporter = await withExporterFor(t, prosody, {
      env: { ...JSON_LOG, STATE_DIRECTORY: `${directory}:/nowhere` },
    })
    await until(() => logLines(exporter).some(({ message }) => message.includes('history file')), {
      what: 'the line about the file',
    })
    await exporter.stop()
    assert.deepEqual(
      readdirSync(directory).sort(),
      [path, `${path}.old`].map((each) => each.slice(directory.length + 1)),
    )
    assert.ok((await readPoints(directory, domain)).length > 0)
  })

  test('is not required: without a directory that can be written, the exporter works and logs one line', async (t) => {
    const { directory, prosody } = await setUp(t)
    mkdirSync(join(directory, 'a'))
    writeFileSync(join(directory, 'a/file'), '')
    const exporter = await withExporterFor(t, prosody, {
      flags: [`--state.directory=${join(directory, 'a/file/state')}`],
      env: JSON_LOG,
    })
    await until(async () => (await exporter.get('/-/ready')).status === 200, {
      what: 'a collection',
    })
    const lines = logLines(exporter).filter(({ level }) => isComplaint(level))
    assert.deepEqual(
      lines.map(({ message }) => message),
      [
        `cannot write in the state directory ${directory}/a/file/state: a part of its path is not a directory. The page remembers only the last hours, until a restart. Set --state.directory to a directory that the user of the exporter can write`,
      ],
    )
    await exporter.stop()
  })
})

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { build } from 'esbuild'
import { openHistoryFile } from '../../src/history/history-file.js'
import { getSpanValues } from '../../src/history/span.js'
import { createRandom } from '../support/random.js'

const KILLS = 200
/** The process is killed at most this long after it has stored its first points. */
const MAX_MS = 30
const DAY_MS = 24 * 3_600_000
const BATCH_MS = 5 * 60_000

/** Fails if the file is damaged. */
const refuse = (message: string) => {
  throw new Error(message)
}

test(`the history file loses at most 5 minutes when the exporter is killed, ${KILLS} times`, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'prosody-exporter-kill-'))
  t.after(() => {
    rmSync(directory, { recursive: true })
  })
  const program = join(directory, 'append.mjs')
  const path = join(directory, 'a.history')
  // The bundle starts much faster than the TypeScript file.
  await build({
    entryPoints: [join(import.meta.dirname, '../support/append-history.ts')],
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile: program,
  })
  const random = createRandom(20261127)
  let startMs = Date.UTC(2026, 0, 1)
  let killedWhileWriting = 0

  for (let kill = 0; kill < KILLS; kill++) {
    const child = spawn(process.execPath, [program, path, String(startMs)])
    t.after(() => child.kill('SIGKILL'))
    const ended = once(child, 'close')
    const lines: string[] = []
    const reader = createInterface(child.stdout).on('line', (line) => lines.push(line))
    await once(reader, 'line')
    // The time is random on purpose: no result depends on it.
    await sleep(random.below(MAX_MS))
    child.kill('SIGKILL')
    await ended
    const storedMs = lines.map(Number)
    assert.ok(storedMs.every(Number.isFinite), lines.join('\n'))
    const lastMs = storedMs.at(-1)!

    const log = { debug: refuse, info: refuse, warn: refuse, error: refuse }
    const file = await openHistoryFile(path, {
      server: 'a.example',
      nowMs: lastMs,
      maxGapMs: 60_000,
      log,
    })
    const fromMs = Math.max(startMs, lastMs - DAY_MS + BATCH_MS)
    const points = await file.readPoints(fromMs, lastMs)
    assert.equal(points.length, Math.floor((lastMs - fromMs) / 15_000) + 1)
    const minutes = await file.readSpans('minutes', fromMs, lastMs)
    for (const span of minutes.slice(1, -1)) {
      assert.equal(span.upMs, BATCH_MS)
      assert.deepEqual(getSpanValues(span, 'clients'), { average: 9.5, minimum: 0, maximum: 19 })
    }
    // The process had begun to write the points after the last ones that it has reported.
    const newest = await file.readPoints(lastMs + 1, lastMs + BATCH_MS)
    if (newest.length > 0) killedWhileWriting++
    startMs = lastMs + 2 * BATCH_MS - (lastMs % BATCH_MS)
  }
  assert.ok(killedWhileWriting > 0)
  assert.deepEqual(readdirSync(directory).sort(), ['a.history', 'append.mjs'])
})

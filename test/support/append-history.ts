/**
 * Appends points to a history file until the process is killed: `append-history.ts PATH START_MS`. After each batch of
 * five minutes, prints the time of the last stored point. The time is simulated.
 */

import process from 'node:process'
import { openHistoryFile } from '../../src/history/history-file.js'

const [path = '', start = ''] = process.argv.slice(2)
const ignore = () => undefined
const file = await openHistoryFile(path, {
  server: 'a.example',
  nowMs: Number(start),
  maxGapMs: 60_000,
  log: { debug: ignore, info: ignore, warn: console.log, error: console.log },
})
for (let fromMs = Number(start); ; fromMs += 20 * 15_000) {
  const points = Array.from({ length: 20 }, (_, i) => {
    return { atMs: fromMs + i * 15_000, isUp: true, clients: i }
  })
  await file.append(points)
  process.stdout.write(`${points.at(-1)!.atMs}\n`)
}

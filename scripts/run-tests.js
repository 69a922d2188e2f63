/**
 * Runs the test files given as arguments in processes of their own, several at a time, and prints
 * which took longest. `scripts/test.js` starts it.
 */

import { availableParallelism } from 'node:os'
import { relative } from 'node:path'
import process from 'node:process'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { root } from './process.js'

/** For a test that hangs; no test depends on it. */
const FILE_TIMEOUT_MS = 40 * 60_000

// Most tests wait for servers more than they compute.
const concurrency = availableParallelism() * 2

const PATTERN = '--test-name-pattern='
const args = process.argv.slice(2)
const pattern = args.find((arg) => arg.startsWith(PATTERN))?.slice(PATTERN.length)
const files = args.filter((arg) => !arg.startsWith('--'))

/** Milliseconds in the tests of each file. @type {Map<string, number>} */
const durations = new Map()

/** @param {import('node:test').EventData.TestPass | import('node:test').EventData.TestFail} event */
function count({ file, nesting, details }) {
  if (nesting !== 0 || file === undefined) return
  durations.set(file, (durations.get(file) ?? 0) + details.duration_ms)
}

const stream = run({
  files,
  concurrency,
  timeout: FILE_TIMEOUT_MS,
  ...(pattern !== undefined && { testNamePatterns: [pattern] }),
})
stream.on('test:pass', count)
stream.on('test:fail', (event) => {
  count(event)
  if (event.todo === undefined || event.todo === false) process.exitCode = 1
})
stream.compose(new spec()).pipe(process.stdout)
stream.once('end', () => {
  const slowest = [...durations].sort(([, a], [, b]) => b - a).slice(0, 10)
  process.once('exit', () => {
    console.log('Slowest files:')
    for (const [file, ms] of slowest) {
      console.log(`${(ms / 1000).toFixed(1).padStart(8)} s  ${relative(root, file)}`)
    }
  })
})

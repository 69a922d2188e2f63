/**
 * Runs the given test files, and prints which of them took longest. Each file runs in its own process, and several
 * files run concurrently. `tools/test.js` starts this script.
 */

import { availableParallelism } from 'node:os'
import { basename, relative } from 'node:path'
import process from 'node:process'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { root } from '../test/support/setup/process.js'

/** A test file that hangs is ended after this time. No test depends on the value. */
const FILE_TIMEOUT_MS = 40 * 60_000

/**
 * The names of the test files that take longest. They start first, so that none of them still runs when all others
 * have ended.
 */
const LONGEST = [
  'outside-faults',
  'alerts',
  'registry',
  'faults',
  'outage',
  'prometheus',
  'runaway',
  'rates',
]

const args = process.argv.slice(2)
const option = (/** @type {string} */ name) =>
  args.find((arg) => arg.startsWith(`--${name}=`))?.slice(name.length + 3)
const pattern = option('test-name-pattern')
// Most tests wait for servers and use little CPU time, so more files than cores can run concurrently.
const concurrency = Number(option('concurrency') ?? availableParallelism() * 2)
const isLong = (/** @type {string} */ file) => LONGEST.includes(basename(file, '.test.ts'))
const files = args.filter((arg) => !arg.startsWith('--'))
const ordered = [...files.filter(isLong), ...files.filter((file) => !isLong(file))]

/** The total duration of the tests in each file, in milliseconds. @type {Map<string, number>} */
const durations = new Map()

/** @param {import('node:test').EventData.TestPass | import('node:test').EventData.TestFail} event */
function count({ file, nesting, details }) {
  if (nesting !== 0 || file === undefined) return
  durations.set(file, (durations.get(file) ?? 0) + details.duration_ms)
}

const stream = run({
  files: ordered,
  concurrency,
  timeout: FILE_TIMEOUT_MS,
  ...(pattern !== undefined && { testNamePatterns: [pattern] }),
})
stream.on('test:pass', count)
stream.on('test:fail', (event) => {
  count(event)
  if (event.todo === undefined || event.todo === false) process.exitCode = 1
})
stream.pipe(new spec()).pipe(process.stdout)
stream.once('end', () => {
  if (durations.size === 0) {
    console.error('No test ran, because no test in the given files has a name that matches.')
    process.exitCode = 1
  }
  const slowest = [...durations].sort(([, a], [, b]) => b - a).slice(0, 10)
  process.once('exit', () => {
    console.log('The slowest test files, with the total duration of their tests:')
    for (const [file, ms] of slowest) {
      console.log(`${(ms / 1000).toFixed(1).padStart(8)} s  ${relative(root, file)}`)
    }
  })
})

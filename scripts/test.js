/**
 * `npm test`: sets up what is missing, checks types, lint and format, then runs every test.
 *
 * With arguments (`npm test -- test/store.test.ts`) only those files are run, without the checks;
 * options of Node's runner are passed on.
 */

import process from 'node:process'
import { fetchAll, filesIn } from './parts.js'
import { onEnd, runAttached, SetupError } from './process.js'
import { installPackages, npm } from './setup.js'

// A test that freezes a server for a minute, on a slow machine, with time to spare.
const FILE_TIMEOUT_MS = 15 * 60_000

/** @param {string} line */
const say = (line) => {
  console.log(`[test] ${line}`)
}

/** @param {readonly string[]} args */
async function test(args) {
  await installPackages(say)
  const isFile = (/** @type {string} */ arg) => arg.endsWith('.ts')
  if (args.length === 0) {
    say('Types, lint and format (npm run check) …')
    const code = await npm('run', '--silent', 'check')
    if (code !== 0) return code
  }
  await fetchAll(say)
  const files = args.some(isFile) ? args.filter(isFile) : await filesIn('test', '.test.ts')
  if (files.length === 0) throw new SetupError('There is no test to run in test/.')
  say(`${files.length} test files …`)
  return await runAttached(process.execPath, [
    ...['--import', 'tsx', '--test', '--test-reporter=spec', `--test-timeout=${FILE_TIMEOUT_MS}`],
    ...args.filter((arg) => !isFile(arg)),
    ...files,
  ])
}

onEnd(() => process.exit(1))
try {
  process.exitCode = await test(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof SetupError)) throw error
  console.error(error.message)
  process.exitCode = 1
}

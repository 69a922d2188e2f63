/**
 * `npm test`: installs missing npm packages, checks types, lint rules and format, and runs all tests except for those
 * of `npm run test:matrix` alone. `npm run test:unit` runs only the tests that need nothing except the npm packages and
 * loopback.
 *
 * With file names (`npm test -- test/integration/page.test.ts`), the script runs only these test files, without the
 * checks. `--test-name-pattern=PATTERN` is passed to the test runner of Node.js. A program that a test needs is
 * downloaded when a test first uses it.
 */

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { fetchAll } from '../test/support/setup/programs.js'
import { onEnd, root, runTool, SetupError } from '../test/support/setup/process.js'
import { runFiles } from './runner.js'
import { build, installPackages, npm } from '../test/support/setup/dependencies.js'

/** The directory with tests of many server versions and of complete systems. Only `npm run test:matrix` runs them. */
const MATRIX = 'test/packaging/matrix'

/** Test files outside of test/unit that need no more programs than the unit tests. */
const LIKE_UNIT = ['test/robustness/simulation.test.ts']

/**
 * @param {string} directory
 * @returns {Promise<string[]>} The test files below the directory, in order.
 */
async function testFiles(directory) {
  const names = await readdir(join(root, directory), { recursive: true })
  return names
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => join(directory, name))
    .sort()
}

/** @param {string} arg */
const isOption = (arg) => arg.startsWith('--')

/** @param {string} line */
const say = (line) => {
  console.log(`[test] ${line}`)
}

/** @param {readonly string[]} args */
async function test(args) {
  const unknown = args.filter(isOption).find((arg) => !/^--(unit$|test-name-pattern=)/.test(arg))
  if (unknown !== undefined) {
    throw new SetupError(`Unknown option ${unknown}. Use --unit or --test-name-pattern=PATTERN.`)
  }
  const unregister = onEnd(() => process.exit(130))
  const files = await prepare(args)
  return typeof files === 'number'
    ? files
    : await runFiles(files, args.filter(isOption), unregister)
}

/**
 * Installs packages, checks the code, downloads programs and builds `dist/`, as far as the tests to run need that.
 *
 * @param {readonly string[]} args
 * @returns {Promise<string[] | number>} The files to run, or the exit code of a failed check.
 */
async function prepare(args) {
  await installPackages(say)
  if (args.length === 0) {
    say('Checking types, lint rules and format (npm run check) …')
    const code = await npm('run', '--silent', 'check')
    if (code !== 0) return code
    // All downloads happen before the tests, so that no test waits for them. If an archive cannot be reached, the
    // script prints one clear message instead of many failed tests.
    await fetchAll(say)
  }
  await build(say)
  if (args.includes('--unit')) return [...(await testFiles('test/unit')), ...LIKE_UNIT]
  const named = args.filter((arg) => !isOption(arg))
  if (named.length > 0) return named
  return (await testFiles('test')).filter((file) => !file.startsWith(`${MATRIX}/`))
}

await runTool(test)

/**
 * `npm test`: installs what is missing, checks types, lint and format, then runs every test.
 * `npm run test:unit`: only the tests that need nothing but the npm packages and loopback.
 *
 * With files (`npm test -- test/integration/page.test.ts`) only those are run, without the checks;
 * `--test-name-pattern=PATTERN` is passed to Node's test runner. A test fetches the programs that it needs
 * when it first uses them.
 */

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { fetchAll } from '../test/support/setup/programs.js'
import { onEnd, root, SetupError } from '../test/support/setup/process.js'
import { runFiles } from './runner.js'
import { build, installPackages, npm } from '../test/support/setup/dependencies.js'

/** Tests of many versions and of whole machines: `npm run test:matrix`. */
const MATRIX = 'test/packaging/matrix'

/** The tests outside of test/unit that need no other programs either. */
const LIKE_UNIT = ['test/robustness/simulation.test.ts']

/**
 * @param {string} directory
 * @returns {Promise<string[]>} The test files below it, in order.
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
    throw new SetupError(`${unknown} is unknown: expected --unit or --test-name-pattern=PATTERN.`)
  }
  const takeBack = onEnd(() => process.exit(130))
  const files = await prepare(args)
  return typeof files === 'number' ? files : await runFiles(files, args.filter(isOption), takeBack)
}

/**
 * Sets up what the tests need.
 *
 * @param {readonly string[]} args
 * @returns {Promise<string[] | number>} The files to run, or the exit code of a failed check.
 */
async function prepare(args) {
  await installPackages(say)
  if (args.length === 0) {
    say('Types, lint and format (npm run check) …')
    const code = await npm('run', '--silent', 'check')
    if (code !== 0) return code
    // Fetch the programs first: an unreachable mirror then causes one error line, and no test waits for it.
    await fetchAll(say)
  }
  await build(say)
  if (args.includes('--unit')) return [...(await testFiles('test/unit')), ...LIKE_UNIT]
  const named = args.filter((arg) => !isOption(arg))
  if (named.length > 0) return named
  return (await testFiles('test')).filter((file) => !file.startsWith(`${MATRIX}/`))
}

try {
  process.exitCode = await test(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof SetupError)) throw error
  console.error(error.message)
  process.exitCode = 1
}

/**
 * `npm test`: installs what is missing, checks types, lint and format, then runs every test.
 * `npm run test:unit`: only the tests that need nothing but the npm packages and loopback.
 *
 * With files (`npm test -- test/integration/page.test.ts`) only those are run, without the checks;
 * `--test-name-pattern` is passed to Node's test runner. A test fetches the programs that it needs
 * when it first uses them.
 */

import { spawn } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as delay } from 'node:timers/promises'
import { fetchAll } from './parts.js'
import { onEnd, root, SetupError, temporaryDirectory } from './process.js'
import { build, installPackages, npm } from './setup.js'

/** Tests of many versions and of whole machines: `npm run test:matrix`. */
const MATRIX = 'test/matrix'

/** The tests outside of test/unit that need no more than those inside. */
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

/** @param {string} line */
const say = (line) => {
  console.log(`[test] ${line}`)
}

/** @param {readonly string[]} args */
async function test(args) {
  await installPackages(say)
  const options = args.filter((arg) => arg.startsWith('--'))
  const named = args.filter((arg) => !arg.startsWith('--'))
  if (options.includes('--unit')) {
    await build(say)
    return await runFiles([...(await testFiles('test/unit')), ...LIKE_UNIT], options)
  }
  if (args.length === 0) {
    say('Types, lint and format (npm run check) …')
    const code = await npm('run', '--silent', 'check')
    if (code !== 0) return code
    // First of all, so that a registry out of reach is one line, and no test waits for it.
    await fetchAll(say)
  }
  await build(say)
  if (named.length > 0) return await runFiles(named, options)
  const files = await testFiles('test')
  return await runFiles(
    files.filter((file) => !file.startsWith(`${MATRIX}/`)),
    options,
  )
}

/**
 * Runs test files, and leaves neither a process nor a temporary file behind, however it ends.
 *
 * @param {readonly string[]} files
 * @param {readonly string[]} options
 * @returns {Promise<number>} The exit code.
 */
async function runFiles(files, options) {
  say(`${files.length} test files …`)
  const directory = await temporaryDirectory('prosody-exporter-tests')
  const runner = spawn(
    process.execPath,
    ['--import', 'tsx', join(root, 'scripts/run-tests.js'), ...options, ...files],
    {
      cwd: root,
      stdio: 'inherit',
      env: { ...process.env, TMPDIR: directory.path },
      // A process group of its own: Ctrl-C reaches only this process, which ends the whole group.
      detached: true,
    },
  )
  const ended = new Promise((/** @type {(code: number) => void} */ resolve) => {
    runner.once('error', () => {
      resolve(127)
    })
    runner.once('exit', (code) => {
      resolve(code ?? 1)
    })
  })
  const cleanUp = async () => {
    await endGroup(runner.pid ?? 0)
    await directory.remove()
  }
  let isInterrupted = false
  onEnd(() => {
    if (isInterrupted) return
    isInterrupted = true
    void cleanUp().then(() => process.exit(130))
  })
  const code = await ended
  if (!isInterrupted) await cleanUp()
  return code
}

/**
 * Ends all processes of a group. Programs that the tests start in groups of their own end with
 * their parents (`launch` in process.js).
 *
 * @param {number} group
 */
async function endGroup(group) {
  const send = (/** @type {NodeJS.Signals | 0} */ signal) => {
    try {
      return process.kill(-group, signal)
    } catch {
      return false
    }
  }
  for (let tries = 0; send(tries < 100 ? 'SIGTERM' : 'SIGKILL'); tries++) await delay(50)
}

try {
  process.exitCode = await test(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof SetupError)) throw error
  console.error(error.message)
  process.exitCode = 1
}

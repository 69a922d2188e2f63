/** Runs test files so that nothing of them is left when they end, or are interrupted. */

import { spawn } from 'node:child_process'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as delay } from 'node:timers/promises'
import { onEnd, root, signalGroup, temporaryDirectory } from './process.js'

/**
 * Runs test files, and leaves neither a process nor a temporary file behind, however it ends.
 *
 * @param {readonly string[]} files
 * @param {readonly string[]} options Those of run-tests.js.
 * @returns {Promise<number>} The exit code.
 */
export async function runFiles(files, options) {
  // A short name, for below it are sockets, whose paths have at most 107 bytes (unix(7)).
  const directory = await temporaryDirectory('petest')
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
  const takeBack = onEnd(() => {
    takeBack()
    void cleanUp().then(() => process.exit(130))
  })
  const code = await ended
  await cleanUp()
  return code
}

/**
 * Ends all processes of a group. Programs that the tests start in groups of their own end with
 * their parents (`launch` in process.js).
 *
 * @param {number} group
 */
async function endGroup(group) {
  for (let tries = 0; signalGroup(group, tries < 100 ? 'SIGTERM' : 'SIGKILL'); tries++) {
    await delay(50)
  }
}

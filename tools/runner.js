/** Runs test files with run-tests.js. When the tests end or are interrupted, cleans up what they left behind. */

import { spawn } from 'node:child_process'
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as delay } from 'node:timers/promises'
import { onEnd, root, signalGroup, temporaryDirectory } from '../test/support/setup/process.js'

/**
 * Runs test files. When this function returns, no process and no temporary file of the tests is left, even after an
 * interrupt.
 *
 * @param {readonly string[]} files
 * @param {readonly string[]} options Options of run-tests.js.
 * @param {() => void} onStarted Called when this function has begun to handle signals itself.
 * @returns {Promise<number>} The exit code.
 */
export async function runFiles(files, options, onStarted) {
  // The name of the temporary directory is short, because it contains sockets, whose paths may have at most 107 bytes
  // (unix(7)).
  const directory = await temporaryDirectory('petest')
  const ports = join(directory.path, 'ports')
  await mkdir(ports)
  const runner = spawn(
    process.execPath,
    ['--import', 'tsx', join(root, 'tools/run-tests.js'), ...options, ...files],
    {
      cwd: root,
      stdio: 'inherit',
      env: {
        ...process.env,
        TMPDIR: directory.path,
        // Exporters create their control sockets in this directory. It is temporary because a killed exporter does
        // not remove its socket.
        XDG_RUNTIME_DIR: directory.path,
        PETEST_PORTS: ports,
      },
      // The tests run in their own process group. So Ctrl-C reaches only this process, which then ends the whole
      // group.
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
  /** @type {Promise<void> | undefined} */
  let cleaning
  const cleanUp = () =>
    (cleaning ??= (async () => {
      await endGroup(runner.pid ?? 0)
      await directory.remove()
    })())
  onEnd(() => {
    void cleanUp().finally(() => process.exit(130))
  })
  onStarted()
  const code = await ended
  await cleanUp()
  return code
}

/**
 * Terminates all processes of a process group. Programs that tests start in other process groups end with their
 * parents (see `launch` in process.js).
 *
 * @param {number} group
 */
async function endGroup(group) {
  for (let tries = 0; tries < 200; tries++) {
    if (!signalGroup(group, tries < 100 ? 'SIGTERM' : 'SIGKILL')) return
    if (!(await hasLiving(group))) return
    await delay(50)
  }
}

/**
 * Checks whether a process group has a process that is not a zombie. In some containers, zombies remain forever,
 * because PID 1 does not reap processes.
 *
 * @param {number} group
 */
async function hasLiving(group) {
  const ids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name))
  // On systems without /proc (macOS), only the result of the signal shows whether the group has processes.
  if (ids.length === 0) return true
  const living = ids.map(async (id) => {
    const text = await readFile(`/proc/${id}/stat`, 'utf8').catch(() => '')
    // In /proc/PID/stat, the process name is in parentheses and can contain any character. The state, the parent and
    // the process group follow it (proc(5)).
    const [state, , itsGroup] = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return Number(itsGroup) === group && state !== 'Z'
  })
  return (await Promise.all(living)).includes(true)
}

/** Runs test files, and cleans up when they end or are interrupted. */

import { spawn } from 'node:child_process'
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as delay } from 'node:timers/promises'
import { onEnd, root, signalGroup, temporaryDirectory } from '../test/support/setup/process.js'

/**
 * Runs test files. In any case, it leaves no process and no temporary file behind.
 *
 * @param {readonly string[]} files
 * @param {readonly string[]} options Options of run-tests.js.
 * @param {() => void} onStarted Called when this function handles signals itself.
 * @returns {Promise<number>} The exit code.
 */
export async function runFiles(files, options, onStarted) {
  // The name is short because the directory contains sockets, whose paths have at most 107 bytes (unix(7)).
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
        // The directory of control sockets. A killed exporter does not remove its socket.
        XDG_RUNTIME_DIR: directory.path,
        PETEST_PORTS: ports,
      },
      // Starts a process group, so that Ctrl-C reaches only this process, which then ends the whole group.
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
 * Terminates all processes of a group. Programs that tests start in other groups end with their parents (`launch` in
 * process.js).
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
 * Checks whether the group has a process that is not a zombie. Zombies remain forever if PID 1 does not reap
 * processes, as in some containers.
 *
 * @param {number} group
 */
async function hasLiving(group) {
  const ids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name))
  // Without /proc (macOS), only the result of the signal shows whether the group has processes.
  if (ids.length === 0) return true
  const living = ids.map(async (id) => {
    const text = await readFile(`/proc/${id}/stat`, 'utf8').catch(() => '')
    // The process name is in parentheses and can contain any character. State, parent and group follow (proc(5)).
    const [state, , itsGroup] = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return Number(itsGroup) === group && state !== 'Z'
  })
  return (await Promise.all(living)).includes(true)
}

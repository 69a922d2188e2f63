/** Runs test files and cleans up after them, also when they are interrupted. */

import { spawn } from 'node:child_process'
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as delay } from 'node:timers/promises'
import { onEnd, root, signalGroup, temporaryDirectory } from '../test/support/setup/process.js'

/**
 * Runs test files. However the run ends, no process and no temporary file remains.
 *
 * @param {readonly string[]} files
 * @param {readonly string[]} options Those of run-tests.js.
 * @param {() => void} onStarted Called when it handles signals by itself.
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
        // For control sockets: a killed exporter does not remove its socket.
        XDG_RUNTIME_DIR: directory.path,
        PETEST_PORTS: ports,
      },
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
 * Ends all processes of a group. Programs that the tests start in groups of their own end with
 * their parents (`launch` in process.js).
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
 * Whether any process of the group is still running. Zombies do not count: PID 1 of some containers never reaps them.
 *
 * @param {number} group
 */
async function hasLiving(group) {
  const ids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name))
  // Without /proc (macOS), only the result of the signal is known.
  if (ids.length === 0) return true
  const living = ids.map(async (id) => {
    const text = await readFile(`/proc/${id}/stat`, 'utf8').catch(() => '')
    // The name, in parentheses, can contain anything. Then: state, parent, group (proc(5)).
    const [state, , itsGroup] = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return Number(itsGroup) === group && state !== 'Z'
  })
  return (await Promise.all(living)).includes(true)
}

/**
 * Starts child processes, and finds free ports and temporary directories, for the tests and for the scripts in
 * tools/.
 */

import { spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

/** The path of the root directory of the repository. */
export const root = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '')

/** An error that the developer can fix. `message` is one line that says how to fix it. */
export class SetupError extends Error {
  /** @override */
  name = 'SetupError'
}

/**
 * Runs the command of a tool with the arguments of this process. The result is the exit code. After a SetupError, its
 * message is the only output and the exit code is 1.
 *
 * @param {(args: readonly string[]) => Promise<number | undefined>} command
 */
export async function runTool(command) {
  try {
    process.exitCode = await command(process.argv.slice(2))
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    console.error(error.message)
    process.exitCode = 1
  }
}

/**
 * @typedef {object} Child
 * @property {number} pid
 * @property {() => string} output Returns the output so far: stdout and stderr in the order in which they arrived.
 * @property {() => string} stdout
 * @property {() => string} stderr
 * @property {() => boolean} running
 * @property {Promise<number | NodeJS.Signals>} exited The exit code of the program, or the signal that terminated it.
 * @property {(signal: NodeJS.Signals) => void} kill
 * @property {(text: string) => void} type Writes to the standard input, which must be open (`hasInput`).
 * @property {(graceMs?: number) => Promise<void>} stop Sends SIGTERM, and SIGKILL after `graceMs` (5 s).
 */

/** @type {Set<() => void>} */
const leftovers = new Set()

/**
 * Registers a clean-up function, which runs when this process exits.
 *
 * @param {() => void} clean The function must be synchronous.
 * @returns {() => void} Unregisters the function.
 */
function atExit(clean) {
  if (leftovers.size === 0) process.once('exit', cleanLeftovers)
  leftovers.add(clean)
  return () => {
    leftovers.delete(clean)
    if (leftovers.size === 0) process.off('exit', cleanLeftovers)
  }
}

function cleanLeftovers() {
  // The clean-up functions run in reverse order, so that a program stops before the directory to which it writes is
  // removed.
  for (const clean of [...leftovers].reverse()) {
    try {
      clean()
    } catch {
      // If one clean-up function fails, the others must still run.
    }
  }
}

/**
 * Starts a program that ends when this process ends.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, input?: string | Uint8Array, onOutput?: (text: string) => void, detached?: boolean, hasInput?: boolean }} [options]
 *   `input` is the complete standard input. With `hasInput`, the standard input stays open for more. `detached` starts
 *   a new process group, so that Ctrl-C in the terminal reaches only this process.
 * @returns {Child}
 */
export function launch(command, args, options = {}) {
  // If the test runner kills this process, it cannot stop its children. With setpriv(1) of util-linux, the kernel
  // kills the child in that case. setpriv(1) replaces itself by the program, so `child.pid` is the pid of the
  // program.
  const wrapped = existsSync('/usr/bin/setpriv')
    ? ['/usr/bin/setpriv', '--pdeathsig', 'KILL', '--', command, ...args]
    : [command, ...args]
  const child = spawn(/** @type {string} */ (wrapped[0]), wrapped.slice(1), {
    cwd: options.cwd,
    env: options.env ?? process.env,
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: options.detached ?? false,
  })
  // An error of the standard input is ignored, because a program may close it early. The exit code shows real
  // failures.
  child.stdin.on('error', () => undefined)
  if (options.input !== undefined) child.stdin.write(options.input)
  if (options.hasInput !== true) child.stdin.end()
  let output = ''
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (/** @type {string} */ text) => {
    stdout += text
    output += text
    options.onOutput?.(text)
  })
  child.stderr.setEncoding('utf8').on('data', (/** @type {string} */ text) => {
    stderr += text
    output += text
    options.onOutput?.(text)
  })
  let running = true
  const unregister = atExit(() => {
    child.kill('SIGKILL')
  })
  /** @type {Promise<number | NodeJS.Signals>} */
  const exited = new Promise((resolve) => {
    child.once('error', (error) => {
      output += error.message
      stderr += error.message
      running = false
      unregister()
      resolve(127)
    })
    child.once('close', (code, signal) => {
      running = false
      unregister()
      resolve(code ?? signal ?? 1)
    })
  })

  return {
    pid: child.pid ?? -1,
    output: () => output,
    stdout: () => stdout,
    stderr: () => stderr,
    running: () => running,
    exited,
    kill(signal) {
      child.kill(signal)
    },
    type(text) {
      child.stdin.write(text)
    },
    async stop(graceMs = 5000) {
      if (!running) return
      // SIGCONT is necessary because a process that SIGSTOP has stopped does not handle SIGTERM.
      child.kill('SIGTERM')
      child.kill('SIGCONT')
      const timer = setTimeout(() => child.kill('SIGKILL'), graceMs)
      await exited
      clearTimeout(timer)
    },
  }
}

/**
 * Registers a callback for SIGINT, SIGTERM and SIGHUP, and for the end of the parent process.
 *
 * @param {() => void} callback
 * @returns {() => void} Unregisters the callback.
 */
export function onEnd(callback) {
  const signals = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])
  for (const signal of signals) process.on(signal, callback)
  // The end of the parent process must be detected, because npm sends SIGTERM only to the shell between npm and this
  // process. The shell ends without passing the signal on.
  const parent = process.ppid
  const timer = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(timer)
    callback()
  }, 250)
  timer.unref()
  return () => {
    clearInterval(timer)
    for (const signal of signals) process.off(signal, callback)
  }
}

/**
 * Sends a signal to all processes of a group.
 *
 * @param {number} group
 * @param {NodeJS.Signals} signal
 * @returns {boolean} Whether the group has any process.
 */
export function signalGroup(group, signal) {
  // The group 0 is excluded, because it means the process group of this process.
  if (group <= 1) return false
  try {
    return process.kill(-group, signal)
  } catch {
    return false
  }
}

/**
 * Runs a program and waits for its end.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, input?: string | Uint8Array }} [options]
 * @returns {Promise<{ code: number | NodeJS.Signals, output: string, stdout: string }>}
 */
export async function run(command, args, options = {}) {
  const child = launch(command, args, options)
  const code = await child.exited
  return { code, output: child.output(), stdout: child.stdout() }
}

/**
 * Runs a program that uses the terminal of this process, but has its own process group. Ctrl-C reaches only this
 * process, which terminates the whole group when it exits.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @returns {Promise<number>} The exit code; 1 if a signal terminated the program, 127 if it could not start.
 */
export function runAttached(command, args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: 'inherit', detached: true })
    const unregister = atExit(() => {
      signalGroup(child.pid ?? 0, 'SIGTERM')
    })
    child.once('error', () => {
      unregister()
      resolve(127)
    })
    child.once('exit', (code) => {
      unregister()
      resolve(code ?? 1)
    })
  })
}

// Free ports are searched in a range below the ports that Linux uses for outgoing connections (ip_local_port_range).
// Otherwise an outgoing connection could take a port after it was found free and before a program listens on it.
const FIRST_PORT = 10_240
const LAST_PORT = 32_767
/** @type {Set<number>} */
const handedOut = new Set()

/**
 * Finds free TCP ports of 127.0.0.1. Every port is returned only once in the life of this process.
 *
 * @param {number} count
 * @returns {Promise<number[]>}
 */
export async function freePorts(count) {
  /** @type {number[]} */
  const found = []
  while (found.length < count) {
    const port = randomInt(FIRST_PORT, LAST_PORT + 1)
    if (handedOut.has(port)) continue
    handedOut.add(port)
    if (!reserve(port)) continue
    if (await isFree(port)) found.push(port)
  }
  return found
}

/**
 * Reserves a port for this process among all processes that runner.js started. Another process may have chosen the
 * same port without listening on it yet. The reservation is a file in a directory that runner.js creates.
 *
 * @param {number} port
 * @returns {boolean} Whether this process may use the port. Without runner.js, the result is always true.
 */
function reserve(port) {
  const { PETEST_PORTS: directory } = process.env
  if (directory === undefined) return true
  try {
    writeFileSync(join(directory, String(port)), '', { flag: 'wx' })
    return true
  } catch {
    return false
  }
}

/** @param {number} port */
function isFree(port) {
  const server = createServer()
  return new Promise((/** @type {(isFree: boolean) => void} */ resolve) => {
    server.once('error', () => {
      resolve(false)
    })
    server.listen(port, '127.0.0.1', () => {
      server.close(() => {
        resolve(true)
      })
    })
  })
}

/** @returns {Promise<number>} A free TCP port of 127.0.0.1. */
export async function freePort() {
  const [port] = await freePorts(1)
  return port ?? 0
}

/**
 * Returns the environment variables that npm needs to reach its registry and to check certificates.
 *
 * @returns {NodeJS.ProcessEnv}
 */
export function networkEnvironment() {
  const name = /^(https?_proxy|no_proxy|node_extra_ca_certs|ssl_cert_file|npm_config_registry)$/i
  return Object.fromEntries(Object.entries(process.env).filter(([key]) => name.test(key)))
}

/**
 * The default timeout of `until`, in milliseconds. It is much longer than any wait on a slow and busy machine, so
 * only a test that hangs reaches it.
 */
const UNTIL_TIMEOUT_MS = 5 * 60_000

/**
 * Calls `check` every `everyMs` milliseconds until it returns a truthy value, and returns that value.
 *
 * @template T
 * @param {() => T | Promise<T>} check
 * @param {{ what: string, timeoutMs?: number, everyMs?: number }} options
 * @returns {Promise<Exclude<NonNullable<T>, false>>}
 * @throws {Error} If `check` returns no truthy value within `timeoutMs` milliseconds (by default, 5 minutes).
 *   The message contains `what`.
 */
export async function until(check, { what, timeoutMs = UNTIL_TIMEOUT_MS, everyMs = 50 }) {
  const end = Date.now() + timeoutMs
  for (;;) {
    const answer = await check()
    if (answer) return /** @type {Exclude<NonNullable<T>, false>} */ (answer)
    if (Date.now() > end)
      throw new Error(`Timeout: waited ${timeoutMs} ms in vain for this: ${what}`)
    await delay(everyMs)
  }
}

/**
 * Creates a temporary directory that exists until `remove` is called or this process exits.
 *
 * @param {string} prefix
 * @returns {Promise<{ path: string, remove: () => Promise<void> }>}
 */
export async function temporaryDirectory(prefix) {
  const path = await mkdtemp(join(tmpdir(), `${prefix}-`))
  const unregister = atExit(() => {
    rmSync(path, { recursive: true, force: true, maxRetries: 3 })
  })
  return {
    path,
    async remove() {
      await rm(path, { recursive: true, force: true, maxRetries: 3 })
      unregister()
    },
  }
}

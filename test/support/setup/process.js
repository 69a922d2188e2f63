/** Child processes, free ports and temporary directories of the set-up scripts and the tests. */

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

/** The root of the repository. */
export const root = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '')

/** An error that the user can fix; `message` is one line that says how. */
export class SetupError extends Error {
  /** @override */
  name = 'SetupError'
}

/**
 * @typedef {object} Child
 * @property {number} pid
 * @property {() => string} output What it has written so far, stdout and stderr as they came.
 * @property {() => string} stdout
 * @property {() => string} stderr
 * @property {() => boolean} running
 * @property {Promise<number | NodeJS.Signals>} exited Its exit code, or the signal that ended it.
 * @property {(signal: NodeJS.Signals) => void} kill
 * @property {(graceMs?: number) => Promise<void>} stop Asks it to end; kills it after `graceMs` (5 s).
 */

/** @type {Set<() => void>} */
const leftovers = new Set()

/**
 * Calls `clean` when this process exits, unless the returned function was called. `clean` must be synchronous.
 *
 * @param {() => void} clean
 * @returns {() => void} Cancels the call.
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
  // In reverse order: a program ends before its directory is removed.
  for (const clean of [...leftovers].reverse()) {
    try {
      clean()
    } catch {
      // An error must not prevent the other calls.
    }
  }
}

/**
 * Starts a program that ends with this process.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, input?: string | Uint8Array, onOutput?: (text: string) => void, detached?: boolean }} [options]
 *   `input` is its whole standard input. `detached`: in a process group of its own, so that Ctrl-C in the terminal reaches only this process.
 * @returns {Child}
 */
export function launch(command, args, options = {}) {
  // A test runner can kill this process after a timeout, without a chance to clean up. The kernel then ends the
  // program. setpriv(1) is part of util-linux; it uses exec, so the pid is the program's.
  const wrapped = existsSync('/usr/bin/setpriv')
    ? ['/usr/bin/setpriv', '--pdeathsig', 'KILL', '--', command, ...args]
    : [command, ...args]
  const child = spawn(/** @type {string} */ (wrapped[0]), wrapped.slice(1), {
    cwd: options.cwd,
    env: options.env ?? process.env,
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: options.detached ?? false,
  })
  // A program may end before it has read all of its input; its exit code shows whether that is an error.
  child.stdin.on('error', () => undefined)
  child.stdin.end(options.input)
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
  const takeBack = atExit(() => {
    child.kill('SIGKILL')
  })
  /** @type {Promise<number | NodeJS.Signals>} */
  const exited = new Promise((resolve) => {
    child.once('error', (error) => {
      output += error.message
      stderr += error.message
      running = false
      takeBack()
      resolve(127)
    })
    child.once('close', (code, signal) => {
      running = false
      takeBack()
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
    async stop(graceMs = 5000) {
      if (!running) return
      // A frozen process (SIGSTOP) gets SIGTERM only after SIGCONT.
      child.kill('SIGTERM')
      child.kill('SIGCONT')
      const timer = setTimeout(() => child.kill('SIGKILL'), graceMs)
      await exited
      clearTimeout(timer)
    },
  }
}

/**
 * Calls `callback` for SIGINT, SIGTERM and SIGHUP, and when the parent of this process has ended.
 *
 * @param {() => void} callback
 * @returns {() => void} Cancels the call.
 */
export function onEnd(callback) {
  const signals = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])
  for (const signal of signals) process.on(signal, callback)
  // npm sends SIGTERM to the shell between npm and this process, and the shell ends without a signal to this process.
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
 * @returns {boolean} Whether there is any.
 */
export function signalGroup(group, signal) {
  // 0 would be the group of this process.
  if (group <= 1) return false
  try {
    return process.kill(-group, signal)
  } catch {
    return false
  }
}

/**
 * Runs a program to its end.
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
 * Runs a program with the terminal of this process, but in its own process group: Ctrl-C reaches only this process,
 * and the whole group ends with it.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @returns {Promise<number>} Its exit code; 1 when a signal ended it, 127 when it could not start.
 */
export function runAttached(command, args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: 'inherit', detached: true })
    const takeBack = atExit(() => {
      signalGroup(child.pid ?? 0, 'SIGTERM')
    })
    child.once('error', () => {
      takeBack()
      resolve(127)
    })
    child.once('exit', (code) => {
      takeBack()
      resolve(code ?? 1)
    })
  })
}

// Below those that Linux gives to outgoing connections (ip_local_port_range): one of these could take a
// port after it was found free and before a program listens on it.
const FIRST_PORT = 10_240
const LAST_PORT = 32_767
/** @type {Set<number>} */
const handedOut = new Set()

/**
 * Returns distinct TCP ports of 127.0.0.1 that were free a moment ago and that were not returned before.
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
    if (isReserved(port)) continue
    if (await isFree(port)) found.push(port)
  }
  return found
}

/**
 * Whether another process of the same test run has reserved the port, on which it may not listen yet. If not, reserves
 * the port. A test run has a directory for reservations (runner.js).
 *
 * @param {number} port
 */
function isReserved(port) {
  const { PETEST_PORTS: directory } = process.env
  if (directory === undefined) return false
  try {
    writeFileSync(join(directory, String(port)), '', { flag: 'wx' })
    return false
  } catch {
    return true
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

/** @returns {Promise<number>} A TCP port of 127.0.0.1 that was free a moment ago. */
export async function freePort() {
  const [port] = await freePorts(1)
  return port ?? 0
}

/** The variables with which npm reaches its registry and checks certificates. @returns {NodeJS.ProcessEnv} */
export function networkEnvironment() {
  const name = /^(https?_proxy|no_proxy|node_extra_ca_certs|ssl_cert_file|npm_config_registry)$/i
  return Object.fromEntries(Object.entries(process.env).filter(([key]) => name.test(key)))
}

/** Much longer than any wait on a slow and busy machine, so that only hanging tests fail. */
const PATIENCE_MS = 5 * 60_000

/**
 * Calls `check` every `everyMs` until it returns a truthy value.
 *
 * @template T
 * @param {() => T | Promise<T>} check
 * @param {{ what: string, timeoutMs?: number, everyMs?: number }} options
 * @returns {Promise<Exclude<NonNullable<T>, false>>}
 * @throws {Error} After `timeoutMs` (five minutes), naming `what`.
 */
export async function until(check, { what, timeoutMs = PATIENCE_MS, everyMs = 50 }) {
  const end = Date.now() + timeoutMs
  for (;;) {
    const answer = await check()
    if (answer) return /** @type {Exclude<NonNullable<T>, false>} */ (answer)
    if (Date.now() > end) throw new Error(`${what}: not within ${timeoutMs} ms`)
    await delay(everyMs)
  }
}

/**
 * Creates a directory, which `remove` or the exit of this process removes.
 *
 * @param {string} prefix
 * @returns {Promise<{ path: string, remove: () => Promise<void> }>}
 */
export async function temporaryDirectory(prefix) {
  const path = await mkdtemp(join(tmpdir(), `${prefix}-`))
  const takeBack = atExit(() => {
    rmSync(path, { recursive: true, force: true, maxRetries: 3 })
  })
  return {
    path,
    async remove() {
      await rm(path, { recursive: true, force: true, maxRetries: 3 })
      takeBack()
    },
  }
}

/**
 * `roots.js` runs this script inside of a separate Debian system with its own processes and temporary files. The
 * script runs `npm start` and then `npm test` with the given test files in a checkout of the repository. It fails if
 * one of them leaves a process or a temporary file behind.
 */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import process from 'node:process'
import { setTimeout as delay } from 'node:timers/promises'

const { CHECKOUT: cwd } = process.env

async function assertNothingLeft() {
  const own = new Set(['1', String(process.pid)])
  // A process that ends because its parent has ended needs a moment for that.
  const processes = () =>
    readdirSync('/proc').filter((name) => /^\d+$/.test(name) && !own.has(name))
  for (let tries = 0; processes().length > 0 && tries < 100; tries++) await delay(100)
  assert.deepEqual(processes(), [], 'npm start or npm test left a process behind')
  // The directory node-compile-cache is ignored, because Node.js 22 and later caches compiled code of npm and
  // TypeScript there.
  const files = readdirSync('/tmp').filter((name) => name !== 'node-compile-cache')
  assert.deepEqual(files, [], 'npm start or npm test left a temporary file behind')
}

async function start() {
  const child = spawn('npm', ['start'], {
    cwd,
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  })
  const exited = once(child, 'exit')
  let output = ''
  const ready = new Promise((/** @type {(url: string | undefined) => void} */ resolve) => {
    child.stdout.setEncoding('utf8').on('data', (/** @type {string} */ text) => {
      process.stdout.write(text)
      output += text
      const url = /Ready: (http:\S+)/.exec(output)?.[1]
      if (url !== undefined) resolve(url)
    })
    child.stdout.once('end', () => {
      resolve(undefined)
    })
  })
  const url = await ready
  assert.ok(url, 'npm start ended before it was ready')
  const exposition = await (await fetch(url)).text()
  assert.match(exposition, /^xmpp_up 1$/m)
  assert.match(exposition, /^prosody_(?!exporter_)/m)
  // The signal goes to the whole process group, as with Ctrl-C in a terminal.
  process.kill(-(child.pid ?? 0), 'SIGINT')
  await exited
  await assertNothingLeft()
}

async function test() {
  const files = process.argv.slice(2)
  const child = spawn('npm', ['test', ...(files.length > 0 ? ['--', ...files] : [])], {
    cwd,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  /** @type {number | null} */
  const code = await new Promise((resolve) => {
    child.once('exit', resolve)
  })
  assert.equal(code, 0, 'npm test failed')
  await assertNothingLeft()
}

await start()
await test()

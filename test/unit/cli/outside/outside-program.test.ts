// The command as a process: its exit codes and signals.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { text as readText } from 'node:stream/consumers'
import { test, type TestContext } from 'node:test'
import { PROGRAM } from '../../../support/exporter.js'

function start(t: TestContext, ...args: string[]) {
  const child = spawn(process.execPath, [...PROGRAM, 'outside', ...args], {
    env: { PATH: process.env['PATH'] },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  t.after(() => child.kill('SIGKILL'))
  const ended = Promise.all([
    readText(child.stdout),
    readText(child.stderr),
    once(child, 'exit'),
  ]).then(([out, err]) => ({ out, err, code: child.exitCode, signal: child.signalCode }))
  return { child, ended }
}

/** Starts a name server that answers nothing. */
async function startSilentNameServer(t: TestContext) {
  const socket = createSocket('udp4')
  t.after(() => socket.close())
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return { address: `127.0.0.1:${socket.address().port}`, asked: once(socket, 'message') }
}

test('a wrong argument is one line of error, with exit code 2', async (t) => {
  const { out, err, code } = await start(t, 'user@example.org').ended
  assert.equal(code, 2)
  assert.equal(out, '')
  assert.match(err, /^prosody-exporter: outside: expected an XMPP domain, .* got a JID\..*\n$/)
})

test('a signal ends the check without a report, and the shell sees the signal', async (t) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const { address, asked } = await startSilentNameServer(t)
    const { child, ended } = start(t, 'example.org', `--name-server=${address}`, '--timeout=60s')
    await asked
    child.kill(signal)
    assert.deepEqual(await ended, { out: '', err: '', code: null, signal })
  }
})

test('a domain that cannot be looked up is an error with exit code 1, without progress on a pipe', async (t) => {
  // Nothing listens on port 1.
  const { code, out, err } = await start(t, 'example.org', '--name-server=127.0.0.1:1', '--json')
    .ended
  assert.equal(code, 1)
  assert.equal(err, '')
  const json = JSON.parse(out) as { ok: boolean; problems: { code: string }[] }
  assert.equal(json.ok, false)
  assert.equal(json.problems[0]?.code, 'dns_timeout')
})

import type { TlsOptions } from 'node:tls'
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads'

// The thread: text, as that of the passwords. Its client accepts whatever a server may offer, so that what
// fails here fails with every client.
const WORKER = `
const { connect, createSecureContext, TLSSocket } = require('node:tls')
const { Duplex } = require('node:stream')
const { done, options, port } = require('node:worker_threads').workerData
const ends = [0, 1].map((i) => new Duplex({
  read() {},
  write(chunk, encoding, callback) { ends[1 - i].push(chunk); callback() },
  final(callback) { ends[1 - i].push(null); callback() },
}))
let isOver = false
function end(problem) {
  if (isOver) return
  isOver = true
  port.postMessage(problem)
  port.close()
  Atomics.store(done, 0, 1)
  Atomics.notify(done, 0)
  for (const each of ends) each.destroy()
}
const reasonOf = (error) => error.reason ?? error.code ?? error.message
try {
  const server = new TLSSocket(ends[0], {
    isServer: true,
    secureContext: createSecureContext(options),
    requestCert: options.requestCert,
    rejectUnauthorized: false,
  })
  server.on('error', (error) => end(reasonOf(error)))
  const client = connect({
    socket: ends[1],
    rejectUnauthorized: false,
    minVersion: 'TLSv1',
    maxVersion: 'TLSv1.3',
    ciphers: 'ALL:@SECLEVEL=0',
  })
  client.on('secureConnect', () => end(undefined))
  // What the server says of it is more to the point, and comes in the same turn.
  client.on('error', (error) => setImmediate(end, reasonOf(error)))
} catch (error) {
  end(reasonOf(error))
}`
// A machine that takes longer for this says nothing about the settings.
const LIMIT_MS = 10_000

/** Why no client can connect to a server with these options; `undefined` when one can. */
export type HandshakeTest = (options: TlsOptions) => string | undefined

/**
 * Makes a TLS connection within the process, without any socket. The caller waits for it, so that what
 * it reads is either refused or in force when it returns.
 */
export const testHandshake: HandshakeTest = (options) => {
  const done = new Int32Array(new SharedArrayBuffer(4))
  const { port1: port, port2: theirs } = new MessageChannel()
  const worker = new Worker(WORKER, {
    eval: true,
    // This thread waits, so nothing that needs it may be loaded in the other one.
    execArgv: [],
    env: {},
    workerData: { done, options, port: theirs },
    transferList: [theirs],
  })
  worker.unref()
  // No way to say that it could not be started but this; the wait is over by then.
  worker.on('error', () => undefined)
  const outcome = Atomics.wait(done, 0, 0, LIMIT_MS)
  const result = receiveMessageOnPort(port) as { message: string | undefined } | undefined
  port.close()
  if (outcome === 'timed-out') void worker.terminate()
  return result?.message
}

/** The same without doing it again for the options of the last time. */
export function cacheLastResult(handshake: HandshakeTest): HandshakeTest {
  let last: { readonly key: string; readonly problem: string | undefined } | undefined
  return (options) => {
    const key = JSON.stringify(options)
    if (last?.key !== key) last = { key, problem: handshake(options) }
    return last.problem
  }
}

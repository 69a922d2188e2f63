import type { TlsOptions } from 'node:tls'
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads'

// The source code of the thread that performs a test handshake. It is text instead of a file, because the path
// of a file would differ between src/ and dist/. The client accepts every TLS version and cipher, so server
// settings that fail with this client fail with every client.
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
  // If the server also fails in this turn of the event loop, its error is reported, because it is more precise.
  client.on('error', (error) => setImmediate(end, reasonOf(error)))
} catch (error) {
  end(reasonOf(error))
}`
// A test handshake that takes longer than 10 s counts as successful, because the machine is slow and the
// settings can be right.
const LIMIT_MS = 10_000

/**
 * Returns why no client can connect to a server with these TLS options; `undefined` if a client can connect.
 */
export type HandshakeTest = (options: TlsOptions) => string | undefined

/**
 * Performs a TLS handshake within the process, without a network socket. The function blocks until the result
 * is known, because reading the web configuration file is synchronous.
 */
export const testHandshake: HandshakeTest = (options) => {
  const done = new Int32Array(new SharedArrayBuffer(4))
  const { port1: port, port2: workerPort } = new MessageChannel()
  const worker = new Worker(WORKER, {
    eval: true,
    // The thread runs without the module loaders of the process, because these need the calling thread, which
    // is blocked.
    execArgv: [],
    env: {},
    workerData: { done, options, port: workerPort },
    transferList: [workerPort],
  })
  worker.unref()
  // Without this listener, an error at the start of the thread would end the process. After such an error,
  // Atomics.wait times out.
  worker.on('error', () => undefined)
  const outcome = Atomics.wait(done, 0, 0, LIMIT_MS)
  const result = receiveMessageOnPort(port) as { message: string | undefined } | undefined
  port.close()
  if (outcome === 'timed-out') void worker.terminate()
  return result?.message
}

/** Wraps a handshake test in a cache of its last result, so that unchanged TLS options are not tested again. */
export function cacheLastResult(handshake: HandshakeTest): HandshakeTest {
  let last: { readonly key: string; readonly problem: string | undefined } | undefined
  return (options) => {
    const key = JSON.stringify(options)
    if (last?.key !== key) last = { key, problem: handshake(options) }
    return last.problem
  }
}

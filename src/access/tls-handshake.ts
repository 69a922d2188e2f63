import type { TlsOptions } from 'node:tls'
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads'

// The source code of the thread; it is text for the same reason as in bcrypt.ts. Its client accepts every TLS
// version and cipher, so settings that fail here fail with every client.
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
  // The error of the server is more precise, and follows in the same turn of the event loop.
  client.on('error', (error) => setImmediate(end, reasonOf(error)))
} catch (error) {
  end(reasonOf(error))
}`
// After this time the test passes: a slow machine does not make the settings wrong.
const LIMIT_MS = 10_000

/** Returns why no client can connect to a server with these options; `undefined` if a client can. */
export type HandshakeTest = (options: TlsOptions) => string | undefined

/**
 * Performs a TLS handshake within the process, without a socket. It blocks the calling thread, so that the
 * caller can reject the options before it uses them.
 */
export const testHandshake: HandshakeTest = (options) => {
  const done = new Int32Array(new SharedArrayBuffer(4))
  const { port1: port, port2: workerPort } = new MessageChannel()
  const worker = new Worker(WORKER, {
    eval: true,
    // No module loaders: they would need this thread, which is blocked.
    execArgv: [],
    env: {},
    workerData: { done, options, port: workerPort },
    transferList: [workerPort],
  })
  worker.unref()
  // Without a listener, a thread that cannot start would end the process. The timeout handles it.
  worker.on('error', () => undefined)
  const outcome = Atomics.wait(done, 0, 0, LIMIT_MS)
  const result = receiveMessageOnPort(port) as { message: string | undefined } | undefined
  port.close()
  if (outcome === 'timed-out') void worker.terminate()
  return result?.message
}

/** Wraps the test in a cache of its last result, so that unchanged options are not tested again. */
export function cacheLastResult(handshake: HandshakeTest): HandshakeTest {
  let last: { readonly key: string; readonly problem: string | undefined } | undefined
  return (options) => {
    const key = JSON.stringify(options)
    if (last?.key !== key) last = { key, problem: handshake(options) }
    return last.problem
  }
}

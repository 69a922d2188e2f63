import { createRequire } from 'node:module'
import { Worker } from 'node:worker_threads'

export type Bcrypt = {
  /**
   * Hashes the password with each salt, one after another. A salt is `$2b$10$` and 22 characters.
   * Rejects when the thread ends first.
   */
  hash(password: string, salts: readonly string[]): Promise<readonly string[]>
  stop(): Promise<void>
}

type Hashed = { readonly id: number; readonly hashes: readonly string[] }
type Waiting = {
  readonly resolve: (hashes: readonly string[]) => void
  readonly reject: (error: Error) => void
}

// The source code of the thread. It is text, because the name of a file would differ between src/ and dist/.
const WORKER = `
const { parentPort, workerData } = require('node:worker_threads')
const { hashSync } = require(workerData)
parentPort.on('message', ({ id, password, salts }) => {
  parentPort.postMessage({ id, hashes: salts.map((salt) => hashSync(password, salt)) })
})`

/** Computes bcrypt in a separate thread: it is slow by design, and scrapes must not wait for it. */
export function createBcrypt(): Bcrypt {
  const waiting = new Map<number, Waiting>()
  let worker: Worker | undefined
  let lastId = 0

  function start(): Worker {
    const bcrypt = createRequire(import.meta.url).resolve('bcryptjs')
    const started = new Worker(WORKER, { eval: true, workerData: bcrypt })
    started.on('message', ({ id, hashes }: Hashed) => {
      waiting.get(id)?.resolve(hashes)
    })
    const end = () => {
      if (worker === started) worker = undefined
      for (const { reject } of waiting.values()) reject(new Error('the bcrypt thread ended'))
    }
    started.on('error', end)
    started.on('exit', end)
    started.unref()
    return started
  }

  return {
    async hash(password, salts) {
      const started = (worker ??= start())
      const id = ++lastId
      // The thread keeps the process alive only while a caller waits for a hash.
      started.ref()
      try {
        return await new Promise((resolve, reject) => {
          waiting.set(id, { resolve, reject })
          started.postMessage({ id, password, salts })
        })
      } finally {
        waiting.delete(id)
        if (waiting.size === 0) started.unref()
      }
    },
    async stop() {
      await worker?.terminate()
    },
  }
}

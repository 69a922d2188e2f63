import { createRequire } from 'node:module'
import { Worker } from 'node:worker_threads'

export type Bcrypt = {
  /**
   * Hashes the password with each salt. A salt is for example `$2b$10$` and 22 characters. The promise rejects
   * if the bcrypt thread ends before the result.
   */
  hash(password: string, salts: readonly string[]): Promise<readonly string[]>
  stop(): Promise<void>
}

type Hashed = { readonly id: number; readonly hashes: readonly string[] }
type Waiting = {
  readonly resolve: (hashes: readonly string[]) => void
  readonly reject: (error: Error) => void
}

// The source code of the bcrypt thread. It is text instead of a file, because the path of a file would differ
// between src/ and dist/.
const WORKER = `
const { parentPort, workerData } = require('node:worker_threads')
const { hashSync } = require(workerData)
parentPort.on('message', ({ id, password, salts }) => {
  parentPort.postMessage({ id, hashes: salts.map((salt) => hashSync(password, salt)) })
})`

/** Computes bcrypt hashes in a separate thread. Bcrypt is slow by design, and must not block the event loop. */
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
      // ref() and unref() let the thread keep the process alive only while a caller waits for a hash.
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

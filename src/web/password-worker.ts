/** The thread that compares passwords with their hashes, one after another. */
import { compareSync } from 'bcryptjs'
import { parentPort } from 'node:worker_threads'

type Question = { readonly id: number; readonly password: string; readonly hash: string }

parentPort?.on('message', ({ id, password, hash }: Question) => {
  parentPort?.postMessage({ id, isRight: compareSync(password, hash) })
})

import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import { Worker } from 'node:worker_threads'

export type Passwords = {
  /**
   * Whether it is the password of that hash; `busy` when too many others wait to know, or too many of
   * the same client. What was right before is known without waiting.
   */
  check(
    user: string,
    password: string,
    users: ReadonlyMap<string, string>,
    client: string,
  ): Promise<Verdict>
  /** The same, if that is known already. */
  isKnown(user: string, password: string, users: ReadonlyMap<string, string>): boolean
  stop(): Promise<void>
}
export type Verdict = 'right' | 'wrong' | 'busy'

type Answer = { readonly id: number; readonly isRight: boolean }

// The thread: text, because a file of its own would be one in TypeScript and another when it is built.
const WORKER = `
const { parentPort, workerData } = require('node:worker_threads')
const { compareSync } = require(workerData)
parentPort.on('message', ({ id, password, hash }) => {
  parentPort.postMessage({ id, isRight: compareSync(password, hash) })
})`
// A check takes some 50 ms of the worker: more than these would wait longer than a scrape may.
const MAX_WAITING = 16
// So that who guesses leaves room for who logs in for the first time.
const MAX_OF_CLIENT = 8
const MAX_KNOWN = 100

/** Checks passwords in a thread of its own: bcrypt is slow by design, and scrapes must not wait. */
export function createPasswords(): Passwords {
  // Good logins, as digests of name, hash and password.
  const known = new Set<string>()
  const waiting = new Map<number, (isRight: boolean) => void>()
  const underWay = new Map<string, { verdict: Promise<Verdict>; client: string }>()
  let worker: Worker | undefined
  let lastId = 0

  function start(): Worker {
    const bcrypt = createRequire(import.meta.url).resolve('bcryptjs')
    const started = new Worker(WORKER, { eval: true, workerData: bcrypt })
    started.on('message', ({ id, isRight }: Answer) => {
      waiting.get(id)?.(isRight)
    })
    // Whoever waits is refused: a password is right only when it was found to be.
    const end = () => {
      if (worker === started) worker = undefined
      for (const answer of waiting.values()) answer(false)
    }
    started.on('error', end)
    started.on('exit', end)
    started.unref()
    return started
  }

  async function ask(password: string, hash: string): Promise<boolean> {
    const started = (worker ??= start())
    const id = ++lastId
    // Only while somebody waits is it a reason for the process to live.
    started.ref()
    try {
      return await new Promise((resolve) => {
        waiting.set(id, resolve)
        started.postMessage({ id, password, hash })
      })
    } finally {
      waiting.delete(id)
      if (waiting.size === 0) started.unref()
    }
  }

  async function find(key: string, password: string, hash: string, isUser: boolean) {
    const isRight = (await ask(password, hash)) && isUser
    if (!isRight) return 'wrong'
    // The oldest goes.
    if (known.size === MAX_KNOWN) known.delete(known.values().next().value!)
    known.add(key)
    return 'right'
  }

  return {
    isKnown: (user, password, users) => known.has(keyOf(user, password, users.get(user) ?? '')),
    check(user, password, users, client) {
      // A stranger is compared with somebody's hash, so that the time tells nothing about names.
      const [[, anyHash = ''] = []] = users
      const hash = users.get(user) ?? anyHash
      const key = keyOf(user, password, hash)
      // Of a user who was taken out the hash may be another's, and the key known.
      if (users.has(user) && known.has(key)) return Promise.resolve('right')
      const same = underWay.get(key)
      if (same) return same.verdict
      const ofClient = [...underWay.values()].filter((each) => each.client === client)
      if (underWay.size >= MAX_WAITING || ofClient.length >= MAX_OF_CLIENT) {
        return Promise.resolve('busy')
      }
      const verdict: Promise<Verdict> = find(key, password, hash, users.has(user)).finally(() =>
        underWay.delete(key),
      )
      underWay.set(key, { verdict, client })
      return verdict
    },
    async stop() {
      await worker?.terminate()
    },
  }
}

function keyOf(user: string, password: string, hash: string): string {
  return createHash('sha256')
    .update(JSON.stringify([user, hash, password]))
    .digest('base64')
}

import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { createBcrypt, type Bcrypt } from './bcrypt.js'
import { createFairQueue } from './fair-queue.js'

export type Passwords = {
  /**
   * Whether it is the password of that name; `busy` when too many others wait to know. A login that
   * was compared before is answered without waiting.
   */
  check(user: string, password: string, users: Users, client: string): Promise<Verdict>
  /** Whether it is known already to be the right one. */
  isKnown(user: string, password: string, users: Users): boolean
  stop(): Promise<void>
}
export type Verdict = 'right' | 'wrong' | 'busy'
/** Names and the bcrypt hashes of their passwords. */
export type Users = ReadonlyMap<string, string>

type Login = {
  readonly password: string
  /** Salts of one hash for each cost, and the hash that the user has. */
  readonly salts: readonly string[]
  readonly hash: string | undefined
  end(verdict: Verdict): void
}

// A login takes some 50 ms of the thread. More of them would wait longer than most scrapes do.
const MAX_WAITING = 128
const MAX_RIGHT = 100
const MAX_WRONG = 1000
// `$2b$10$` and 22 characters of salt; 31 of the hash follow.
const SALT_LENGTH = 29
const ANY_SALT = '/'.repeat(21) + '.'

/** Compares passwords with bcrypt, one after another, and in turns: see `createFairQueue`. */
export function createPasswords(bcrypt = createBcrypt()): Passwords {
  // Of logins that were compared, so that what is in memory is of no use elsewhere.
  const secret = randomBytes(32)
  const right = createRecentKeys(MAX_RIGHT)
  // Apart, so that guesses don't make right ones forgotten. A scraper with an old password sends it again and again.
  const wrong = createRecentKeys(MAX_WRONG)
  const underWay = new Map<string, Promise<Verdict>>()
  const queue = createFairQueue<Login>(MAX_WAITING)
  let isComparing = false
  let isStopped = false

  function keyOf(user: string, password: string, hash: string | undefined): string {
    const login = JSON.stringify([user, password, hash ?? null])
    return createHmac('sha256', secret).update(login).digest('base64')
  }

  async function compareAll(): Promise<void> {
    if (isComparing) return
    isComparing = true
    for (let login = queue.take(); login !== undefined; login = queue.take()) {
      // Without a result it is neither right nor wrong, so nothing is remembered.
      login.end(isStopped ? 'busy' : await compare(bcrypt, login).catch(() => 'busy' as const))
    }
    isComparing = false
  }

  return {
    isKnown: (user, password, users) => right.has(keyOf(user, password, users.get(user))),
    check(user, password, users, client) {
      const hash = users.get(user)
      const key = keyOf(user, password, hash)
      if (right.has(key)) return Promise.resolve('right')
      if (wrong.has(key)) return Promise.resolve('wrong')
      const same = underWay.get(key)
      if (same) return same
      const verdict = new Promise<Verdict>((resolve) => {
        const login = { password, salts: chooseSalts(hash, users), hash, end: resolve }
        queue.add(client, user, login)?.end('busy')
        void compareAll()
      }).then((found) => {
        underWay.delete(key)
        if (found === 'right') right.add(key)
        if (found === 'wrong') wrong.add(key)
        return found
      })
      underWay.set(key, verdict)
      return verdict
    },
    async stop() {
      isStopped = true
      await bcrypt.stop()
    },
  }
}

async function compare(bcrypt: Bcrypt, { password, salts, hash }: Login): Promise<Verdict> {
  const hashes = await bcrypt.hash(password, salts)
  if (hash === undefined) return 'wrong'
  const computed = hashes[salts.indexOf(hash.slice(0, SALT_LENGTH))]
  // The salt is not compared: its last character can be written in several ways.
  const [ours, theirs] = [computed, hash].map((each) => Buffer.from(each!.slice(SALT_LENGTH)))
  return timingSafeEqual(ours!, theirs!) ? 'right' : 'wrong'
}

/**
 * What a login costs is the same for every name, known or not, so that the time tells nothing about
 * names: one hash for each cost that any user's hash has, the user's own salt at its cost.
 */
function chooseSalts(hash: string | undefined, users: Users): string[] {
  const costs = [...new Set(Array.from(users.values(), getCostPrefix))].sort()
  return costs.map((cost) =>
    hash !== undefined && getCostPrefix(hash) === cost
      ? hash.slice(0, SALT_LENGTH)
      : cost + ANY_SALT,
  )
}

/** `$2b$10$`: all that a hash says of its cost. */
function getCostPrefix(hash: string): string {
  return hash.slice(0, 7)
}

/** The most recent ones: the oldest is forgotten. */
function createRecentKeys(max: number) {
  const keys = new Set<string>()
  return {
    has: (key: string) => keys.has(key),
    add(key: string) {
      if (keys.size === max) keys.delete(keys.values().next().value!)
      keys.add(key)
    },
  }
}

import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { createBcrypt, type Bcrypt } from './bcrypt.js'
import { createFairQueue } from './fair-queue.js'

export type Passwords = {
  /**
   * Checks the password of a user. The verdict is `busy` if too many logins wait for a check, or if bcrypt cannot
   * check the password. The verdict on a login that was recently checked comes from a cache without a wait.
   */
  check(user: string, password: string, users: Users, client: string): Promise<Verdict>
  /** Whether the cache contains the verdict `right` for this user and password. */
  isKnown(user: string, password: string, users: Users): boolean
  stop(): Promise<void>
}
export type Verdict = 'right' | 'wrong' | 'busy'
/** User names with the bcrypt hashes of their passwords. */
export type Users = ReadonlyMap<string, string>

type Login = {
  readonly password: string
  /** The salts with which the password must be hashed, see `chooseSalts`. */
  readonly salts: readonly string[]
  /** The configured bcrypt hash of the user; `undefined` for an unknown user. */
  readonly hash: string | undefined
  end(verdict: Verdict): void
}

// The maximum number of logins that wait for a check. A check takes about 50 ms, so the last login waits for
// more than 6 s. Most scrapes time out after 10 s.
const MAX_WAITING = 128
// The maximum numbers of logins in the two caches of verdicts.
const MAX_RIGHT = 100
const MAX_WRONG = 1000
// A bcrypt hash is for example `$2b$10$`, 22 characters of salt and 31 characters of hash.
const SALT_LENGTH = 29
const ANY_SALT = '/'.repeat(21) + '.'

/**
 * Checks passwords with bcrypt, one at a time. Client addresses and user names take turns, see
 * `createFairQueue`.
 */
export function createPasswords(bcrypt = createBcrypt()): Passwords {
  // The caches contain an HMAC of each login instead of the password. Without this random secret, the HMACs are
  // useless.
  const secret = randomBytes(32)
  const right = createRecentKeys(MAX_RIGHT)
  // Wrong logins have a separate cache, so that guessed passwords do not evict right logins. This cache gives a
  // fast verdict to a scraper that repeats an old password.
  const wrong = createRecentKeys(MAX_WRONG)
  const pending = new Map<string, Promise<Verdict>>()
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
      // If bcrypt computes no hash, because its thread ended, the verdict is `busy`, which is not cached.
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
      const running = pending.get(key)
      if (running) return running
      const verdict = new Promise<Verdict>((resolve) => {
        const login = { password, salts: chooseSalts(hash, users), hash, end: resolve }
        queue.add(client, user, login)?.end('busy')
        void compareAll()
      }).then((found) => {
        pending.delete(key)
        if (found === 'right') right.add(key)
        if (found === 'wrong') wrong.add(key)
        return found
      })
      pending.set(key, verdict)
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
  // Only the hashes after the salts are compared. The salts can differ in some bits of their last character,
  // which bcrypt ignores.
  const [actual, expected] = [computed, hash].map((each) => Buffer.from(each!.slice(SALT_LENGTH)))
  return timingSafeEqual(actual!, expected!) ? 'right' : 'wrong'
}

/**
 * Chooses the salts for a login: one salt for each cost that occurs in the configured hashes. For the cost of
 * the user's own hash, it is the salt of this hash. So a login takes the same time for every user name, and the
 * time does not reveal which users exist.
 */
function chooseSalts(hash: string | undefined, users: Users): string[] {
  const costs = [...new Set(Array.from(users.values(), getCostPrefix))].sort()
  return costs.map((cost) =>
    hash !== undefined && getCostPrefix(hash) === cost
      ? hash.slice(0, SALT_LENGTH)
      : cost + ANY_SALT,
  )
}

/** Returns the first part of a bcrypt hash, which contains the cost, for example `$2b$10$`. */
function getCostPrefix(hash: string): string {
  return hash.slice(0, 7)
}

/** Creates a set that contains the `max` keys that were added last. */
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

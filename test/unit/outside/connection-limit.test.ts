import assert from 'node:assert/strict'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { test } from 'node:test'
import { createConnectionLimit } from '../../../src/outside/connection-limit.js'
import { createClock } from '../../support/clock.js'

const OWN = '10.0.0.1'
const OTHER = '192.0.2.1'
const { signal } = new AbortController()

function setUp({ perMinute = 2, burst }: { perMinute?: number; burst?: number } = {}) {
  const clock = createClock()
  const startedAt = clock.now()
  const limit = createConnectionLimit({
    isOwn: (address) => address === OWN,
    perMinute,
    ...(burst !== undefined && { burst }),
    ...clock,
  })
  const starts: string[] = []
  const run = (name: string, address = OTHER) =>
    limit.run(
      address,
      () => {
        starts.push(`${name} ${(clock.now() - startedAt) / 1000}`)
        return Promise.resolve(name)
      },
      signal,
    )
  /** Lets the time pass until no timer is left. */
  const finish = async () => {
    await nextTurn()
    while (clock.pending() > 0) {
      clock.advance(clock.nextMs())
      await nextTurn()
    }
  }
  return { clock, limit, starts, run, finish }
}

/** A connection that stays open until the test closes it. */
function hold() {
  let close = () => {}
  const connect = () =>
    new Promise<void>((resolve) => {
      close = resolve
    })
  return {
    connect,
    close: () => {
      close()
    },
  }
}

test('one connection at a time to an address, in the order of the calls', async () => {
  const { limit, starts, run } = setUp()
  const open = hold()
  const first = limit.run(OWN, open.connect, signal)
  const others = [run('a', OWN), run('b', OWN)]
  await nextTurn()
  assert.deepEqual(starts, [])
  open.close()
  assert.deepEqual(await Promise.all([first, ...others]), [undefined, 'a', 'b'])
  assert.deepEqual(starts, ['a 0', 'b 0'])
})

test('an address does not wait for another', async () => {
  const { limit, run } = setUp()
  const open = hold()
  const first = limit.run(OTHER, open.connect, signal)
  assert.equal(await run('a', '192.0.2.2'), 'a')
  open.close()
  await first
})

test('a connection that fails lets the next one start', async () => {
  const { limit, run } = setUp()
  const failed = limit.run(OWN, () => Promise.reject(new Error('refused')), signal)
  const next = run('a', OWN)
  await assert.rejects(failed, /refused/)
  assert.equal(await next, 'a')
})

test('at most two connections in any minute to an address of others', async () => {
  const { starts, run, finish } = setUp()
  const all = Promise.all(['a', 'b', 'c', 'd', 'e'].map((name) => run(name)))
  await finish()
  await all
  assert.deepEqual(starts, ['a 0', 'b 0', 'c 60', 'd 60', 'e 120'])
})

test('the limit remembers the connections of earlier checks', async () => {
  const { clock, starts, run, finish } = setUp()
  await run('a')
  clock.advance(59_000)
  await run('b')
  await run('x', '192.0.2.2')
  const all = Promise.all([run('c'), run('d')])
  await finish()
  await all
  assert.deepEqual(starts, ['a 0', 'b 59', 'x 59', 'c 60', 'd 119'])
})

test('own addresses have no limit', async () => {
  const { starts, run } = setUp()
  await Promise.all(['a', 'b', 'c', 'd'].map((name) => run(name, OWN)))
  assert.deepEqual(starts, ['a 0', 'b 0', 'c 0', 'd 0'])
})

test('a burst counts for the following minutes', async () => {
  const { starts, run, finish } = setUp({ burst: 4 })
  const all = Promise.all(['a', 'b', 'c', 'd', 'e', 'f'].map((name) => run(name)))
  await finish()
  await all
  assert.deepEqual(starts, ['a 0', 'b 0', 'c 0', 'd 0', 'e 120', 'f 120'])
})

test('an aborted call leaves the queue, and the others keep their turns', async () => {
  const { clock, limit, starts, run, finish } = setUp()
  const all = Promise.all([run('a'), run('b')])
  const aborted = new AbortController()
  const waiting = limit.run(OTHER, () => Promise.resolve(), aborted.signal)
  const last = run('c')
  await all
  aborted.abort(new Error('stopped'))
  await assert.rejects(waiting, /stopped/)
  await finish()
  await last
  assert.deepEqual(starts, ['a 0', 'b 0', 'c 60'])
  assert.equal(clock.pending(), 0)
})

test('when the only waiting call is aborted, no timer is left', async () => {
  const { clock, limit, run } = setUp()
  await Promise.all([run('a'), run('b')])
  const aborted = new AbortController()
  const waiting = limit.run(OTHER, () => Promise.resolve(), aborted.signal)
  assert.equal(clock.pending(), 1)
  aborted.abort()
  await assert.rejects(waiting)
  assert.equal(clock.pending(), 0)
})

test('an aborted signal prevents the connection', async () => {
  const { limit } = setUp()
  const connect = () => Promise.reject(new Error('connected'))
  await assert.rejects(limit.run(OTHER, connect, AbortSignal.abort()), { name: 'AbortError' })
})

test('other addresses of the same server do not raise its limit', async () => {
  const { starts, run, finish } = setUp()
  const addresses = ['8.8.8.8', '64:ff9b::8.8.8.8', '::ffff:8.8.8.8', '2002:808:808::1']
  const all = addresses.map((address, i) => run(String(i), address))
  await finish()
  await Promise.all(all)
  assert.deepEqual(starts, ['0 0', '1 0', '2 60', '3 60'])
})

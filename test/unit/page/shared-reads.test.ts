import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createSharedReads } from '../../../src/page/shared-reads.js'

describe('reads of the history', () => {
  /** Creates reads that end when the test calls the function of their number. */
  function setUp(options: Parameters<typeof createSharedReads>[0] = {}) {
    const clock = { nowMs: 0 }
    const reads = createSharedReads<string>({ ...options, now: () => clock.nowMs })
    const started: string[] = []
    const ends = new Map<string, (error?: Error) => void>()
    const read = (name: string) => () => {
      started.push(name)
      return new Promise<string>((resolve, reject) => {
        ends.set(name, (error) => {
          if (error) reject(error)
          else resolve(`result of ${name}`)
        })
      })
    }
    const source = {}
    const get = (name: string, version = '1', from: object = source) =>
      reads.get(from, name, version, read(name))
    return { clock, get, started, ends }
  }

  test('requests for the same result share a read, while it runs and after it', async () => {
    const { clock, get, started, ends } = setUp({ maxAgeMs: 1000 })
    const [first, second] = [get('24h'), get('24h')]
    ends.get('24h')!()
    assert.deepEqual(await Promise.all([first, second]), ['result of 24h', 'result of 24h'])
    clock.nowMs = 999
    await get('24h')
    assert.deepEqual(started, ['24h'])
  })

  test('a new version, another source and an old result need a new read', async () => {
    const { clock, get, started, ends } = setUp({ maxAgeMs: 1000 })
    const readNow = async (...args: Parameters<typeof get>) => {
      const result = get(...args)
      ends.get('24h')!()
      await result
    }
    await readNow('24h')
    await readNow('24h', '2')
    await readNow('24h', '2', {})
    clock.nowMs = 1000
    await readNow('24h', '2')
    assert.equal(started.length, 4)
  })

  test('a later request does not share a failed read', async () => {
    const { get, started, ends } = setUp()
    const [first, second] = [get('24h'), get('24h')]
    ends.get('24h')!(new Error('broken'))
    await assert.rejects(first, /broken/)
    await assert.rejects(second, /broken/)
    void get('24h')
    assert.equal(started.length, 2)
  })

  test('only the newest results are stored', async () => {
    const { get, started, ends } = setUp({ maxResults: 2 })
    for (const name of ['a', 'b', 'c']) {
      const result = get(name)
      ends.get(name)!()
      await result
    }
    await Promise.all([get('c'), get('b')])
    assert.deepEqual(started, ['a', 'b', 'c'])
    void get('a')
    assert.deepEqual(started, ['a', 'b', 'c', 'a'])
  })
})

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { Hono, type Context } from 'hono'
import { createViewers } from '../../../src/page/viewers.js'

/** Creates an app whose status page can have at most two viewers. A viewer gets the events in `pending`. */
function setUp() {
  const app = new Hono()
  const pending: string[] = ['one']
  const viewers = createViewers(2, 0)
  app.get(
    '/',
    (c: Context) =>
      viewers.add(c, () =>
        Promise.resolve(pending.splice(0).map((data) => ({ event: 'e', data }))),
      ) ?? c.text('full', 503),
  )
  return { app, pending, viewers }
}

function readerOf(response: Response) {
  const reader = response.body!.getReader()
  return {
    cancel: () => reader.cancel(),
    next: async () => Buffer.from((await reader.read()).value ?? '').toString(),
  }
}

describe('viewers', () => {
  test('a viewer gets the first events immediately, and more events after wake is called', async () => {
    const { app, pending, viewers } = setUp()
    const reader = readerOf(await app.request('/'))
    assert.equal(await reader.next(), 'event: e\ndata: one\n\n')
    pending.push('two')
    viewers.wake()
    assert.equal(await reader.next(), 'event: e\ndata: two\n\n')
    viewers.close()
    assert.equal(await reader.next(), '')
    assert.equal(viewers.count(), 0)
  })

  test('the number of viewers is limited, and a viewer that disconnects makes room for another', async () => {
    const { app, viewers } = setUp()
    const first = readerOf(await app.request('/'))
    await app.request('/')
    assert.equal((await app.request('/')).status, 503)
    await first.next()
    await first.cancel()
    await turn()
    assert.equal(viewers.count(), 1)
    assert.equal((await app.request('/')).status, 200)
    viewers.close()
    assert.equal((await app.request('/')).status, 503)
  })

  test('nothing is rendered for a viewer that does not read', async () => {
    const { app, viewers, pending } = setUp()
    const reader = readerOf(await app.request('/'))
    await turn()
    let rendered = 0
    const { length } = pending
    assert.equal(length, 0)
    for (let i = 0; i < 100; i++) {
      pending.push(String(i))
      viewers.wake()
      await turn()
      if (pending.length === 0) rendered++
    }
    assert.ok(rendered <= 2, `${rendered} times`)
    viewers.close()
    await reader.cancel()
  })
})

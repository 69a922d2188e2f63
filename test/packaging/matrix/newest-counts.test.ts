// Tests counters of mod_adhoc_statistics with the newest Prosody. mod_limits rejects connections only in versions of
// Prosody that are newer than those of the other tests.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { once } from 'node:events'
import { connect } from 'node:net'
import { compareAccountEvents } from '../../support/account-steps.js'
import { readCounts, reloadAll, startCountedProsody } from '../../support/counted-prosody.js'
import { evalLua } from '../../support/real.js'
import { login } from '../../support/xmpp-client.js'

const FAMILY = 'xmpp_connections_rejected'
const REASON = 'connections_per_ip'
const LIMIT = 3

/** Opens a connection, and resolves when the server has closed it. */
async function connectInVain(port: number): Promise<void> {
  const socket = connect(port, '127.0.0.1')
  socket.resume()
  await once(socket, 'close')
}

test('registrations, deletions and password changes are counted once each (newest Prosody)', (t) =>
  compareAccountEvents(t, 'newest'))

test('connections that mod_limits rejects are counted once each (newest Prosody)', async (t) => {
  const limit = `{ rate = "10mb/s", max_connections_per_ip = ${LIMIT} }`
  const prosody = await startCountedProsody(t, 'newest', {
    users: { 'a@one.example': 'pw' },
    modules: ['limits'],
    globals: { limits: `{ c2s = ${limit}, s2s = ${limit} }` },
  })
  const { c2s, s2s } = prosody.ports
  const account = { port: c2s, jid: 'a@one.example', password: 'pw' }
  assert.deepEqual(await readCounts(prosody, FAMILY), { [REASON]: 0 })

  const users = await Promise.all(Array.from({ length: LIMIT }, () => login(account)))
  assert.deepEqual(await readCounts(prosody, FAMILY), { [REASON]: 0 })
  for (let i = 0; i < 4; i++) await connectInVain(c2s)
  assert.deepEqual(await readCounts(prosody, FAMILY), { [REASON]: 4 })

  await reloadAll(prosody)
  await evalLua(prosody, 'prosody.reload_config()')
  await evalLua(prosody, 'assert(require "core.modulemanager".reload("*", "limits"))')
  await connectInVain(c2s)
  assert.deepEqual(await readCounts(prosody, FAMILY), { [REASON]: 5 })

  // Connections of other servers.
  const servers = Array.from({ length: LIMIT }, () => connect(s2s, '127.0.0.1'))
  await Promise.all(servers.map((server) => once(server, 'connect')))
  await connectInVain(s2s)
  assert.deepEqual(await readCounts(prosody, FAMILY), { [REASON]: 6 })
  assert.equal(prosody.log().match(/Rejecting stream from/g)?.length, 6)

  for (const server of servers) server.destroy()
  for (const user of users) await user.close()
  await (await login(account)).close()
  assert.deepEqual(await readCounts(prosody, FAMILY), { [REASON]: 6 })

  // Two limits close the same connection.
  await evalLua(
    prosody,
    `local session = { destroyed = true, close = function () closed = true end }
    local conn = { ip = function () return "127.0.0.1" end }
    for _ = 0, ${LIMIT} do
      prosody.events.fire_event("c2s-connected", { session = session, conn = conn })
    end
    assert(closed)`,
  )
  assert.deepEqual(await readCounts(prosody, FAMILY), { [REASON]: 6 })

  // Another module stops the event, or fails. The session keeps its own close function.
  await evalLua(
    prosody,
    `local session, conn = { close = function () end }, { ip = function () return "127.0.0.2" end }
    local close, events = session.close, prosody.events
    for _, handler in ipairs { function () return true end, function () error("failure of the test") end } do
      events.add_handler("c2s-connected", handler, -1)
      pcall(events.fire_event, "c2s-connected", { session = session, conn = conn })
      events.remove_handler("c2s-connected", handler)
      assert(session.close == close)
    end`,
  )
  assert.deepEqual(await readCounts(prosody, FAMILY), { [REASON]: 6 })

  await prosody.restart({ globals: { limits: '{ c2s = { rate = "10mb/s" } }' } })
  assert.ok(!(await prosody.families()).some(({ name }) => name === FAMILY))
})

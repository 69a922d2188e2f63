// Measures the CPU time that counting in mod_adhoc_statistics costs Prosody:
// - for a conversation: with all counters, and without counters. Both alternate on one server in many short
//   turns, because the CPU time per message drifts by more than the counters cost;
// - for one stanza: the handlers that count, compared with routing and answering a ping;
// - for one collection with many clients online: the gauges of the module, compared with those of mod_c2s.
// Run: node --import tsx bench/counts.ts [--markdown] [messages]

import xml from '@xmpp/xml'
import { prosodyVersions, withProsody, type TestProsody } from '../test/support/prosody.js'
import { evalLua } from '../test/support/real.js'
import { login, type XmppUser } from '../test/support/xmpp-client.js'
import { cpuMs, parameters, partOf, report, shown, spread } from './figure.js'

type Test = Parameters<typeof withProsody>[0]

const messages = Number(parameters[0] ?? 5000)
const ROUNDS = 7
const TURNS = 30
// Number of messages in one write. That many fit into Prosody's buffers, so the sender never waits.
const BATCH = 500
const CLIENTS = 10_000

/** Turns all counters on or off, and reloads the module so that it reads the changed setting. */
async function setCounting(prosody: TestProsody, counting: boolean): Promise<void> {
  await evalLua(
    prosody,
    `local mm, config = require "core.modulemanager", require "core.configmanager"
    for _, host in ipairs { "${prosody.statsDomains.join('", "')}" } do
      config.set(host, "adhoc_statistics_counts", ${counting ? 'nil' : '{}'})
      assert(mm.reload(host, "adhoc_statistics"))
    end
    collectgarbage()`,
  )
}

/** Sends `count` messages in batches, and waits until `to` has received each batch. */
async function converse(from: XmppUser, to: XmppUser, jid: string, type: string, count: number) {
  for (let sent = 0; sent < count; sent += BATCH) {
    const id = `last-${sent}`
    const texts = Array.from({ length: BATCH }, (_, i) =>
      xml(
        'message',
        { to: jid, type, id: i === BATCH - 1 ? id : `${i}` },
        xml('body', {}, 'Hello there, this is a message as people write them.'),
      ).toString(),
    )
    from.send(texts.join(''))
    await to.next(({ attrs }) => attrs.id === id)
    to.forget()
    from.forget()
  }
}

async function measureConversation(prosody: TestProsody, from: XmppUser, to: XmppUser) {
  const on: number[] = []
  const off: number[] = []
  for (let turn = 0; turn < TURNS * 2; turn++) {
    // The turns are on, off, off, on, so that neither mode always comes first in its pair.
    const isOn = turn % 4 === 0 || turn % 4 === 3
    await setCounting(prosody, isOn)
    await converse(from, to, to.jid, 'chat', BATCH * 2)
    const before = cpuMs(prosody.pid)
    await converse(from, to, to.jid, 'chat', messages)
    ;(isOn ? on : off).push(((cpuMs(prosody.pid) - before) * 1000) / messages)
  }
  report({
    what: `Prosody ${prosody.version}: Prosody's CPU for a message, with the counters of mod_adhoc_statistics`,
    ratio: partOf(spread(on), spread(off)),
    exporter: shown(spread(on), 'µs'),
    peer: `${shown(spread(off), 'µs')} without`,
  })
}

/**
 * Measures the handlers for counting alone, because the difference between conversations with and without
 * counters is smaller than its noise.
 */
async function measureHandlers(prosody: TestProsody, jid: string) {
  await setCounting(prosody, true)
  const added: number[] = []
  const routed: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const times = await evalLua(
      prosody,
      `local st = require "util.stanza"
      local session = assert(prosody.full_sessions["${jid}"])
      local function per_call(f, ...)
        local started = os.clock()
        for i = 1, 100000 do f(...) end
        return (os.clock() - started) * 10
      end
      local message = st.message({ to = "b@one.example" }, "text")
      local added = per_call(session.filter, "stanzas/in", message)
      for f in pairs(prosody.hosts["one.example"].events._event_map["message/bare"]) do
        if debug.getinfo(f, "S").source:find("mod_adhoc_statistics/count", 1, true) then
          added = added + per_call(f, { origin = session, stanza = message })
        end
      end
      local ping = st.iq({ type = "get", to = "one.example", id = "1" })
        :tag("ping", { xmlns = "urn:xmpp:ping" }):up()
      local answered = setmetatable({ send = function () end }, { __index = session })
      return added.." "..per_call(prosody.core_process_stanza, answered, ping)`,
    )
    const [addedUs = NaN, routedUs = NaN] = times.split(' ').map(Number)
    added.push(addedUs)
    routed.push(routedUs)
  }
  report({
    what: `Prosody ${prosody.version}: counting one stanza`,
    ratio: partOf(spread(added), spread(routed)),
    exporter: shown(spread(added), 'µs'),
    peer: `${shown(spread(routed), 'µs')} to route and answer a ping`,
  })
}

/** Times the handlers of the event stats-update that belong to `module`, in milliseconds. */
async function timeGauges(prosody: TestProsody, module: string, rounds: number) {
  const lua = `local now, times = os.clock, {}
    for i = 1, ${rounds} do
      local handlers = prosody.events.get_handlers("stats-update")
      local total, started = 0, 0
      for _, handler in ipairs(handlers) do
        if debug.getinfo(handler, "S").source:find("${module}", 1, true) then
          started = now() handler() total = total + now() - started
        end
      end
      times[i] = ("%.3f"):format(total * 1000)
    end
    return table.concat(times, " ")`
  return (await evalLua(prosody, lua)).split(' ').map(Number)
}

/** Measures the time to compute the gauges, with fake sessions: only the number and the size of the tables of sessions matter. */
async function measureGauges(prosody: TestProsody) {
  await evalLua(
    prosody,
    `local host = prosody.hosts["one.example"]
    local c2s = package.loaded["core.modulemanager"].get_module("*", "c2s").module:shared("/*/c2s/sessions")
    for i = 1, ${CLIENTS} do
      local session = { type = "c2s"; host = "one.example"; username = "u"..i; resource = "r"; ip = "127.0.0.1" }
      for field = 1, 40 do session["field"..field] = field end
      host.sessions["u"..i] = { sessions = { r = session } }
      c2s["made up "..i] = session
    end`,
  )
  await setCounting(prosody, true)
  const countMs = await timeGauges(prosody, 'mod_adhoc_statistics/count', 50)
  const c2sMs = await timeGauges(prosody, 'mod_c2s', 50)
  report({
    what: `Prosody ${prosody.version}, ${CLIENTS.toLocaleString('en')} clients: gauges at a collection`,
    ratio: partOf(spread(countMs), spread(c2sMs)),
    exporter: shown(spread(countMs), 'ms'),
    peer: `${shown(spread(c2sMs), 'ms')} of mod_c2s`,
  })
}

async function measure(t: Test, version: (typeof prosodyVersions)[number]) {
  const prosody = await withProsody(t, {
    version,
    modules: ['test_eval'],
    users: { 'a@one.example': 'pw', 'b@one.example': 'pw' },
    globals: { muc_room_locking: 'false' },
    logLevel: 'warn',
  })
  const join = (jid: string) => login({ port: prosody.ports.c2s, jid, password: 'pw' })
  const [a, b] = await Promise.all(['a@one.example', 'b@one.example'].map(join))
  if (!a || !b) throw new Error('The two users are not online')

  await measureConversation(prosody, a, b)
  await measureHandlers(prosody, a.jid)
  await measureGauges(prosody)
}

for (const version of prosodyVersions) {
  const cleanup: (() => unknown)[] = []
  const t = { after: (f: () => unknown) => cleanup.unshift(f) } as unknown as Test
  try {
    await measure(t, version)
  } finally {
    for (const f of cleanup) await f()
  }
}

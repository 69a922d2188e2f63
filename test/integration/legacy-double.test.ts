import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { lua51 } from '../support/setup/installation.js'
import { root } from '../support/setup/process.js'

const DOUBLE = join(root, 'test/support/prosody-0.10.lua')
const MODULE = join(root, 'prosody-modules/mod_adhoc_statistics')

/** Runs a Lua scenario in `prosody-0.10.lua`, a test double of Prosody 0.10. Returns the lines of its output. */
async function run(scenario: string, ...mode: string[]): Promise<string[]> {
  const { code, output } = await lua51([DOUBLE, MODULE, ...mode], scenario)
  assert.equal(code, 0, output)
  return output.split('\n').slice(0, -1)
}

test('under Lua 5.1, the module adds up counters that Prosody resets (double of Prosody 0.10)', async () => {
  const lines = await run(`
    local hits = measure("rate", "/rooms.one.example/mod_muc/room_hit")
    local connections = measure("amount", "/*/mod_c2s/connections")
    local sizes, times = measure("sizes", "memory.lua"), measure("times", "test.taking")
    print((ask {}))
    for i = 1, 3 do
      for _ = 1, 5 * i do hits() end
      connections(i)
      sizes(100)
      if i > 1 then for _ = 1, 10 do sizes(100 * i) end end
      local done = times() clock.now = clock.now + 2 done()
      collect()
      if i == 2 then reload() end
    end
    local text, attr = ask {}
    print((text:gsub("\\n$", "")))
    hits() clock.now = clock.now + 2 collect()
    print("then")
    print((ask { since = attr.change, epoch = attr.epoch }:gsub("\\n$", "")))
    print(attr.size, attr.last, attr.updated)`)
  assert.match(lines.shift() ?? '', /^Prosody has not collected statistics yet/)
  const end = lines.indexOf('then')
  const series = new Map<string, string[]>()
  const names = new Map<string, string>()
  const ids = new Map<string, string>()
  for (const line of lines.slice(0, end)) {
    const [kind, id = '', ...fields] = line.split('\t')
    if (kind === 'F') names.set(id, `${fields[0]} ${fields[1]}`)
    else {
      const [family = '', ...rest] = fields
      series.set(names.get(family)!, rest)
      ids.set(id, names.get(family)!)
    }
  }
  assert.deepEqual(Object.fromEntries(series), {
    // Each array has the creation time, the label values and the sample values of a series.
    'counter prosody_mod_muc/room_hit': ['1000', 'rooms.one.example', '30'],
    'gauge prosody_mod_muc/room_hit_per_second': ['', 'rooms.one.example', '7.5'],
    'gauge prosody_mod_c2s/connections': ['', '3'],
    // Prosody 0.10 stores only a few values of each interval, so the module estimates the sum as mean × events. Here:
    // 1 event with the value 100, 11 events with the values 100, 200 and 200, and 11 with the values 100, 300 and 300.
    'summary prosody_memory.lua_bytes': ['1000', `${100 + (500 / 3) * 11 + (700 / 3) * 11}`, '23'],
    'gauge prosody_memory.lua_bytes_average': ['', (700 / 3).toPrecision(17)],
    'gauge prosody_memory.lua_bytes_min': ['', '100'],
    'gauge prosody_memory.lua_bytes_max': ['', '300'],
    'summary prosody_test.taking_seconds': ['1000', '6', '3'],
    'gauge prosody_test.taking_seconds_average': ['', '2'],
    'gauge prosody_test.taking_seconds_min': ['', '2'],
    'gauge prosody_test.taking_seconds_max': ['', '2'],
  })
  const [attributes = '', ...changes] = lines.slice(end + 1).reverse()
  assert.equal(attributes, '11\t11\t1006.000')
  const changed: Readonly<Record<string, string>> = Object.fromEntries(
    changes.map((line) => {
      const [id = '', ...values] = line.split('\t')
      return [ids.get(id)!, values.join()]
    }),
  )
  assert.equal(changed['counter prosody_mod_muc/room_hit'], '31')
  assert.equal(changed['gauge prosody_mod_muc/room_hit_per_second'], '0.5')
  assert.ok(!('gauge prosody_mod_c2s/connections' in changed))
  assert.ok(!('summary prosody_test.taking_seconds' in changed))
})

test('if statistics are off, the log and the reply each have one line with the required settings (double of Prosody 0.10)', async () => {
  const lines = await run('print((ask {}))', 'off')
  assert.equal(lines.length, 2)
  for (const line of lines)
    assert.match(line, /statistics = "internal" and statistics_interval = 15/)
})

test('the module exports statistics with unknown kinds of names, and answers invalid statistics with an error and one log line (double of Prosody 0.10)', async () => {
  const lines = await run(`
    local function updated(stats, extras)
      prosody.events.fire_event("stats-updated", { stats = stats, stats_extra = extras })
    end
    local later = 0
    prosody.events.add_handler("stats-updated", function () later = later + 1 end)
    updated({ ["a.plain:duration"] = 5, ["no kind"] = 6, [""] = 7, ["/*/x/y:rate"] = 8 }, {})
    print((ask {}))
    updated({ ["b.broken:rate"] = 1 }, { ["b.broken:rate"] = { count = {} } })
    print((ask {}))
    updated({ ["a.plain:duration"] = 9 }, {})
    print((ask { first = "3", last = "3" }))
    print(later)`)
  const value = (line: string) => line.split('\t').at(-1)
  assert.deepEqual(lines.filter((line) => line.startsWith('S')).map(value), [
    '7',
    '8',
    '5',
    '6',
    '9',
  ])
  const [logged, answered, ...more] = lines.filter((line) => line.includes('failed'))
  assert.match(logged ?? '', /^adhoc_statistics\terror\tReading the collected statistics failed/)
  assert.equal(answered, "Reading the collected statistics failed, see Prosody's log")
  assert.deepEqual(more, [])
  assert.equal(lines.at(-1), '3')
})

test('a stat whose metric names are all taken is logged, and the other stats are exported (double of Prosody 0.10)', async () => {
  const lines = await run(`
    local stats = { ["x.y:amount"] = 1, ["x.y_rate:amount"] = 2 }
    local extras = { ["x.y:rate"] = { count = 3 } }
    local function updated() prosody.events.fire_event("stats-updated", { stats = stats, stats_extra = extras }) end
    updated()
    stats["x.y:rate"] = 0.5
    updated() updated()
    print((ask {}))`)
  const warned = lines.filter((line) => line.startsWith('adhoc_statistics\t'))
  assert.deepEqual(warned, [
    'adhoc_statistics\twarn\tNot exporting the statistic x.y:rate, because other statistics already use both names that its metric could have',
  ])
  assert.deepEqual(
    lines.filter((line) => line.startsWith('S')).map((line) => line.split('\t').at(-1)),
    ['1', '2', '0.5'],
  )
})

test('the metric registry for Prosody versions before 0.12 accepts the same family types as Prosody 0.12 (double of Prosody 0.10)', async () => {
  const lines = await run(`
    collect()
    local registry = require "core.statsmanager".adhoc_statistics.registry
    local _, before = ask {}
    local lag = registry:metric("histogram", "lag", "seconds", "Help", { "host" }, { buckets = { 1, 5 } })
    lag:with_labels("a"):sample(3)
    registry:metric("histogram", "lag", "seconds", "Help", { "host" }):with_labels("a"):sample(0.5)
    registry:metric("counter", "logins", "", "Help"):with_labels():add(2)
    local page, attr = ask { since = before.change, epoch = before.epoch }
    print((page:gsub("\\n$", "")))
    print(attr.epoch == before.epoch)
    registry:metric("gauge", "logins", "", "Help"):with_labels():set(7)
    page, attr = ask { since = attr.change, epoch = attr.epoch }
    print((page:gsub("\\n$", "")))
    print(attr.epoch == before.epoch, pcall(lag.with_labels, lag))`)
  assert.deepEqual(lines.slice(0, 5), [
    'F\t1\thistogram\tlag_seconds\tseconds\tHelp\t1\thost\t1\t5\t+Inf',
    'S\t1\t1\t1000\ta\t3.5\t2\t1\t2\t2',
    'F\t2\tcounter\tlogins\t\tHelp\t0',
    'S\t2\t2\t1000\t2',
    'true',
  ])
  assert.deepEqual(lines.slice(7, 9), ['F\t3\tgauge\tlogins\t\tHelp\t0', 'S\t2\t3\t\t7'])
  assert.match(lines.at(-1) ?? '', /^false\tfalse\t.*number of labels/)
})

/** Returns the name, the label values and the sample values of each series, from the lines of a page. */
function readSeries(lines: readonly string[]): string[][] {
  const names = new Map<string, string>()
  return lines.flatMap((line) => {
    const [kind, id = '', ...fields] = line.split('\t')
    if (kind === 'F') names.set(id, fields[1] ?? '')
    const [family = '', , ...rest] = fields
    return kind === 'S' ? [[names.get(family) ?? '', ...rest]] : []
  })
}

/** Returns the values of the families `xmpp_…` that the module counts itself, from the lines of a page. */
function readCounts(lines: readonly string[]): Readonly<Record<string, string>> {
  const counts: Record<string, string> = {}
  for (const [name = '', ...rest] of readSeries(lines)) {
    const value = rest.pop() ?? ''
    if (!/^(prosody_|xmpp_process_|xmpp_lua_)/.test(name) && !name.includes('lag')) {
      counts[[name, ...rest].join(' ')] = value
    }
  }
  return counts
}

test('the module counts logins, stanzas, connections, users, rooms and accounts once, even when it is reloaded (double of Prosody 0.10)', async () => {
  const lines = await run(
    `
    add_host("one.example", { a = true, b = true, c = true })
    local a = connect("one.example", "PLAIN"):login()
    a:login("a"):bind("x")
    local again = connect("one.example", "SCRAM-SHA-1"):login("a"):bind("y")
    add_host("two.example", {})
    local events = prosody.hosts["one.example"].events
    events.wrappers.add_handler("message/offline/handle", function (fire, ...) return fire(...) end)
    local rooms = {}
    add_rooms("rooms.one.example", rooms)
    for i = 1, 2 do rooms["room"..i.."@rooms.one.example"] = { _occupants = { a = {}, b = {} } } end
    local b = connect("two.example", "PLAIN"):login("b"):bind("x")
    a:dispatch("presence") a:dispatch("message") a:dispatch("iq") a:dispatch("a")
    connect("one.example", "PLAIN"):disconnect()
    connect("one.example", "PLAIN"):login("a"):disconnect()
    reload()
    connect("one.example", "PLAIN"):disconnect()
    connect("one.example", "PLAIN"):login()
    a:dispatch("message") b:dispatch("message") b:dispatch("presence", { type = "unavailable" })
    again:close() b:close()
    for _ = 1, 10 do tick(0.1) end
    local is_stored = true
    events.add_handler("message/offline/handle", function () return is_stored end, -1)
    for _ = 1, 2 do
      events.fire_event("user-registered", { username = "a", host = "one.example" })
      prosody.events.fire_event("user-password-changed", { username = "a", host = "one.example" })
      events.fire_event("message/offline/handle", {})
      is_stored = nil
    end
    prosody.events.fire_event("user-deleted", { username = "a", host = "one.example" })
    events.fire_event("user-deregistered", { username = "a", host = "one.example" })
    collect()
    print((ask {}:gsub("\\n$", "")))`,
    'counts',
  )
  const counted = Object.entries(readCounts(lines)).filter(([, value]) => value !== '0')
  assert.deepEqual(Object.fromEntries(counted), {
    'xmpp_logins one.example PLAIN': '2',
    'xmpp_logins one.example SCRAM-SHA-1': '1',
    'xmpp_logins two.example PLAIN': '1',
    'xmpp_login_failures one.example PLAIN': '2',
    'xmpp_connections_closed_unauthenticated c2s': '2',
    'xmpp_unauthenticated_connections c2s': '1',
    'xmpp_stanzas one.example client presence': '1',
    'xmpp_stanzas one.example client message': '2',
    'xmpp_stanzas one.example client iq': '1',
    'xmpp_stanzas two.example client message': '1',
    'xmpp_stanzas two.example client presence': '1',
    'xmpp_client_connections one.example': '1',
    'xmpp_online_users one.example': '1',
    'xmpp_registered_users one.example': '3',
    'xmpp_registrations one.example': '1',
    'xmpp_account_deletions one.example': '1',
    'xmpp_password_changes one.example': '2',
    'xmpp_offline_messages_stored one.example': '1',
    'xmpp_muc_live_rooms rooms.one.example': '2',
    'xmpp_muc_occupants rooms.one.example': '4',
    'xmpp_start_time_seconds one.example': '1000',
    'xmpp_start_time_seconds rooms.one.example': '1000',
    'xmpp_start_time_seconds two.example': '1000',
  })
  const complaints = lines.filter((line) => /\t(warn|error)\t/.test(line))
  assert.deepEqual(complaints, [])
})

test('the module exports the CPU time and the memory of the process (double of Prosody 0.10)', async () => {
  const lines = await run(
    `
    collect()
    local finish = os.clock() + 0.2
    repeat until os.clock() > finish
    collect()
    print((ask {}:gsub("\\n$", "")))
    print(os.clock(), collectgarbage("count"))`,
    'counts',
  )
  const [clock = NaN, kilobytes = NaN] = lines.pop()!.split('\t').map(Number)
  const value = (name: string) =>
    Number(
      readSeries(lines)
        .find(([family]) => family === name)
        ?.at(-1),
    )
  assert.ok(Math.abs(value('xmpp_process_cpu_seconds') - clock) <= 0.03)
  assert.ok(value('xmpp_lua_heap_bytes') > 0)
  assert.ok(value('xmpp_lua_heap_bytes') < 2 * 1024 * kilobytes)
  assert.ok(value('xmpp_process_resident_memory_bytes') > value('xmpp_lua_heap_bytes'))
  // The double has neither util.pposix nor a working lfs, so these values are not available.
  assert.ok(Number.isNaN(value('xmpp_process_max_fds')))
  assert.ok(Number.isNaN(value('xmpp_process_open_fds')))
})

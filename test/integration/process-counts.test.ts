// Tests the metrics of the process and of unauthenticated connections that mod_adhoc_statistics exports. The truth is
// what /proc says about Prosody, and a known number of connections.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import xml from '@xmpp/xml'
import {
  nonZero,
  PASSWORD,
  readCounts,
  reloadAll,
  startCountedProsody,
  type CountedProsody,
} from '../support/counted-prosody.js'
import { everyVersion } from '../support/prosody.js'
import { evalLua, setServerAddress } from '../support/real.js'
import { until } from '../support/setup/process.js'
import { authenticate, login, LoginError, openStream } from '../support/xmpp-client.js'

/** Reads the only value of a family. */
async function readValue(prosody: CountedProsody, family: string): Promise<number> {
  const counts = await readCounts(prosody, family)
  assert.deepEqual(Object.keys(counts), [''], family)
  return counts['']!
}

/** Returns a value that /proc has about Prosody: the first group of `pattern` in a file. */
async function readProc(prosody: CountedProsody, file: string, pattern: RegExp): Promise<number> {
  const text = await readFile(`/proc/${prosody.pid}/${file}`, 'utf8')
  return Number(pattern.exec(text)?.[1])
}

async function readCpuSeconds(prosody: CountedProsody): Promise<number> {
  const text = await readFile(`/proc/${prosody.pid}/stat`, 'utf8')
  const [utime = NaN, stime = NaN] = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13)
    .map(Number)
  return (utime + stime) / 100
}

const residentBytes = async (prosody: CountedProsody) =>
  1024 * (await readProc(prosody, 'status', /VmRSS:\s*(\d+) kB/))

/** Opens connections to a port that send nothing, and returns them when Prosody has accepted all of them. */
async function connectSilently(t: TestContext, port: number, count: number): Promise<Socket[]> {
  const sockets = Array.from({ length: count }, () => connect(port, '127.0.0.1'))
  for (const socket of sockets) {
    t.after(() => socket.destroy())
    socket.on('error', () => undefined)
    await once(socket, 'connect')
  }
  return sockets
}

/** Waits until the numbers of connections are the expected ones. Numbers that are 0 are omitted. */
async function untilConnections(
  prosody: CountedProsody,
  expected: {
    readonly open: Readonly<Record<string, number>>
    readonly closed: Readonly<Record<string, number>>
  },
): Promise<void> {
  let actual
  const isExpected = async () => {
    actual = {
      open: nonZero(await readCounts(prosody, 'xmpp_unauthenticated_connections')),
      closed: nonZero(await readCounts(prosody, 'xmpp_connections_closed_unauthenticated')),
    }
    return isDeepStrictEqual(actual, expected)
  }
  try {
    await until(isExpected, { what: 'all connections are counted', timeoutMs: 30_000 })
  } catch {
    assert.deepEqual(actual, expected)
  }
}

for (const version of everyVersion) {
  test(`CPU time, memory and descriptors are those of the process (Prosody ${version})`, async (t) => {
    const prosody = await startCountedProsody(t, version)
    const cpuBefore = await readCpuSeconds(prosody)
    await evalLua(prosody, 'local till = os.clock() + 0.5 repeat until os.clock() > till')
    const cpu = await readValue(prosody, 'xmpp_process_cpu_seconds')
    assert.ok(cpu >= cpuBefore + 0.4, `${cpu} < ${cpuBefore} + 0.4`)
    // The kernel shows the time in steps of 10 ms for each of the two modes.
    assert.ok(cpu <= (await readCpuSeconds(prosody)) + 0.02, `${cpu}`)

    // Where os.clock() overflows, the module reads a file.
    await evalLua(
      prosody,
      `string.packsize = string.packsize and function () return 4 end
      local dump = string.dump
      function string.dump(f) return dump(f):sub(1, 8)..string.char(4) end`,
    )
    await reloadAll(prosody)
    const fromFile = await readValue(prosody, 'xmpp_process_cpu_seconds')
    assert.ok(Math.abs(fromFile * 100 - Math.round(fromFile * 100)) < 1e-6, `${fromFile}`)
    assert.ok(fromFile >= cpu - 0.02 && fromFile <= (await readCpuSeconds(prosody)), `${fromFile}`)

    // If all file descriptors are in use, Prosody can't open the file. The counter must not decrease.
    await evalLua(
      prosody,
      `local open = io.open
      function io.open(path, ...)
        if path:find("^/proc/self/") then return nil, path..": Too many open files" end
        return open(path, ...)
      end
      test_restore = function () io.open = open end
      local till = os.clock() + 0.1 repeat until os.clock() > till`,
    )
    assert.equal(await readValue(prosody, 'xmpp_process_cpu_seconds'), fromFile)
    await evalLua(prosody, 'test_restore()')
    assert.ok((await readValue(prosody, 'xmpp_process_cpu_seconds')) > fromFile)

    // The module reads the memory and the descriptors when it starts, and then once a minute.
    // A text of 50 MB does not fit into the memory that Lua already has.
    const text = 50 * 1024 * 1024
    await evalLua(prosody, 'collectgarbage()')
    const residentBefore = await residentBytes(prosody)
    await evalLua(prosody, `test_text = ("x"):rep(${text}) collectgarbage()`)
    await reloadAll(prosody)
    const resident = await readValue(prosody, 'xmpp_process_resident_memory_bytes')
    const heap = await readValue(prosody, 'xmpp_lua_heap_bytes')
    const isAbout = (actual: number, expected: number) => {
      assert.ok(Math.abs(actual - expected) < 0.1 * text, `${actual} is not about ${expected}`)
    }
    isAbout(resident, await residentBytes(prosody))
    isAbout(heap, 1024 * Number(await evalLua(prosody, 'return collectgarbage("count")')))
    for (const value of [resident - residentBefore, heap]) assert.ok(value > 0.9 * text, `${value}`)

    const limit = await readProc(prosody, 'limits', /Max open files\s+(\d+)/)
    assert.equal(await readValue(prosody, 'xmpp_process_max_fds'), limit)

    const isOpenFds = async () => {
      await reloadAll(prosody)
      const value = await readValue(prosody, 'xmpp_process_open_fds')
      return value === (await readdir(`/proc/${prosody.pid}/fd`)).length && value
    }
    const before = await until(isOpenFds, { what: 'the number of descriptors is exported' })
    await connectSilently(t, prosody.ports.c2s, 50)
    await until(async () => (await isOpenFds()) === before + 50, {
      what: 'the descriptors of 50 connections are counted',
    })
    // Before Linux 6.2, the size of /proc/self/fd is 0, and the module counts its entries.
    await evalLua(
      prosody,
      `local lfs = require "lfs"
      local attributes = lfs.attributes
      function lfs.attributes(path, ...)
        return path ~= "/proc/self/fd" and attributes(path, ...) or 0
      end`,
    )
    await until(isOpenFds, { what: 'the descriptors are counted by their entries' })
    await connectSilently(t, prosody.ports.c2s, 50)
    await until(async () => (await isOpenFds()) === before + 100, {
      what: 'the descriptors of 100 connections are counted',
    })
  })

  test(`each connection that ends before it authenticates is counted once (Prosody ${version})`, async (t) => {
    const prosody = await startCountedProsody(t, version)
    const { c2s: port, s2s } = prosody.ports
    for (const family of ['unauthenticated_connections', 'connections_closed_unauthenticated']) {
      const counts = await readCounts(prosody, `xmpp_${family}`)
      assert.deepEqual(counts, { c2s: 0, s2sin: 0, s2sout: 0 })
    }
    const clients = await connectSilently(t, port, 5)
    const servers = await connectSilently(t, s2s, 3)
    const streams = [
      await openStream(port, 'one.example', 'jabber:client'),
      await openStream(port, 'one.example', 'jabber:client'),
      await openStream(s2s, 'one.example', 'jabber:server'),
    ]
    const unbound = await authenticate({ port, jid: 'a@one.example', password: PASSWORD })
    const bound = await login({ port, jid: 'c@two.example', password: PASSWORD })
    for (const stream of [...streams, unbound, bound]) t.after(() => stream.close())
    await untilConnections(prosody, { open: { c2s: 7, s2sin: 4 }, closed: {} })
    const wrong = { port, jid: 'a@one.example', password: 'wrong' }
    await assert.rejects(authenticate(wrong), LoginError)
    await untilConnections(prosody, { open: { c2s: 7, s2sin: 4 }, closed: { c2s: 1 } })

    clients[0]?.destroy()
    servers[0]?.destroy()
    await streams[0]?.close()
    await untilConnections(prosody, { open: { c2s: 5, s2sin: 3 }, closed: { c2s: 3, s2sin: 1 } })
    // A reload keeps the numbers, also those of connections that end immediately before it.
    await reloadAll(prosody)
    await untilConnections(prosody, { open: { c2s: 5, s2sin: 3 }, closed: { c2s: 3, s2sin: 1 } })
    await streams[1]?.close()
    await reloadAll(prosody)
    await untilConnections(prosody, { open: { c2s: 4, s2sin: 3 }, closed: { c2s: 4, s2sin: 1 } })

    // These connections authenticated before the reload.
    await Promise.all([unbound.close(), bound.close()])
    for (const socket of [...clients, ...servers]) socket.destroy()
    await streams[2]?.close()
    await untilConnections(prosody, { open: {}, closed: { c2s: 8, s2sin: 4 } })
  })

  test(`BOSH and WebSocket sessions that do not authenticate are counted as c2s (Prosody ${version})`, async (t) => {
    const prosody = await startCountedProsody(t, version, {
      modules: [
        ...['bosh', 'websocket', 'test_dns', 'test_eval'],
        ...(version.startsWith('0.11') ? ['test_legacy'] : []),
      ],
      globals: {
        consider_bosh_secure: 'true',
        consider_websocket_secure: 'true',
        cross_domain_websocket: 'true',
      },
    })
    const { http } = prosody.ports
    const bosh = async (attributes: string) => {
      const body = `<body xmlns='http://jabber.org/protocol/httpbind' ${attributes}/>`
      const response = await fetch(`http://127.0.0.1:${http}/http-bind`, { method: 'POST', body })
      return await response.text()
    }
    const session = await bosh(`to='one.example' rid='1' wait='1' hold='1' ver='1.6'`)
    const sid = /sid=['"]([^'"]+)/.exec(session)?.[1] ?? ''
    await untilConnections(prosody, { open: { c2s: 1 }, closed: {} })
    const [socket] = await connectSilently(t, http, 1)
    socket!.write(
      'GET /xmpp-websocket HTTP/1.1\r\nHost: one.example\r\nOrigin: http://one.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: xmpp\r\n' +
        'Sec-WebSocket-Version: 13\r\n\r\n',
    )
    await untilConnections(prosody, { open: { c2s: 2 }, closed: {} })
    await reloadAll(prosody)
    await untilConnections(prosody, { open: { c2s: 2 }, closed: {} })
    await bosh(`sid='${sid}' rid='2' type='terminate'`)
    await untilConnections(prosody, { open: { c2s: 1 }, closed: { c2s: 1 } })
    socket!.destroy()
    await untilConnections(prosody, { open: {}, closed: { c2s: 2 } })
  })

  test(`connections to a server that does not authenticate are counted as s2sout (Prosody ${version})`, async (t) => {
    const prosody = await startCountedProsody(t, version)
    const accepted: Socket[] = []
    const silent = createServer((socket) => {
      accepted.push(socket.on('error', () => undefined))
    })
    t.after(() => silent.close())
    silent.listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const { port } = silent.address() as AddressInfo
    await setServerAddress(prosody, 'silent.example', port)
    const user = await login({ port: prosody.ports.c2s, jid: 'a@one.example', password: PASSWORD })
    t.after(() => user.close())
    const send = () => {
      user.send(xml('message', { to: 'x@silent.example', id: 'silent' }, xml('body', {}, 'text')))
    }
    send()
    await untilConnections(prosody, { open: { s2sout: 1 }, closed: {} })
    await reloadAll(prosody)
    await untilConnections(prosody, { open: { s2sout: 1 }, closed: {} })
    accepted[0]?.destroy()
    await user.next(({ attrs }) => attrs.id === 'silent' && attrs.type === 'error')
    await untilConnections(prosody, { open: {}, closed: { s2sout: 1 } })
  })

  test(`connections between servers that authenticated are not counted when they end (Prosody ${version})`, async (t) => {
    // The hosts have no certificates, so the two servers connect without TLS, and authenticate with dialback.
    const globals = { s2s_allow_encryption: 'false', s2s_secure_auth: 'false' }
    const near = await startCountedProsody(t, version, { globals })
    const far = await startCountedProsody(t, version, {
      globals,
      hosts: ['far.example'],
      users: { 'd@far.example': PASSWORD },
      statsDomains: ['stats.far.example'],
    })
    await setServerAddress(near, 'far.example', far.ports.s2s)
    await setServerAddress(far, 'one.example', near.ports.s2s)
    const a = await login({ port: near.ports.c2s, jid: 'a@one.example', password: PASSWORD })
    const d = await login({ port: far.ports.c2s, jid: 'd@far.example', password: PASSWORD })
    for (const stream of [a, d]) t.after(() => stream.close())
    const exchange = async () => {
      a.send(xml('message', { to: d.jid }, xml('body', {}, 'text')))
      await d.next(({ name }) => name === 'message')
      d.send(xml('message', { to: a.jid }, xml('body', {}, 'text')))
      await a.next(({ name }) => name === 'message')
    }
    await exchange()
    for (const prosody of [near, far]) await untilConnections(prosody, { open: {}, closed: {} })
    const closeAll = `local count = 0
      for session in pairs(prosody.incoming_s2s) do session:close() count = count + 1 end
      for _, session in pairs(prosody.hosts["one.example"].s2sout) do session:close() count = count + 1 end
      return count`
    assert.equal(await evalLua(near, closeAll), '2')
    await until(
      async () => (await evalLua(far, 'return next(prosody.incoming_s2s) == nil')) === 'true',
      {
        what: 'the connections are closed',
      },
    )
    for (const prosody of [near, far]) await untilConnections(prosody, { open: {}, closed: {} })
    await reloadAll(near)
    await exchange()
    await untilConnections(near, { open: {}, closed: {} })
  })

  test(`a server whose authentication Prosody ${version} rejects is counted as s2sout`, async (t) => {
    const globals = { s2s_allow_encryption: 'false', s2s_secure_auth: 'false' }
    const near = await startCountedProsody(t, version, {
      globals: { ...globals, s2s_secure_domains: '{ "far.example" }' },
    })
    const far = await startCountedProsody(t, version, {
      globals,
      hosts: ['far.example'],
      users: { 'd@far.example': PASSWORD },
      statsDomains: ['stats.far.example'],
    })
    await evalLua(
      near,
      `prosody.test_dns_ports = { ["far.example"] = ${far.ports.s2s} }
      test_attempts = 0
      prosody.hosts["one.example"].events.add_handler("s2s-authenticated", function ()
        test_attempts = test_attempts + 1
      end, 1)`,
    )
    await evalLua(far, `prosody.test_dns_ports = { ["one.example"] = ${near.ports.s2s} }`)
    const d = await login({ port: far.ports.c2s, jid: 'd@far.example', password: PASSWORD })
    t.after(() => d.close())
    d.send(xml('message', { to: 'a@one.example' }, xml('body', {}, 'text')))
    await until(
      async () => (await readCounts(near, 'xmpp_connections_closed_unauthenticated')).s2sout === 1,
      { what: 'the rejected connection is counted' },
    )
    // The other server accepted the dialback key, but Prosody requires encryption from this server.
    assert.equal(await evalLua(near, 'return test_attempts'), '1')
  })
}

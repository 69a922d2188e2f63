import assert from 'node:assert/strict'
import { describe, test, type TestContext } from 'node:test'
import { components } from '../src/collectors/components.js'
import { createHostCollector, type HostSource } from '../src/collectors/host-collector.js'
import { createHosts } from '../src/collectors/hosts.js'
import { modules } from '../src/collectors/modules.js'
import { createMucRooms } from '../src/collectors/muc-rooms.js'
import { ping } from '../src/collectors/ping.js'
import { createS2s } from '../src/collectors/s2s.js'
import { serverStatistics } from '../src/collectors/server-statistics.js'
import { createStartTime } from '../src/collectors/start-time.js'
import { users } from '../src/collectors/users.js'
import { version as versionSource } from '../src/collectors/version.js'
import { render } from '../src/metrics/exposition.js'
import { createConnection } from '../src/xmpp/connection.js'
import { prosodyVersions, SECRET, withProsody } from './helpers/prosody.js'
import { login } from './helpers/xmpp-client.js'

const SOURCES = (): HostSource[] => [
  ping,
  versionSource,
  createStartTime(),
  components,
  createMucRooms(),
  createS2s(),
  modules,
  serverStatistics,
  users,
]

async function startAll(
  t: TestContext,
  version: (typeof prosodyVersions)[number],
  admins: boolean,
) {
  const jid = 'a@one.example'
  const domain = 'stats.one.example'
  const prosody = await withProsody(t, {
    version,
    modules: ['admin_adhoc', 'lastactivity'],
    users: { [jid]: 'x' },
    statsDomains: [domain],
    globals: admins ? { admins: `{ "${domain}" }` } : {},
  })
  const user = await login({ port: prosody.ports.c2s, jid, password: 'x' })
  t.after(() => user.close())
  let online = () => {}
  const isOnline = new Promise<void>((resolve) => (online = resolve))
  const silent = () => {}
  const connection = createConnection({
    service: prosody.service,
    domain,
    secret: SECRET,
    version: '0',
    log: { debug: silent, info: silent, warn: silent, error: silent },
    onOnline: online,
  })
  t.after(() => connection.stop())
  connection.start()
  await isOnline
  return { prosody, connection, user }
}

describe('the stock tier', { concurrency: 2 }, () => {
  for (const version of prosodyVersions) {
    test(`tells what Prosody ${version} tells without a module`, async (t) => {
      const { connection } = await startAll(t, version, true)
      const hosts = createHosts(connection, { named: ['one.example', 'two.example'] })
      for (const source of SOURCES()) {
        const collector = createHostCollector(connection, hosts, source)
        const { families, failure } = await collector.collect({ timeoutMs: 5000 })
        console.log(source.name, failure, Buffer.from(render(families, 'text', { created: false })).toString())
      }
      assert.ok(true)
    })
  }
})

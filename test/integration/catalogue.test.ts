// Tests that the catalogue, and so docs/metrics.md, contains every metric family that real Prosody servers export. The
// bundled modules with metrics are loaded, and clients cause traffic.

import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import xml from '@xmpp/xml'
import {
  findDocumented,
  hasSameShape,
  isUninformative,
  PROSODY,
  type ReportedFamily,
} from '../../src/catalogue/index.js'
import { AREAS } from '../../src/collectors/documentation.js'
import { describedOf, readExposition } from '../support/compare.js'
import { withExporterFor } from '../support/exporter.js'
import { everyVersion, legacyVersion, withProsody, type Version } from '../support/prosody.js'
import { evalLua, untilUp } from '../support/real.js'
import { login, LoginError } from '../support/xmpp-client.js'

const STATS = 'stats.one.example'
const PASSWORD = 'pw'

/** The modules of Prosody that add metrics or change their values, and that need no other programs. */
const MODULES = [
  ...['admin_adhoc', 'bosh', 'carbons', 'csi_simple', 'mam', 'pep', 'presence', 'websocket'],
  ...['blocklist', 'bookmarks', 'private', 'vcard', 'limits', 'announce', 'motd', 'posix'],
]
const NEW_MODULES = ['smacks', 'cron', 's2s_auth_certs', 'invites', 'http_files']
const NEW_IN_13 = ['csi', 's2s_bidi', 'user_account_management', 'account_activity', 'cloud_notify']

async function startProsody(t: TestContext, version: Version) {
  const isLegacy = version === legacyVersion
  const users = ['a@one.example', 'b@one.example', 'c@far.example']
  const prosody = await withProsody(t, {
    version,
    hosts: ['one.example', 'far.example'],
    users: Object.fromEntries(users.map((jid) => [jid, PASSWORD])),
    statsDomains: [STATS],
    modules: [
      ...MODULES,
      ...(isLegacy ? [] : NEW_MODULES),
      ...(version.startsWith('13') ? NEW_IN_13 : []),
      ...['test_dns', 'test_eval'],
    ],
    globals: { muc_room_locking: 'false', admins: `{ "${STATS}" }` },
    components: [
      { domain: 'rooms.far.example', module: 'muc', options: { modules_enabled: '{ "muc_mam" }' } },
      ...(isLegacy ? [] : [{ domain: 'share.one.example', module: 'http_file_share' }]),
    ],
  })
  return prosody
}

/** Causes at least one event of each kind that Prosody counts or measures. */
async function causeTraffic(prosody: Awaited<ReturnType<typeof startProsody>>, version: Version) {
  const { ports } = prosody
  const [a, b] = await Promise.all(
    ['a@one.example', 'b@one.example'].map((jid) =>
      login({ port: ports.c2s, jid, password: PASSWORD }),
    ),
  )
  const wrong = { port: ports.c2s, jid: 'a@one.example', password: 'wrong' }
  await assert.rejects(login(wrong), LoginError)
  if (version !== legacyVersion) {
    a!.send(xml('enable', { xmlns: 'urn:xmpp:sm:3', resume: 'true' }))
    await a!.next(({ name }) => name === 'enabled')
  }
  a!.send(xml('inactive', { xmlns: 'urn:xmpp:csi:0' }))
  for (const user of [a!, b!]) user.send(xml('presence'))
  await b!.joinRoom(`room@${prosody.rooms}`, 'nick')
  b!.send(xml('message', { to: a!.jid, type: 'chat' }, xml('body', {}, 'x')))
  a!.send(xml('active', { xmlns: 'urn:xmpp:csi:0' }))
  await a!.next(({ name }) => name === 'message')
  // No server listens for refused.example. So Prosody starts a connection to refused.example and closes it.
  b!.send(xml('message', { to: 'x@refused.example', type: 'chat', id: 'refused' }))
  await b!.next(({ attrs }) => attrs.id === 'refused' && attrs.type === 'error')
  // This BOSH request has an invalid session id, so Prosody counts an error.
  const body = "<body xmlns='http://jabber.org/protocol/httpbind' rid='1' sid='none'/>"
  await fetch(`http://127.0.0.1:${ports.http}/http-bind`, { method: 'POST', body })
  return [a!, b!]
}

/** Lua code that returns all families of the registry as JSON, even families without series. */
const REGISTERED = `
  -- mod_storage_sql registers its metrics before it connects, so it does not need the real LuaDBI.
  package.preload.DBI = function () return { Drivers = function () return {} end } end
  require "core.modulemanager".load("one.example", "storage_sql")
  local json, array = require "util.json", require "util.array"
  local families = array()
  for name, family in pairs(require "core.statsmanager".get_metric_registry().families) do
    families:push { name = name, type = family.type_, unit = family.unit or "", help = family.description or "",
      labels = array(family.label_keys) }
  end
  return json.encode(families)`

async function readRegistered(prosody: Awaited<ReturnType<typeof startProsody>>) {
  const families = JSON.parse(await evalLua(prosody, REGISTERED)) as ReportedFamily[]
  return families.map((family) => ({
    ...family,
    name: family.name.replaceAll('/', '__').replace(/\W/g, '_'),
  }))
}

const documented = AREAS.flatMap(({ families }) => families)

/** Returns the families that are missing in docs/metrics.md, or that have another type or other labels there. */
function undocumented(
  families: readonly Pick<ReportedFamily, 'name' | 'type' | 'labels'>[],
): string[] {
  return families.flatMap(({ name, type, labels }) => {
    const known = findDocumented(name) ?? documented.find((each) => each.name === name)
    const is = `${type} ${name}{${labels.join(',')}}`
    if (!known) return [`${is}: not in docs/metrics.md`]
    return hasSameShape(known, { type, labels }) ? [] : [`${is}: another type or other labels`]
  })
}

/** Returns the names of the families that a version of Prosody has according to the catalogue. */
function expected(version: Version): string[] {
  const major = parseFloat(version)
  return PROSODY.flatMap((area) =>
    area.families
      .filter(({ since = area.since, until = '99' }) => +since <= major && major <= +until)
      .map(({ name }) => name),
  )
}

for (const version of everyVersion) {
  test(`the catalogue correctly documents every family of Prosody ${version} with its bundled modules`, async (t) => {
    const prosody = await startProsody(t, version)
    const users = await causeTraffic(prosody, version)
    for (const user of users) t.after(() => user.close())
    const exporter = await withExporterFor(t, prosody, {
      stock: true,
      flags: ['--xmpp.host=one.example', '--xmpp.host=far.example'],
    })
    const families = readExposition(await untilUp(exporter), 'text').map(describedOf)
    assert.deepEqual(undocumented(families), [])
    assert.deepEqual(
      families.filter(isUninformative).map(({ name }) => name),
      [],
      'each family has a useful HELP text',
    )
    const known = new Set(PROSODY.flatMap((area) => area.families.map(({ name }) => name)))
    const served = families.map(({ name }) => name).filter((name) => known.has(name))
    const unexpected = served.filter((name) => !expected(version).includes(name))
    assert.deepEqual(
      unexpected,
      [],
      'Prosody has no families that the catalogue lists only for other versions',
    )
    assert.ok(served.length > 25)

    // The registry also has the families without series. Prosody 0.11 has no registry.
    if (version === legacyVersion) return
    const all = await readRegistered(prosody)
    assert.deepEqual(undocumented(all), [])
    assert.deepEqual(all.map(({ name }) => name).sort(), expected(version).sort())
  })
}

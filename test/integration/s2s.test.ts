// Tests the collector `s2s` with two real Prosody servers that are connected to each other.

import xml from '@xmpp/xml'
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { temporaryDirectory, until } from '../support/setup/process.js'
import { withExporterFor } from '../support/exporter.js'
import { openssl } from '../support/openssl.js'
import {
  everyVersion,
  legacyVersion,
  SECRET,
  withProsody,
  type TestProsody,
  type Version,
} from '../support/prosody.js'
import { complaints, evalLua, serverSamples, untilUp } from '../support/real.js'
import { login, type XmppUser } from '../support/xmpp-client.js'

const STATS = 'stats.one.example'
const PASSWORD = 'pw'
const NEAR = ['one.example', 'two.example']
// GOOD has a certificate of a trusted authority. SELF has a self-signed certificate. PLAIN has no certificate, so its
// connections do not use TLS.
const [GOOD, SELF, PLAIN] = ['good.example', 'self.example', 'plain.example']

/**
 * Creates a directory with the certificate authority `ca.crt`. The authority signs the certificates of the hosts
 * `signed`, and the hosts `own` get self-signed certificates.
 */
async function makeCertificates(t: TestContext, signed: readonly string[], own: readonly string[]) {
  const { path, remove } = await temporaryDirectory('prosody-exporter-certs')
  t.after(remove)
  const make = (name: string, ...args: string[]) =>
    openssl([
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
      ...['-subj', `/CN=${name}`, '-days', '30', ...args],
      ...['-keyout', join(path, `${name}.key`), '-out', join(path, `${name}.crt`)],
    ])
  const host = (name: string, ...args: string[]) =>
    make(
      name,
      ...['-addext', `subjectAltName=DNS:${name}`],
      ...['-addext', 'basicConstraints=critical,CA:FALSE', ...args],
    )
  await make('ca')
  const ca = ['-CA', join(path, 'ca.crt'), '-CAkey', join(path, 'ca.key')]
  for (const name of signed) await host(name, ...ca)
  for (const name of own) await host(name)
  return path
}

/** Starts a Prosody with the given hosts, and with a user `u` on each host. */
async function startServer(
  t: TestContext,
  version: Version,
  { hosts, certs, extra = '' }: { hosts: readonly string[]; certs: string; extra?: string },
) {
  const prosody = await withProsody(t, {
    version,
    hosts,
    users: Object.fromEntries(hosts.map((host) => [`u@${host}`, PASSWORD])),
    modules: [
      ...(version === legacyVersion ? ['tls'] : []),
      ...['admin_adhoc', 'test_dns', 'test_eval'],
    ],
    statsDomains: [],
    globals: {
      admins: `{ "${STATS}" }`,
      certificates: JSON.stringify(certs),
      ssl: `{ cafile = ${JSON.stringify(join(certs, 'ca.crt'))} }`,
      s2s_secure_auth: 'false',
    },
    components: [{ domain: STATS, options: { component_secret: `"${SECRET}"` } }],
    extra,
  })
  const users = new Map<string, XmppUser>()
  for (const host of hosts) {
    const user = await login({ port: prosody.ports.c2s, jid: `u@${host}`, password: PASSWORD })
    t.after(() => user.close())
    users.set(host, user)
  }
  return { prosody, users }
}

const setAddresses = (prosody: TestProsody, hosts: readonly string[], port: number) =>
  evalLua(
    prosody,
    `prosody.test_dns_ports = { ${hosts.map((host) => `["${host}"] = ${port}`).join(', ')} }`,
  )

for (const version of everyVersion) {
  test(`connections between two Prosody ${version} are counted by direction and security`, async (t) => {
    const certs = await makeCertificates(t, [...NEAR, GOOD], [SELF])
    const near = await startServer(t, version, { hosts: NEAR, certs })
    const far = await startServer(t, version, {
      hosts: [GOOD, SELF, PLAIN],
      certs,
      extra: `VirtualHost "${PLAIN}"\n  modules_disabled = { "tls" }`,
    })
    await setAddresses(near.prosody, [GOOD, SELF, PLAIN], far.prosody.ports.s2s)
    await setAddresses(far.prosody, NEAR, near.prosody.ports.s2s)

    const exporter = await withExporterFor(
      t,
      { ...near.prosody, statsDomains: [STATS] },
      {
        stock: true,
        env: { PROSODY_EXPORTER_COLLECTION_MIN_AGE: '0s' },
        flags: [
          ...NEAR.map((host) => `--xmpp.host=${host}`),
          ...['--no-collector.registry', '--log.format=json'],
        ],
      },
    )
    /** Returns the numbers of connections above 0. A key is, for example, `one.example in plain`. */
    const connections = async () => {
      const samples = serverSamples(await untilUp(exporter)).flatMap((line) => {
        const found =
          /^xmpp_s2s_connections\{host="(.*)",direction="(.*)",security="(.*)"\} (\d+)$/.exec(line)
        return found ? [[found.slice(1, 4).join(' '), Number(found[4])] as const] : []
      })
      assert.equal(
        samples.length,
        2 * 3 * NEAR.length,
        'the exporter also exports numbers that are 0',
      )
      return Object.fromEntries(samples.filter(([, count]) => count > 0))
    }
    const users = new Map([...near.users, ...far.users])
    const send = async (from: string, to: string) => {
      const [sender, receiver] = [users.get(from)!, users.get(to)!]
      sender.send(xml('message', { to: receiver.jid, type: 'chat' }, xml('body', {}, 'text')))
      await receiver.next(({ name, attrs }) => name === 'message' && attrs.from === sender.jid)
    }
    assert.deepEqual(await connections(), {})

    await send('two.example', GOOD)
    assert.deepEqual(await connections(), { 'two.example out verified': 1 })
    await send(GOOD, 'one.example')
    assert.deepEqual(await connections(), {
      'two.example out verified': 1,
      'one.example in verified': 1,
    })
    // With dialback (XEP-0220), the second server opens a connection to the first one for the authentication. Later, this
    // connection also carries the stanzas of the second server.
    for (const host of [SELF, PLAIN]) {
      await send('one.example', host)
      await send(host, 'one.example')
    }
    await send('one.example', GOOD)
    const all = {
      'one.example in encrypted': 1,
      'one.example in plain': 1,
      'one.example in verified': 1,
      'one.example out encrypted': 1,
      'one.example out plain': 1,
      'one.example out verified': 1,
      'two.example out verified': 1,
    }
    assert.deepEqual(await connections(), all)
    // More stanzas use the same connections.
    for (const host of [GOOD, SELF, PLAIN]) await send('one.example', host)
    assert.deepEqual(await connections(), all)

    await far.prosody.stop()
    await until(async () => Object.keys(await connections()).length === 0, {
      what: 'the exporter reports 0 connections',
    })
    assert.deepEqual(complaints(exporter), [])
  })
}

// Tests the expiry times and fingerprints of certificates that mod_adhoc_statistics exports. The truth is the
// certificate that `openssl s_client` gets from each port.

import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { copyFile, mkdir, readFile, rename, symlink, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { readExposition, readServer, type Family } from '../support/compare.js'
import { withExporterFor, type RunningExporter } from '../support/exporter.js'
import { fetchCertificate, openssl } from '../support/openssl.js'
import {
  everyVersion,
  legacyVersion,
  withProsody,
  type LuaOptions,
  type Version,
} from '../support/prosody.js'
import { evalLua, reloadModule, untilUp } from '../support/real.js'
import { freePorts, temporaryDirectory, until } from '../support/setup/process.js'
import { openStream } from '../support/xmpp-client.js'

const HOST = 'one.example'
const STATS = 'stats.one.example'

/** For each service, the expiry time of its certificate, and the SHA-256 of its DER form. */
type Certificates = {
  readonly expiry: Readonly<Record<string, number>>
  readonly fingerprints: Readonly<Record<string, string>>
}

const NONE: Certificates = { expiry: {}, fingerprints: {} }

/** Returns the SHA-256 of a certificate as `xmpp_certificate_info` has it. */
const getFingerprint = ({ fingerprint256 }: X509Certificate) =>
  fingerprint256.replaceAll(':', '').toLowerCase()

/** Creates a certificate of the host that expires after a number of days, and its key. */
async function createCertificate(file: string, days: number): Promise<void> {
  await openssl([
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
    ...['-subj', `/CN=${HOST}`, '-addext', `subjectAltName=DNS:${HOST}`, '-days', `${days}`],
    ...['-keyout', `${file}.key`, '-out', `${file}.crt`],
  ])
}

async function startProsody(
  t: TestContext,
  version: Version,
  makeGlobals: (isLegacy: boolean, directory: string, httpsPorts: readonly number[]) => LuaOptions,
) {
  const isLegacy = version === legacyVersion
  const [direct = 0, s2s = 0, https = 0, otherHttps = 0] = await freePorts(4)
  const httpsPorts = [https, otherHttps]
  const tlsPorts: Readonly<Record<string, number>> = isLegacy
    ? { legacy_ssl: direct, https }
    : { c2s_direct_tls: direct, s2s_direct_tls: s2s, https }
  const directory = await temporaryDirectory('prosody-exporter-certificates')
  t.after(() => directory.remove())
  const certs = join(directory.path, 'certs')
  await mkdir(certs)
  await createCertificate(join(certs, HOST), 10)
  await createCertificate(join(directory.path, 'other'), 20)
  const prosody = await withProsody(t, {
    version,
    hosts: [HOST],
    statsDomains: [STATS],
    modules: ['tls', 'test_eval', ...(isLegacy ? ['test_legacy'] : [])],
    tlsPorts: { ...tlsPorts, https: httpsPorts },
    globals: {
      certificates: JSON.stringify(certs),
      ...(isLegacy && { statistics_interval: '3600' }),
      ...makeGlobals(isLegacy, directory.path, httpsPorts),
    },
  })
  const startExporter = () =>
    withExporterFor(t, prosody, { env: { PROSODY_EXPORTER_COLLECTION_MIN_AGE: '0s' } })
  // Prosody 0.11 has no mod_http_openmetrics, so the test reads the families through an exporter.
  const ownExporter = isLegacy ? await startExporter() : undefined
  const readFamilies = async (exporter = ownExporter): Promise<Family[]> => {
    if (!exporter) return await readServer(prosody)
    if (isLegacy) await evalLua(prosody, 'prosody.test_legacy.collect()')
    return readExposition(await untilUp(exporter), 'text')
  }
  const readSamples = async (names: readonly string[], exporter?: RunningExporter) => {
    const families = await readFamilies(exporter)
    return names.map((name) => {
      const samples = families.find((family) => family.name === name)?.samples ?? []
      return samples.filter(({ labels }) => labels.host === HOST)
    })
  }
  return {
    prosody,
    /** The file of the host's certificate without its suffix, and another pair of files. */
    files: { host: join(certs, HOST), other: join(directory.path, 'other') },
    directory: directory.path,
    isLegacy,
    httpsPorts,
    exporter: ownExporter,
    startExporter,

    /** Returns the exported expiry times and fingerprints of the host by service, and whether a reload is needed. */
    read: async (
      exporter?: RunningExporter,
    ): Promise<Certificates & { readonly isReloadNeeded: boolean }> => {
      const names = [
        'xmpp_certificate_expiry_timestamp_seconds',
        'xmpp_certificate_info',
        'xmpp_certificate_reload_needed',
      ]
      const [expiry = [], info = [], [reload] = []] = await readSamples(names, exporter)
      assert.ok(info.every(({ value }) => value === 1))
      const services = info.map(({ labels }) => labels.service)
      assert.equal(new Set(services).size, services.length, 'one series for each service')
      return {
        expiry: Object.fromEntries(
          expiry.map(({ labels, value }) => [labels.service ?? 'missing', value]),
        ),
        fingerprints: Object.fromEntries(
          info.map(({ labels }) => [labels.service ?? 'missing', labels.sha256 ?? 'missing']),
        ),
        isReloadNeeded: reload?.value === 1,
      }
    },

    /** Returns the exported fingerprints of a service. */
    readFingerprints: async (service: string): Promise<string[]> => {
      const [info = []] = await readSamples(['xmpp_certificate_info'])
      return info.flatMap(({ labels }) =>
        labels.service === service ? [labels.sha256 ?? 'missing'] : [],
      )
    },

    /** Returns the certificates that openssl gets from the ports. */
    fetch: async (services: readonly string[]): Promise<Certificates> => {
      const expiry: Record<string, number> = {}
      const fingerprints: Record<string, string> = {}
      for (const service of services) {
        const port =
          tlsPorts[service] ?? (service === 'c2s' ? prosody.ports.c2s : prosody.ports.s2s)
        const protocol = service === 'c2s' ? 'xmpp' : service === 's2s' ? 'xmpp-server' : undefined
        const certificate = await fetchCertificate(port, HOST, protocol)
        expiry[service] = Date.parse(certificate.validTo) / 1000
        fingerprints[service] = getFingerprint(certificate)
      }
      return { expiry, fingerprints }
    },

    services: ['c2s', 's2s', ...Object.keys(tlsPorts)],
    reload: () => evalLua(prosody, 'prosody.reload_config()'),
    reloadModule: () => reloadModule(prosody, STATS),
  }
}

type Server = Awaited<ReturnType<typeof startProsody>>

/** Asserts that each service has a series with the expiry time, and one with the fingerprint, that openssl finds. */
async function assertServed({ read, fetch, services }: Server, isReloadNeeded: boolean) {
  const served = await fetch(services)
  const isSame = new Set(Object.values(served.fingerprints)).size === 1
  const expected = isSame
    ? { expiry: { '': served.expiry.c2s }, fingerprints: { '': served.fingerprints.c2s } }
    : served
  assert.deepEqual(await read(), { ...expected, isReloadNeeded })
  return served
}

const untilReloadNeeded = (server: Server) =>
  until(async () => (await server.read()).isReloadNeeded, {
    what: 'the module has noticed the renewed certificate',
  })

/** Makes all services of Prosody 0.11 use the certificate of the host. Newer versions do that themselves. */
const oneCertificate = (isLegacy: boolean, directory: string): LuaOptions => {
  const file = JSON.stringify(join(directory, 'certs', `${HOST}.crt`))
  return isLegacy ? { https_certificate: file, legacy_ssl_certificate: file } : {}
}

for (const version of everyVersion) {
  test(`the expiry time and the fingerprint are those of the loaded certificate, and a renewed file needs a reload (Prosody ${version})`, async (t) => {
    const server = await startProsody(t, version, oneCertificate)
    const { files, prosody, isLegacy } = server
    const exporter = server.exporter ?? (await server.startExporter())
    const first = await assertServed(server, false)
    assert.equal(new Set(Object.values(first.fingerprints)).size, 1)

    // A file with a new time and the old certificate needs no reload.
    await utimes(`${files.host}.crt`, new Date(), new Date())
    await assertServed(server, false)

    await createCertificate(files.host, 90)
    await untilReloadNeeded(server)
    assert.deepEqual(await assertServed(server, true), first)
    assert.deepEqual(await server.read(exporter), await server.read())
    await server.reloadModule()
    assert.deepEqual(await assertServed(server, true), first)

    // Before Prosody 0.12, a reload does not change the certificates of ports with TLS from the start.
    await server.reload()
    const second = await assertServed(server, isLegacy)
    assert.deepEqual(await server.read(exporter), await server.read())
    assert.ok(second.expiry.c2s! > first.expiry.c2s!)
    assert.equal(second.fingerprints.https === second.fingerprints.c2s, !isLegacy)
    const renewed = new X509Certificate(await readFile(`${files.host}.crt`))
    assert.equal(second.fingerprints.c2s, getFingerprint(renewed))

    await prosody.restart()
    const third = await assertServed(server, false)
    assert.deepEqual(
      Object.values(third.fingerprints),
      server.services.map(() => second.fingerprints.c2s),
    )
  })

  test(`services with different certificates have a series each, also behind symbolic links (Prosody ${version})`, async (t) => {
    const server = await startProsody(t, version, (isLegacy, directory) => ({
      ...oneCertificate(isLegacy, directory),
      https_ssl: `{ certificate = "${directory}/live.crt"; key = "${directory}/live.key" }`,
    }))
    const { files, directory, prosody } = server
    const link = async (target: string) => {
      for (const suffix of ['crt', 'key']) {
        await symlink(`${target}.${suffix}`, join(directory, 'new'))
        await rename(join(directory, 'new'), join(directory, `live.${suffix}`))
      }
    }
    await link(files.other)
    await prosody.restart()
    const first = await assertServed(server, false)
    assert.ok(first.expiry.https! > first.expiry.c2s!)

    // Certbot renews a certificate by changing symbolic links.
    const renewed = join(directory, 'renewed')
    await createCertificate(renewed, 90)
    await link(renewed)
    await untilReloadNeeded(server)
    assert.deepEqual(await assertServed(server, true), first)
    // If the link leads to the loaded certificate again, no reload is needed.
    await link(files.other)
    await until(async () => !(await server.read()).isReloadNeeded, {
      what: 'the module has noticed the old certificate',
    })
    await link(renewed)
    await prosody.restart()
    const second = await assertServed(server, false)
    assert.ok(second.expiry.https! > first.expiry.https!)
  })

  test(`a service whose ports have different certificates has a fingerprint for each (Prosody ${version})`, async (t) => {
    const server = await startProsody(t, version, (_, directory, [port, otherPort]) => ({
      // Since Prosody 0.12, a host with a certificate of its own sends it from all ports.
      certificates: JSON.stringify(join(directory, 'none')),
      https_certificate: `{ [${port}] = "${directory}/certs/${HOST}.crt", [${otherPort}] = "${directory}/other.crt" }`,
    }))
    const sent = await Promise.all(server.httpsPorts.map((port) => fetchCertificate(port, HOST)))
    assert.equal(new Set(sent.map(getFingerprint)).size, 2)
    assert.deepEqual(
      (await server.readFingerprints('https')).sort(),
      sent.map(getFingerprint).sort(),
    )
  })

  test(`a certificate that Prosody ${version} could not load has no series`, async (t) => {
    const server = await startProsody(t, version, oneCertificate)
    const { files, prosody, services } = server
    const before = await assertServed(server, false)
    await copyFile(`${files.other}.crt`, `${files.host}.crt`)
    await untilReloadNeeded(server)
    // The key does not match the certificate. So Prosody can't load them, and offers no STARTTLS. Ports with TLS from the
    // start keep the old certificate.
    await server.reload()
    const direct = services.filter((service) => !['c2s', 's2s'].includes(service))
    const served = await server.fetch(direct)
    assert.deepEqual(
      served.fingerprints,
      Object.fromEntries(direct.map((service) => [service, before.fingerprints.c2s])),
    )
    assert.deepEqual(await server.read(), { ...served, isReloadNeeded: true })
    const client = await openStream(prosody.ports.c2s, HOST, 'jabber:client')
    t.after(() => client.close())
    const features = await client.next(({ name }) => name === 'stream:features')
    assert.equal(features.getChild('starttls'), undefined)

    await copyFile(`${files.other}.key`, `${files.host}.key`)
    assert.deepEqual(await server.read(), { ...served, isReloadNeeded: true })
    await prosody.restart()
    await assertServed(server, false)
  })

  test(`a reload reads only certificates that changed (Prosody ${version})`, async (t) => {
    const server = await startProsody(t, version, oneCertificate)
    const { files, prosody } = server
    // The TLS contexts that Prosody itself creates have options.
    await evalLua(
      prosody,
      `local ssl = require "ssl"
      local new_context = ssl.newcontext
      function ssl.newcontext(config)
        if not config.options then loaded = loaded + 1 end
        return new_context(config)
      end`,
    )
    const countLoaded = (lua: string) => evalLua(prosody, `loaded = 0 ${lua} return loaded`)
    const reload = 'prosody.reload_config()'
    await until(async () => (await countLoaded(reload)) === '0', {
      what: 'the files of the certificate are older than two seconds',
    })
    await createCertificate(files.host, 90)
    assert.equal(await countLoaded(reload), '1')
    await assertServed(server, server.isLegacy)
    await server.reloadModule()
    assert.equal(await countLoaded('prosody.events.fire_event("stats-update")'), '0')
  })

  test(`a host that is removed has no series until it is added again (Prosody ${version})`, async (t) => {
    const server = await startProsody(t, version, oneCertificate)
    const { prosody } = server
    const before = await server.read()
    assert.notDeepEqual(before.fingerprints, {})
    await evalLua(prosody, `assert(require "core.hostmanager".deactivate("${HOST}"))`)
    assert.deepEqual(await server.read(), { ...NONE, isReloadNeeded: false })
    await evalLua(
      prosody,
      `local config = require "core.configmanager".getconfig()
      assert(require "core.hostmanager".activate("${HOST}", config["${HOST}"]))`,
    )
    assert.deepEqual(await server.read(), before)
  })

  test(`Prosody ${version} logs once that it can't read a renewed certificate, and what to do`, async (t) => {
    const server = await startProsody(t, version, oneCertificate)
    const { files, prosody } = server
    // The test may run as root, for whom every file is readable.
    await evalLua(
      prosody,
      `local open = io.open
      function io.open(path, ...)
        if path == "${files.host}.crt" then return nil, path..": Permission denied"; end
        return open(path, ...)
      end`,
    )
    const first = await server.read()
    await createCertificate(files.host, 90)
    await untilReloadNeeded(server)
    assert.deepEqual(await server.read(), { ...first, isReloadNeeded: true })
    await server.reloadModule()
    await untilReloadNeeded(server)
    const lines = prosody.log().match(/.*can't read.*/g) ?? []
    assert.match(
      lines[0] ?? '',
      new RegExp(
        `warn.*new certificate file of \\S+: ${files.host}.crt: Permission denied. Allow the user of Prosody to read it, and run: prosodyctl reload`,
      ),
    )
    assert.equal(lines.length, 1)
  })
}

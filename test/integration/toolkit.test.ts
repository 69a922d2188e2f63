import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect } from 'node:tls'
import { hashSync } from 'bcryptjs'
import { findPrometheus } from '../support/setup/programs.js'
import { freePort, until } from '../support/setup/process.js'
import { ConfigError } from '../../src/errors.js'
import { readWebConfig } from '../../src/access/read-web-config.js'
import { testDirectory } from '../support/config.js'
import { openssl } from '../support/openssl.js'
import { runExporter } from '../support/exporter.js'
import { inline, STRICTER, TLS, VERDICTS } from '../support/toolkit-verdicts.js'
import { createAuthority, curl, given, serve } from '../support/web.js'

const { path: directory, file } = testDirectory()
const ca = await createAuthority(directory, 'ca')
await ca.issue('server', 'DNS:localhost,IP:127.0.0.1')
await ca.issue('other', 'DNS:localhost')
await ca.issue('client', 'DNS:test3')
await (await createAuthority(directory, 'stranger')).issue('mallory', 'DNS:test3')
await openssl(['req', '-x509', '-newkey', 'rsa:2048', '-noenc', '-keyout', 'rsa.key', '-out', 'rsa.crt', '-subj', '/CN=rsa', '-days', '2'], directory) // prettier-ignore
const textOf = (name: string) => readFileSync(join(directory, name), 'utf8')

const ALL = { ...VERDICTS, ...inline(textOf('server.crt'), textOf('server.key')) }
const FILES = [
  ...Object.entries(ALL).map(([name, { lines }]) => ({ name, lines })),
  ...Object.entries(STRICTER).map(([name, lines]) => ({ name, lines })),
].map(({ name, lines }, i) => ({
  name,
  path: file(`verdict-${i}.yml`, `${lines.join('\n')}\n`, 0o644),
}))

/** Returns the error of the exporter for a web configuration file, or `undefined` if the exporter accepts the file. */
function problemOf(path: string): string | undefined {
  try {
    readWebConfig(given(path))
    return undefined
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
}

/**
 * Returns the errors of Prometheus's exporter-toolkit for each web configuration file, by the name of the file. The
 * toolkit is part of Debian's promtool.
 */
async function toolkitProblems(): Promise<Map<string, string | undefined>> {
  const { promtool } = await findPrometheus('3')
  const paths = FILES.map(({ path }) => path)
  const output = await new Promise<string>((resolve) => {
    execFile(promtool, ['check', 'web-config', ...paths], (_error, out, err) => {
      resolve(out + err)
    })
  })
  return new Map(
    FILES.map(({ name, path }) => {
      const [, verdict] = output.split(`${path} `)
      assert.match(
        verdict ?? '',
        /^(?:SUCCESS|FAILED)/,
        `promtool has no result for ${name}: ${output.slice(0, 500)}`,
      )
      return [name, verdict!.startsWith('FAILED') ? verdict!.split('\n/')[0] : undefined]
    }),
  )
}

test('the exporter and the exporter-toolkit accept and reject the same web configuration files', async () => {
  const toolkit = await toolkitProblems()
  const verdicts = FILES.map(({ name, path }) => {
    const expected = Object.hasOwn(ALL, name) ? ALL[name]!.isGood : undefined
    return { name, exporter: problemOf(path), toolkit: toolkit.get(name), expected }
  })
  const known = verdicts.filter(({ expected }) => expected !== undefined)
  assert.deepEqual(
    known.filter(({ toolkit, expected }) => (toolkit === undefined) !== expected),
    [],
    'the toolkit and the table of verdicts differ',
  )
  assert.deepEqual(
    known.filter(({ exporter, expected }) => (exporter === undefined) !== expected),
    [],
    'the exporter and the table of verdicts differ',
  )
  const stricter = verdicts.filter(({ expected }) => expected === undefined)
  assert.deepEqual(
    stricter.filter(({ exporter, toolkit }) => toolkit !== undefined || exporter === undefined),
    [],
    'the exporter must reject these files, and the toolkit accept them, as in docs/configuration.md',
  )
})

const webFile = (name: string, ...lines: readonly string[]) =>
  file(name, `${lines.join('\n')}\n`, 0o644)
const as = (name: string) => ['--cert', `${name}.crt`, '--key', `${name}.key`]
const authType = (type: string) => `  client_auth_type: ${type}`
const suites = (...names: string[]) =>
  `  cipher_suites: [${names.map((name) => `TLS_ECDHE_ECDSA_WITH_${name}`).join(', ')}]`
const BOTH = suites('AES_128_GCM_SHA256', 'AES_256_GCM_SHA384')
const ONLY_12 = ['  min_version: TLS12', '  max_version: TLS12']
const VERIFIED = [authType('RequireAndVerifyClientCert'), '  client_ca_file: ca.crt']
const USERS = [
  'basic_auth_users:',
  ...['alice', 'bob', 'carol', 'dave'].map(
    (name, i) => `  ${name}: ${hashSync(`${name}123`, 4 + i).replace('$2b$', '$2y$')}`,
  ),
]

/** A web configuration file, a request with curl, and the expected status. The status 0 means no response. */
type Exchange = [lines: readonly string[], args: readonly string[], status: number]

const REQUESTS: Readonly<Record<string, Exchange>> = {
  'TLS, and a client without TLS': [TLS, ['--http0.9'], 0],
  'TLS, and a client with TLS': [[...TLS, authType('VerifyClientCertIfGiven')], [], 200],
  'TLS, and a client with TLS 1.1': [TLS, ['--tls-max', '1.1', '--ciphers', 'ALL:@SECLEVEL=0'], 0],
  'TLS 1.1 when it is allowed': [
    [...TLS, '  min_version: TLS11', suites('AES_128_GCM_SHA256', 'AES_128_CBC_SHA')],
    ['--tls-max', '1.1', '--ciphers', 'ALL:@SECLEVEL=0'],
    200,
  ],
  'a suite that both have': [
    [...TLS, BOTH, ...ONLY_12],
    ['--ciphers', 'ECDHE-ECDSA-AES128-GCM-SHA256'],
    200,
  ],
  'no suite that both have': [
    [...TLS, BOTH, ...ONLY_12],
    ['--ciphers', 'ECDHE-ECDSA-AES256-SHA'],
    0,
  ],
  'all curves': [
    [...TLS, '  curve_preferences: [CurveP256, CurveP384, CurveP521, X25519]'],
    [],
    200,
  ],
  'a curve that both have': [
    [...TLS, '  min_version: TLS13', '  curve_preferences: [CurveP521]'],
    ['--curves', 'P-521'],
    200,
  ],
  'no curve that both have': [
    [...TLS, '  min_version: TLS13', '  curve_preferences: [CurveP521]'],
    ['--curves', 'P-384'],
    0,
  ],
  'any certificate, and a client with one': [
    [...TLS, authType('RequireAnyClientCert')],
    as('mallory'),
    200,
  ],
  'any certificate, and a client without one': [[...TLS, authType('RequireAnyClientCert')], [], 0],
  'a certificate of the CA': [[...TLS, ...VERIFIED], as('client'), 200],
  'a certificate of another CA': [[...TLS, ...VERIFIED], as('mallory'), 0],
  'a certificate with an allowed name': [
    [...TLS, ...VERIFIED, '  client_allowed_sans: [one, test3, two]'],
    as('client'),
    200,
  ],
  'a certificate with another name': [
    [...TLS, ...VERIFIED, '  client_allowed_sans: [bad]'],
    as('client'),
    0,
  ],
  'no CA, and no certificate': [[...TLS, authType('VerifyClientCertIfGiven')], [], 200],
  'no CA, and a certificate that no public CA signed': [
    [...TLS, authType('VerifyClientCertIfGiven')],
    as('client'),
    0,
  ],
  'no CA, but a required certificate': [
    [...TLS, authType('RequireAndVerifyClientCert')],
    as('client'),
    0,
  ],
  'both cert and cert_file, of which cert_file is used': [
    [...TLS, '  cert: fish', '  key: fish'],
    [],
    200,
  ],
  'only client_allowed_sans, so no TLS': [
    ['tls_server_config: {client_allowed_sans: [a.example]}'],
    [],
    200,
  ],
  'no login': [USERS, [], 401],
  'a correct login': [USERS, ['-u', 'dave:dave123'], 200],
  'no login over TLS': [[...TLS, ...USERS], [], 401],
  'a correct login over TLS': [[...TLS, ...USERS], ['-u', 'dave:dave123'], 200],
  'another correct login over TLS': [[...TLS, ...USERS], ['-u', 'carol:carol123'], 200],
  'a wrong password over TLS': [[...TLS, ...USERS], ['-u', 'dave:bad'], 401],
  'a wrong name over TLS': [[...TLS, ...USERS], ['-u', 'nobody:nobody'], 401],
  'a name with a colon': [
    ['basic_auth_users:', `  "a:b": ${hashSync('c', 4)}`],
    ['-u', 'a:b:c'],
    401,
  ],
  'no rate limit': [['rate_limit: {interval: 0, burst: 0}'], [], 200],
  'a rate limit that allows nothing': [['rate_limit: {interval: "1s", burst: 0}'], [], 429],
  'a negative interval, which means no rate limit': [
    ['rate_limit: {interval: -1s, burst: 0}'],
    [],
    200,
  ],
  ...Object.fromEntries(
    ['2', '2a', '2b', '2x', '2y'].map((version): [string, Exchange] => [
      `a hash of version ${version}`,
      [
        ['basic_auth_users:', `  bob: ${hashSync('b', 4).replace('$2b$', `$${version}$`)}`],
        ['-u', 'bob:b'],
        200,
      ],
    ]),
  ),
  'a hash in a YAML block': [
    ['basic_auth_users:', '  bob: |', `    ${hashSync('b', 4)}`],
    ['-u', 'bob:b'],
    200,
  ],
}

for (const [name, [lines, args, status]] of Object.entries(REQUESTS)) {
  test(`a request in the case "${name}" gets ${status === 0 ? 'no response' : `the status ${status}`}`, async (t) => {
    const { url } = await serve(t, webFile('served.yml', ...lines))
    const to = args.includes('--http0.9') ? url.replace('https:', 'http:') : url
    const answer = await curl(directory, '--cacert', 'ca.crt', ...args, to)
    assert.equal(answer.status, status)
    if (status === 200) assert.equal(answer.body, 'served')
  })
}

test('prefer_server_cipher_suites decides whether the server or the client chooses the cipher suite', async (t) => {
  const order = ['AES_256_GCM_SHA384', 'AES_128_GCM_SHA256']
  for (const [prefers, chosen] of [
    ['true', 'ECDHE-ECDSA-AES256-GCM-SHA384'],
    ['false', 'ECDHE-ECDSA-AES128-GCM-SHA256'],
  ] as const) {
    const preference = `  prefer_server_cipher_suites: ${prefers}`
    const { url } = await serve(
      t,
      webFile('order.yml', ...TLS, ...ONLY_12, suites(...order), preference),
    )
    const { hostname: host, port } = new URL(url)
    const ciphers = 'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384'
    const socket = connect({ host, port: Number(port), ciphers, rejectUnauthorized: false })
    await once(socket, 'secureConnect')
    assert.equal(socket.getCipher().name, chosen)
    socket.destroy()
  }
})

test('the response headers have the values in the web configuration file', async (t) => {
  const { lines } = VERDICTS['every header']!
  const block = ['    Strict-Transport-Security: >', '      max-age=1;', '      preload']
  const all = lines.map((line) => (line.includes('Strict') ? block.join('\n') : line))
  for (const section of [[], TLS]) {
    const { url } = await serve(t, webFile('headers.yml', ...section, ...all))
    const { headers } = await curl(directory, '--cacert', 'ca.crt', url)
    for (const line of [
      'strict-transport-security: max-age=1; preload',
      'x-content-type-options: nosniff',
      'x-frame-options: sameorigin',
      'x-xss-protection: 1',
      "content-security-policy: default-src 'self'",
    ]) {
      assert.ok(headers.includes(`${line}\r\n`), `the headers must include ${line}: ${headers}`)
    }
  }
})

test('of 300 simultaneous requests, those with the correct password get 200, and those with a wrong password get 401', async (t) => {
  const { url } = await serve(t, webFile('users.yml', ...USERS))
  const login = async (user: string, password: string) => {
    const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
    return (await fetch(url, { headers: { authorization } })).status
  }
  assert.equal(await login('alice', 'alice123'), 200)
  assert.equal(await login('alice', 'alice1234'), 401)
  const all = Array.from({ length: 300 }, (_, i) =>
    login('alice', i % 2 === 0 ? 'alice123' : 'alice1234'),
  )
  const statuses = await Promise.all(all)
  assert.ok(statuses.every((status, i) => status === (i % 2 === 0 ? 200 : 401)))

  // CVE-2022-46146: the cached result of one user name and password must not apply to another user name and password.
  const [, hash = ''] = /alice: (\S+)/.exec(USERS.join('\n')) ?? []
  for (const [user, password] of [
    ['fakeuser', 'fakepassword'],
    ['fakeuser', 'fakepassword'],
    [`alice${hash}`, 'fakepassword'],
    ['alice', `${hash}fakepassword`],
    ['ali', 'cealice123'],
  ] as const) {
    assert.equal(await login(user, password), 401)
  }
})

test('after a web configuration file that allows no client, a changed file that allows clients applies', async (t) => {
  let now = 0
  const write = (type: string) => {
    now += 1000
    return webFile('blocking.yml', ...TLS, authType(type))
  }
  const { url } = await serve(t, write('RequireAndVerifyClientCert'), () => now)
  assert.equal((await curl(directory, '--cacert', 'ca.crt', url)).status, 0)
  write('VerifyClientCertIfGiven')
  assert.equal((await curl(directory, '--cacert', 'ca.crt', url)).status, 200)
})

test('without client_ca, the exporter accepts client certificates of the authorities that Node.js trusts', async (t) => {
  const config = webFile('roots.yml', ...TLS, authType('RequireAndVerifyClientCert'))
  const port = await freePort()
  const exporter = runExporter({
    flags: [`--web.listen-address=127.0.0.1:${port}`, `--web.config.file=${config}`],
    env: {
      PROSODY_EXPORTER_XMPP_DOMAIN: 'stats.example',
      PROSODY_EXPORTER_XMPP_SECRET: 'secret',
      NODE_EXTRA_CA_CERTS: join(directory, 'ca.crt'),
    },
  })
  t.after(() => exporter.stop())
  const url = `https://127.0.0.1:${port}/-/healthy`
  const ask = async (...args: string[]) =>
    (await curl(directory, '--cacert', 'ca.crt', ...args, url)).status
  await until(async () => (await ask(...as('client'))) === 200, {
    what: 'the exporter accepts the client certificate',
  })
  assert.equal(await ask(...as('mallory')), 0)
  assert.equal(await ask(), 0)
})

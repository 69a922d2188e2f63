import assert from 'node:assert/strict'
import { once } from 'node:events'
import { X509Certificate } from 'node:crypto'
import { copyFileSync, readFileSync } from 'node:fs'
import { connect as connectHttp2 } from 'node:http2'
import { connect as connectPlain } from 'node:net'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'
import { connect } from 'node:tls'
import { hashSync } from 'bcryptjs'
import { Hono } from 'hono'
import type { Gate } from '../../src/http/gated-server.js'
import { listen } from '../../src/http/listener.js'
import type { Log } from '../../src/log/log.js'
import { createAccessGate } from '../../src/access/access-gate.js'
import { createPasswords } from '../../src/access/passwords.js'
import { cacheLastResult } from '../../src/access/tls-handshake.js'
import { createRateLimit } from '../../src/access/rate-limit.js'
import { readWebConfig } from '../../src/access/read-web-config.js'
import { readSans } from '../../src/access/sans.js'
import { createWebAccess } from '../../src/access/access.js'
import { problemOf, testDirectory } from '../support/config.js'
import { openssl } from '../support/openssl.js'
import { createAuthority, curl, given, serve } from '../support/web.js'

const { path: directory, file } = testDirectory()
const ca = await createAuthority(directory, 'ca')
await ca.issue('server', 'DNS:localhost,IP:127.0.0.1')
await ca.issue('other', 'DNS:localhost,IP:127.0.0.1')
await ca.issue('prometheus', 'DNS:prometheus.example,URI:spiffe://example/prometheus')
await (await createAuthority(directory, 'stranger')).issue('mallory', 'DNS:prometheus.example')

await openssl(
  ['req', '-x509', '-newkey', 'rsa:2048', '-noenc', '-keyout', 'rsa.key', '-out', 'rsa.crt'].concat(
    '-subj',
    '/CN=rsa',
    '-days',
    '2',
  ),
  directory,
)

const PASSWORD = 'correct horse'
const TOKEN = 'c29tZS10b2tlbg'
// The lowest possible cost of bcrypt.
const HASH = hashSync(PASSWORD, 4)
file('token', `${TOKEN}\n`)

const webFile = (name: string, ...lines: string[]) => file(name, `${lines.join('\n')}\n`, 0o644)
const TLS = ['tls_server_config:', '  cert_file: server.crt', '  key_file: server.key']

const silent: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

const BAD: Readonly<Record<string, [lines: string[], expected: string]>> = {
  'an unknown key': [
    ['tls_config: {}'],
    '1:1: tls_config: expected one of tls_server_config, http_server_config, basic_auth_users, rate_limit, bearer_token_files, allowed_networks, got an unknown key',
  ],
  'an unknown key in a mapping': [
    ['rate_limit:', '  bursts: 1'],
    '2:3: rate_limit.bursts: expected one of interval, burst, got an unknown key',
  ],
  'a list instead of a mapping': [
    ['tls_server_config: []'],
    '1:20: tls_server_config: expected a mapping, got a list',
  ],
  'broken YAML': [
    ['basic_auth_users: {'],
    '2:1: YAML: expected a closing } or ] and indented lines before it, got none',
  ],
  'no private key': [
    ['tls_server_config:', '  cert_file: server.crt'],
    '2:3: tls_server_config.key_file: expected key or key_file, got neither',
  ],
  'no certificate': [
    ['tls_server_config:', '  key_file: server.key'],
    '2:3: tls_server_config.cert_file: expected cert or cert_file, got neither',
  ],
  'a private key of another type than the certificate': [
    ['tls_server_config:', '  cert_file: server.crt', '  key_file: rsa.key'],
    '3:13: tls_server_config.key_file: expected the private key of the certificate, got something else',
  ],
  'a missing file': [
    ['tls_server_config:', '  cert_file: nowhere.crt', '  key_file: server.key'],
    `2:14: tls_server_config.cert_file: "${join(directory, 'nowhere.crt')}" cannot be read: there is no such file`,
  ],
  'an invalid certificate': [
    ['tls_server_config:', '  cert_file: token', '  key_file: server.key'],
    '2:14: tls_server_config.cert_file: expected a certificate in PEM, got something else',
  ],
  'an invalid private key': [
    ['tls_server_config:', '  cert_file: server.crt', '  key: text'],
    '3:8: tls_server_config.key: expected a private key in PEM without a passphrase, got something else',
  ],
  'the private key of another certificate': [
    ['tls_server_config:', '  cert_file: server.crt', '  key_file: other.key'],
    '3:13: tls_server_config.key_file: expected the private key of the certificate, got something else',
  ],
  'an invalid CA': [
    [...TLS, '  client_ca: text', '  client_auth_type: RequestClientCert'],
    '4:14: tls_server_config.client_ca: expected certificates in PEM, got something else',
  ],
  'a CA without a client_auth_type': [
    [...TLS, '  client_ca_file: ca.crt'],
    '4:19: tls_server_config.client_ca_file: expected client_auth_type to be set together with client_ca, got none',
  ],
  'an unknown client_auth_type': [
    [...TLS, '  client_auth_type: Always'],
    '4:21: tls_server_config.client_auth_type: expected one of NoClientCert, RequestClientCert, RequireAnyClientCert, RequireClientCert, VerifyClientCertIfGiven, RequireAndVerifyClientCert, got another',
  ],
  'an unknown TLS version': [
    [...TLS, '  min_version: SSL30'],
    '4:16: tls_server_config.min_version: expected one of TLS10, TLS11, TLS12, TLS13, got another',
  ],
  'a min_version above max_version': [
    [...TLS, '  min_version: TLS13', '  max_version: TLS12'],
    '4:16: tls_server_config.min_version: expected at most max_version, got a later version',
  ],
  'an unknown curve': [
    [...TLS, '  curve_preferences: [X25519, secp224r1]'],
    '4:31: tls_server_config.curve_preferences[1]: expected one of CurveP256, CurveP384, CurveP521, X25519, got another',
  ],
  'a response header that the format does not allow': [
    ['http_server_config:', '  headers:', '    Server: x'],
    '3:5: http_server_config.headers.Server: expected one of Strict-Transport-Security, X-Content-Type-Options, X-Frame-Options, X-XSS-Protection, Content-Security-Policy, got another header',
  ],
  'an invalid value of a header': [
    ['http_server_config:', '  headers:', '    X-Frame-Options: allow'],
    '3:22: http_server_config.headers.X-Frame-Options: expected deny or sameorigin, got another value',
  ],
  'text instead of a boolean': [
    ['http_server_config:', '  http2: "no"'],
    '2:10: http_server_config.http2: expected true or false, got text',
  ],
  'a password in place of its hash': [
    ['basic_auth_users:', '  bob: fish-and-chips'],
    '2:8: basic_auth_users.bob: expected a bcrypt hash ($2y$10$…), got another text',
  ],
  'an invalid duration': [
    ['rate_limit:', '  interval: often', '  burst: 1'],
    '2:13: rate_limit.interval: expected a duration, for example 100ms, got another text',
  ],
  'a burst that is not a number': [
    ['rate_limit:', '  interval: 1s', '  burst: many'],
    '3:10: rate_limit.burst: expected a whole number, got another text',
  ],
  'an extension of the exporter whose list has no value': [
    ['allowed_networks:', '  # - 10.0.0.0/8'],
    '1:18: allowed_networks: expected a list, got nothing',
  ],
  'HTTP/2 without the cipher suite that it requires': [
    [...TLS, '  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]'],
    '4:18: tls_server_config.cipher_suites: expected TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 or TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 (or http2: false), got neither',
  ],
  'an alias without an anchor': [
    ['basic_auth_users:', '  bob: *hash'],
    '2:8: basic_auth_users.bob: expected an anchor (&name) above the alias (*name), got none',
  ],
  'a merge key that refers to itself': [
    ['rate_limit: &limit {<<: *limit}'],
    '1:25: rate_limit: expected a value, got an alias (*name) within its own value',
  ],
  'a merge key that refers to a text': [
    ['rate_limit: {<<: 1s}'],
    '1:18: rate_limit: expected a mapping, or a list of them, to merge (<<), got text',
  ],
  'a key given twice': [
    ['rate_limit: {burst: 1, burst: 2}'],
    '1:24: rate_limit.burst: expected once, got twice',
  ],
  'a user name that a merge key has too': [
    ['basic_auth_users:', `  bob: ${HASH}`, `  <<: {bob: ${HASH}}`],
    '3:8: basic_auth_users.bob: expected once, got twice',
  ],
  'a key that is a list': [
    ['? [rate_limit]', ': {}'],
    '1:3: the file: expected a name as the key, got a list or a mapping',
  ],
  'an unknown YAML tag': [
    ['rate_limit: {interval: !x 1s}'],
    '1:24: YAML: expected a value without a tag, got an unsupported tag (!…)',
  ],
  'a YAML tag of another type than the value': [
    ['rate_limit: {interval: !!binary aGVsbG8=}'],
    '1:33: rate_limit.interval: expected a value without a tag, got an unsupported tag (!…)',
  ],
  'a control character in a header': [
    ['http_server_config:', '  headers: {Content-Security-Policy: "\\a"}'],
    '2:38: http_server_config.headers.Content-Security-Policy: expected printable characters, got a control character',
  ],
  'a token file of several lines': [
    ['bearer_token_files: [server.key]'],
    '1:22: bearer_token_files[0]: expected a file with one token of at least 8 characters (A-Z a-z 0-9 . _ ~ + / -), got other content',
  ],
  'an invalid network': [
    ['allowed_networks: [10.0.0.0/33]'],
    '1:20: allowed_networks[0]: expected an IP address or a network, for example 10.0.0.0/8, got another text',
  ],
}

for (const [what, [lines, expected]] of Object.entries(BAD)) {
  test(`a web configuration file with ${what} causes an error of one line with the position`, () => {
    const path = webFile('bad.yml', ...lines)
    assert.equal(
      problemOf(() => readWebConfig(given(path))),
      `${path}:${expected}`,
    )
  })
}

/** Settings with which no client can connect, because the cipher suites, TLS versions and key do not fit together. */
const UNREACHABLE: Readonly<Record<string, readonly string[]>> = {
  'an old TLS version without cipher suites for it': [
    ...TLS,
    '  min_version: TLS10',
    '  max_version: TLS11',
  ],
  'an old TLS version with cipher suites of a new version': [
    ...[...TLS, '  min_version: TLS11', '  max_version: TLS11'],
    '  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]',
  ],
  'cipher suites of TLS 1.3 without TLS 1.3': [
    ...[...TLS, '  max_version: TLS12', '  cipher_suites: [TLS_AES_128_GCM_SHA256]'],
    'http_server_config: {http2: false}',
  ],
  'cipher suites for a private key of another type': [
    ...[...TLS, '  max_version: TLS12'],
    '  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]',
  ],
  'cipher suites for a private key of another type, and client certificates': [
    ...[...TLS, '  max_version: TLS12', '  client_auth_type: RequireAnyClientCert'],
    '  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]',
  ],
}

for (const [what, lines] of Object.entries(UNREACHABLE)) {
  test(`the exporter rejects a web configuration file with ${what}, because no client could connect`, async (t) => {
    const problem =
      /:2:3: tls_server_config: expected settings with which a client can connect, got a failed test handshake \(no (shared cipher|ciphers available|protocols available)\)\. Change /
    const path = webFile('unreachable.yml', ...lines)
    assert.match(
      problemOf(() => readWebConfig(given(path))),
      problem,
    )

    let now = 0
    const auth = lines.filter((line) => line.includes('client_auth_type'))
    webFile('unreachable.yml', ...TLS, ...auth)
    const { url, web, lines: log } = await serve(t, path, () => now)
    webFile('unreachable.yml', ...lines)
    for (let i = 0; i < 2; i++) {
      now += 1000
      const as = ['--cert', 'prometheus.crt', '--key', 'prometheus.key']
      assert.equal((await curl(directory, '--cacert', 'ca.crt', ...as, url)).status, 200)
    }
    assert.equal(web.getReloadState().isSuccessful, false)
    const problems = log.filter((line) => line.includes('reload failed'))
    assert.equal(problems.length, 1)
    assert.match(problems[0]!, problem)
  })
}

test('for the same TLS settings, the exporter tests only once whether a client can connect', () => {
  const attempted: (string | undefined)[] = []
  const handshake = cacheLastResult(({ minVersion }) => {
    attempted.push(minVersion)
    return minVersion === 'TLSv1' ? 'no ciphers available' : undefined
  })
  const results = (['TLSv1', 'TLSv1', 'TLSv1.2', 'TLSv1.2'] as const).map((minVersion) =>
    handshake({ minVersion }),
  )
  assert.deepEqual(results, ['no ciphers available', 'no ciphers available', undefined, undefined])
  assert.deepEqual(attempted, ['TLSv1', 'TLSv1.2'])
})

test('the exporter rejects deeply nested merge keys in a web configuration file', () => {
  const all = (name: string) => Array.from({ length: 50 }, () => `*${name}`).join(', ')
  const path = webFile(
    'merges.yml',
    'rate_limit:',
    `  <<: [&a {burst: 1}, &b {<<: [${all('a')}]}, &c {<<: [${all('b')}]}, {<<: [${all('c')}]}]`,
  )
  assert.match(
    problemOf(() => readWebConfig(given(path))),
    /: rate_limit(\.burst)?: expected at most 100000 values, got more by merge keys/,
  )
})

test('in a web configuration file, a key without a value has the zero value of Go, and a merge key adds keys to the mapping', () => {
  const read = (...lines: string[]) => readWebConfig(given(webFile('values.yml', ...lines)))
  assert.equal(read('http_server_config:').http2, false)
  assert.equal(read('http_server_config:', '  http2:').http2, false)
  assert.equal(read('http_server_config: {}').http2, true)
  assert.equal(read('# nothing').http2, true)
  const { tls } = read(...TLS, '  prefer_server_cipher_suites:', '  min_version:')
  assert.equal(tls?.options.honorCipherOrder, false)
  assert.equal(tls.options.minVersion, 'TLSv1.2')
  const limit = (text: string) => read(`rate_limit: ${text}`).rateLimit
  assert.deepEqual(limit('{interval: 1.5s, burst: 010}'), { intervalMs: 1500, burst: 8 })
  assert.deepEqual(limit('{interval: 100us, burst: 1.9}'), { intervalMs: 0.1, burst: 1 })
  assert.deepEqual(limit('{interval: 1h1.5m, burst: 1_0}'), { intervalMs: 3_690_000, burst: 10 })
  assert.deepEqual(limit('{interval: 5000, burst: -1}'), { intervalMs: 0.005, burst: 0 })
  assert.deepEqual(limit('{interval: -1s}'), { intervalMs: 0, burst: 0 })
  assert.deepEqual(limit('{<<: {interval: 1s, burst: 5}, burst: 7}'), {
    intervalMs: 1000,
    burst: 7,
  })
  // In yaml.v2 of Go, a merge key overrides the keys before it in the mapping. The exporter does the same.
  assert.equal(limit('{burst: 7, <<: [{burst: 1}, {burst: 2}]}').burst, 1)
  const { users } = read(
    'basic_auth_users:',
    `  <<: {bob: &hash '${HASH}'}`,
    '  1: *hash',
    '  ~: *hash',
  )
  assert.deepEqual([...users.keys()], ['bob', '1', ''])
})

test('the exporter rejects a token file that every user of the machine can read', () => {
  file('open-token', TOKEN, 0o644)
  const path = webFile('open.yml', 'bearer_token_files: [open-token]')
  const message = problemOf(() => readWebConfig(given(path)))
  assert.match(message, /open\.yml:1:22: .*can be read by every user.*chmod 600/)
})

test('a web configuration file with only comments sets nothing, and an unknown key is an error', () => {
  const config = readWebConfig(given(webFile('empty.yml', '# nothing')))
  assert.equal(config.tls, undefined)
  assert.equal(config.users.size, 0)
  const bad = webFile('bad-flag.yml', 'x: 1')
  const message = problemOf(() => readWebConfig(given(bad)))
  assert.match(message, /bad-flag\.yml:1:1: x: expected one of/)
})

test('the exporter reads all settings of the web configuration format', () => {
  const path = webFile(
    'whole.yml',
    ...TLS,
    '  client_auth_type: RequireAndVerifyClientCert',
    '  client_ca_file: ca.crt',
    '  client_allowed_sans: [prometheus.example]',
    '  min_version: TLS12',
    '  max_version: TLS13',
    '  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]',
    '  prefer_server_cipher_suites: false',
    '  curve_preferences: [CurveP256, X25519]',
    'http_server_config:',
    '  http2: false',
    '  headers: {Strict-Transport-Security: max-age=1, Content-Security-Policy: "", X-XSS-Protection: 1; mode=block}',
    'basic_auth_users:',
    `  bob: ${HASH}`,
    'rate_limit: {interval: 1s, burst: 5}',
  )
  const { tls, http2, headers, users, rateLimit } = readWebConfig(given(path))
  assert.equal(tls?.auth, 'RequireAndVerifyClientCert')
  assert.equal(tls.options.ecdhCurve, 'P-256:X25519')
  assert.match(tls.options.ciphers ?? '', /ECDHE-ECDSA-AES128-GCM-SHA256/)
  assert.equal(http2, false)
  assert.deepEqual(headers, [
    ['Strict-Transport-Security', 'max-age=1'],
    ['X-XSS-Protection', '1; mode=block'],
  ])
  assert.deepEqual([...users], [['bob', HASH]])
  assert.deepEqual(rateLimit, { intervalMs: 1000, burst: 5 })
})

test('only a correct password or token gives access', async (t) => {
  const config = webFile(
    'auth.yml',
    'basic_auth_users:',
    `  bob: ${HASH}`,
    'bearer_token_files: [token]',
  )
  const { url, lines } = await serve(t, config)
  const status = async (...args: string[]) => (await curl(directory, ...args, url)).status
  const none = await curl(directory, url)
  assert.equal(none.status, 401)
  assert.match(none.headers, /www-authenticate: basic realm="prosody-exporter".*bearer/)
  assert.equal(await status('-u', `bob:${PASSWORD}`), 200)
  assert.equal(await status('-u', `bob:${PASSWORD}`, '-I'), 200)
  assert.equal(await status('-u', 'bob:wrong'), 401)
  assert.equal(await status('-u', `eve:${PASSWORD}`), 401)
  assert.equal(await status('-u', `__proto__:${PASSWORD}`), 401)
  assert.equal(await status('-H', `Authorization: Bearer ${TOKEN}`), 200)
  assert.equal(await status('-H', `Authorization: Bearer ${TOKEN}x`), 401)
  assert.equal(await status('-H', 'Authorization: Basic !!!'), 401)
  assert.equal(await status('-H', 'Authorization: Digest x'), 401)
  assert.equal(await status('-X', 'POST', '-d', 'body', '-u', 'bob:wrong'), 401)
  assert.ok(![PASSWORD, TOKEN, HASH].some((secret) => lines.join().includes(secret)))
})

const requestFrom = (remoteAddress: string, headers = {}) =>
  ({ headers, socket: { remoteAddress } }) as unknown as Parameters<Gate['checkRequest']>[0]

test('while many wrong passwords wait for a check, a client with a cached correct password gets access, and more clients get 429', async (t) => {
  const web = createWebAccess(
    given(webFile('flood.yml', 'basic_auth_users:', `  bob: ${HASH}`)),
    silent,
  )
  t.after(() => web.stop())
  const ask = (password: string) => {
    const authorization = `Basic ${Buffer.from(`bob:${password}`).toString('base64')}`
    return web.checkRequest(requestFrom('127.0.0.1', { authorization }))
  }
  assert.equal(await ask(PASSWORD), undefined)
  const flood = Array.from({ length: 200 }, async (_, i) => ask(`wrong ${i}`))
  assert.equal(ask(PASSWORD), undefined, 'a request with a cached password is accepted immediately')
  const refusals = await Promise.all(flood)
  const statuses = refusals.map((refusal) => refusal?.status)
  assert.deepEqual([...new Set(statuses)].sort(), [401, 429])
  const busy = refusals.find((refusal) => refusal?.status === 429)
  assert.deepEqual(busy?.headers, { 'Retry-After': '1' })
})

test('the rate limit allows as many requests as `burst`, and then one request per interval', async (t) => {
  let now = 0
  const passes = createRateLimit({ intervalMs: 100, burst: 2 }, () => now)
  assert.deepEqual([passes(), passes(), passes()], [true, true, false])
  now = 99
  assert.equal(passes(), false)
  now = 100
  assert.deepEqual([passes(), passes()], [true, false])
  now = 100_000
  assert.deepEqual([passes(), passes(), passes()], [true, true, false])

  const config = webFile('limit.yml', 'rate_limit: {interval: 1h, burst: 1}')
  const { url } = await serve(t, config)
  assert.equal((await curl(directory, url)).status, 200)
  const second = await curl(directory, url)
  assert.equal(second.status, 429)
  assert.match(second.headers, /retry-after: 1/)
})

test('only clients in the allowed networks get access', async (t) => {
  const other = await serve(t, webFile('net.yml', 'allowed_networks: [10.0.0.0/8, "fd00::/8"]'))
  assert.equal((await curl(directory, other.url)).status, 403)
  const allowed = await serve(t, webFile('net2.yml', 'allowed_networks: [127.0.0.0/8]'))
  assert.equal((await curl(directory, allowed.url)).status, 200)
})

test('the configured headers are in every response, even in refusals, and TLS connections can use HTTP/2 unless http2 is false', async (t) => {
  const lines = ['http_server_config:', '  headers: {X-Frame-Options: deny}']
  const users = ['basic_auth_users:', `  bob: ${HASH}`]
  const { url } = await serve(t, webFile('headers.yml', ...TLS, ...lines, ...users))
  assert.match(url, /^https:/)
  const refused = await curl(directory, '--cacert', 'ca.crt', url)
  assert.equal(refused.status, 401)
  assert.match(refused.headers, /x-frame-options: deny/)
  const login = ['--cacert', 'ca.crt', '-u', `bob:${PASSWORD}`]
  const both = await Promise.all([
    curl(directory, ...login, url),
    curl(directory, ...login, '--http1.1', url),
  ])
  assert.deepEqual(
    both.map(({ status, version, body }) => [status, version, body]),
    [
      [200, '2', 'served'],
      [200, '1.1', 'served'],
    ],
  )
  assert.match(both[0].headers, /x-frame-options: deny/)
  const plain = await serve(t, webFile('h1.yml', ...TLS, 'http_server_config:', '  http2: false'))
  assert.equal((await curl(directory, '--cacert', 'ca.crt', plain.url)).version, '1.1')
})

test('the exporter accepts only the TLS versions and cipher suites in the web configuration file', async (t) => {
  const { url } = await serve(
    t,
    webFile(
      'suites.yml',
      ...TLS,
      '  max_version: TLS12',
      '  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]',
      'http_server_config: {http2: false}',
    ),
  )
  const at = (...args: string[]) => curl(directory, '--cacert', 'ca.crt', ...args, url)
  assert.equal((await at()).status, 200)
  assert.equal((await at('--tlsv1.3')).code, 35)
  assert.equal((await at('--ciphers', 'ECDHE-ECDSA-AES256-GCM-SHA384')).status, 200)
  assert.equal((await at('--ciphers', 'ECDHE-ECDSA-AES128-GCM-SHA256')).code, 35)
})

/**
 * For each client_auth_type, whether three clients get access: without a certificate, with a certificate of the
 * configured authority, and with a certificate of another authority.
 */
const CLIENTS: Readonly<Record<string, readonly [boolean, boolean, boolean]>> = {
  NoClientCert: [true, true, true],
  RequestClientCert: [true, true, true],
  RequireAnyClientCert: [false, true, true],
  RequireClientCert: [false, true, true],
  VerifyClientCertIfGiven: [true, true, false],
  RequireAndVerifyClientCert: [false, true, false],
}

for (const [auth, expected] of Object.entries(CLIENTS)) {
  for (const http2 of [true, false]) {
    test(`client_auth_type ${auth} gives access only to the clients that it allows, over HTTP/${http2 ? 2 : 1.1}`, async (t) => {
      const { url } = await serve(
        t,
        webFile(
          `${auth}.yml`,
          ...TLS,
          `  client_auth_type: ${auth}`,
          ...(auth === 'NoClientCert' ? [] : ['  client_ca_file: ca.crt']),
          `http_server_config: {http2: ${http2}}`,
        ),
      )
      const certificate = (name: string) => ['--cert', `${name}.crt`, '--key', `${name}.key`]
      const tries = [[], certificate('prometheus'), certificate('mallory')].map(async (args) => {
        const { status } = await curl(directory, '--cacert', 'ca.crt', ...args, url)
        return status === 200
      })
      assert.deepEqual(await Promise.all(tries), expected)
    })
  }
}

test('the exporter reads the alternative names of a certificate from its DER encoding', async () => {
  const names = 'DNS:one.example,IP:::1,IP:192.0.2.1,email:a@b.example,URI:spiffe://c/d'
  await ca.issue('named', `${names},otherName:1.3.6.1.4.1.311.20.2.3;UTF8:DNS:two.example`)
  const der = (name: string) =>
    new X509Certificate(readFileSync(join(directory, `${name}.crt`))).raw
  assert.deepEqual(readSans(der('named')), [
    ...['one.example', '::1', '192.0.2.1', 'a@b.example', 'spiffe://c/d'],
  ])
  // The certificate of the authority has no alternative names.
  assert.deepEqual(readSans(der('ca')), [])
})

for (const [list, expected] of [
  ['[two.example]', false],
  ['[]', false],
  ['["0:0:0:0:0:0:0:1"]', true],
  ['["::1"]', true],
  ['[other.example, one.example]', true],
] as const) {
  test(`with client_allowed_sans: ${list}, the exporter ${expected ? 'accepts' : 'refuses'} a client certificate with several names`, async (t) => {
    const lines = [
      ...TLS,
      '  client_auth_type: RequireAndVerifyClientCert',
      '  client_ca_file: ca.crt',
      `  client_allowed_sans: ${list}`,
    ]
    const { url } = await serve(t, webFile('list.yml', ...lines))
    const as = ['--cacert', 'ca.crt', '--cert', 'named.crt', '--key', 'named.key']
    assert.equal((await curl(directory, ...as, url)).status, expected ? 200 : 0)
  })
}

for (const auth of ['RequestClientCert', 'VerifyClientCertIfGiven']) {
  test(`with client_auth_type ${auth} and client_allowed_sans, the exporter refuses a client without a certificate`, async (t) => {
    const lines = [
      ...TLS,
      `  client_auth_type: ${auth}`,
      '  client_ca_file: ca.crt',
      '  client_allowed_sans: [one.example]',
    ]
    const { url } = await serve(t, webFile('none.yml', ...lines))
    assert.equal((await curl(directory, '--cacert', 'ca.crt', url)).status, 0)
    const as = ['--cacert', 'ca.crt', '--cert', 'named.crt', '--key', 'named.key']
    assert.equal((await curl(directory, ...as, url)).status, 200)
  })
}

test('without cipher_suites, the exporter allows neither CBC cipher suites nor a key exchange with RSA', async (t) => {
  const { url } = await serve(t, webFile('defaults.yml', ...TLS))
  const rsa = webFile('rsa.yml', ...TLS.map((line) => line.replace('server.', 'rsa.')))
  const { url: rsaUrl } = await serve(t, rsa)
  const at = async (to: string, suite: string) =>
    (await curl(directory, '--cacert', 'ca.crt', '-k', '--tls-max', '1.2', '--ciphers', suite, to))
      .code
  assert.equal(await at(url, 'ECDHE-ECDSA-AES128-GCM-SHA256'), 0)
  assert.equal(await at(url, 'ECDHE-ECDSA-AES128-SHA'), 35)
  assert.equal(await at(url, 'ECDHE-ECDSA-AES128-SHA256'), 35)
  assert.equal(await at(rsaUrl, 'ECDHE-RSA-AES128-GCM-SHA256'), 0)
  assert.equal(await at(rsaUrl, 'AES128-GCM-SHA256'), 35)
})

test('the exporter refuses requests with headers of more than 8 KiB over HTTP/1.1 and HTTP/2', async (t) => {
  const { url } = await serve(t, webFile('headers-limit.yml', ...TLS))
  for (const version of ['--http1.1', '--http2']) {
    const ask = (size: number) =>
      curl(directory, '--cacert', 'ca.crt', version, '-H', `X-Long: ${'x'.repeat(size)}`, url)
    assert.equal((await ask(7000)).status, 200, version)
    assert.notEqual((await ask(9000)).status, 200, version)
  }
})

test('only clients with a verified certificate that has an allowed name get access', async (t) => {
  const lines = (san: string) => [
    ...TLS,
    '  client_auth_type: RequireAndVerifyClientCert',
    '  client_ca_file: ca.crt',
    `  client_allowed_sans: ["${san}"]`,
  ]
  const as = ['--cacert', 'ca.crt', '--cert', 'prometheus.crt', '--key', 'prometheus.key']
  const uri = await serve(t, webFile('san.yml', ...lines('spiffe://example/prometheus')))
  assert.equal((await curl(directory, ...as, uri.url)).status, 200)
  const other = await serve(t, webFile('san2.yml', ...lines('other.example')))
  assert.equal((await curl(directory, ...as, other.url)).status, 0)
})

test('the exporter applies a changed web configuration file or certificate, and ignores an invalid file', async (t) => {
  let now = 0
  const live = TLS.map((line) => line.replace('server.', 'live.'))
  const users = (password: string) => ['basic_auth_users:', `  bob: ${hashSync(password, 4)}`]
  const write = (...lines: string[]) => {
    now += 1000
    return webFile('reload.yml', ...lines)
  }
  const install = (name: string) => {
    now += 1000
    for (const end of ['crt', 'key']) {
      copyFileSync(join(directory, `${name}.${end}`), join(directory, `live.${end}`))
    }
  }
  install('server')
  const { url, web, lines } = await serve(t, write(...live, ...users('one')), () => now)
  const ask = async (password: string) =>
    (await curl(directory, '--cacert', 'ca.crt', '-u', `bob:${password}`, url)).status

  assert.equal(await ask('one'), 200)
  const before = await certificateOf(url)
  install('other')
  assert.notEqual(await certificateOf(url), before, 'the exporter uses the new certificate')

  write(...live, ...users('two'))
  assert.equal(await ask('two'), 200)
  assert.equal(await ask('one'), 401)

  write('tls_server_config: {cert_file: nowhere}')
  assert.equal(await ask('two'), 200)
  now += 1000
  assert.equal(await ask('two'), 200)
  assert.equal(web.getReloadState().isSuccessful, false)
  assert.equal(lines.filter((line) => line.includes('reload failed')).length, 1)

  write(...users('three'))
  assert.equal(await ask('two'), 200)
  assert.match(lines.at(-1)!, /TLS, HTTP\/2 or client certificates were turned on or off/)

  write(...live, ...users('three'))
  assert.equal(await ask('three'), 200)
  assert.equal(web.getReloadState().isSuccessful, true)
})

test('when the web configuration file becomes empty, the access control stays', async (t) => {
  let now = 0
  const guards = [['basic_auth_users:', `  a: ${HASH}`], ['allowed_networks: [10.0.0.0/8]']]
  guards.push(['bearer_token_files: [token]'])
  for (const guard of guards) {
    const web = createWebAccess(given(webFile('emptied.yml', ...guard)), silent, () => now)
    t.after(() => web.stop())
    const before = await web.checkRequest(requestFrom('127.0.0.1'))
    webFile('emptied.yml')
    now += 1000
    assert.deepEqual(await web.checkRequest(requestFrom('127.0.0.1')), before, guard[0])
    assert.notEqual(before, undefined)
    assert.equal(web.getReloadState().isSuccessful, false)
  }
})

test('a removed user does not get access through the hash of another user', async (t) => {
  const passwords = createPasswords()
  t.after(() => passwords.stop())
  const both = new Map(['alice', 'bob'].map((name) => [name, HASH]))
  assert.equal(await passwords.check('bob', PASSWORD, both, ''), 'right')
  assert.equal(await passwords.check('bob', PASSWORD, new Map([['alice', HASH]]), ''), 'wrong')
})

test('requests from networks that are not allowed do not count for the rate limit', async (t) => {
  const text = ['allowed_networks: [10.0.0.0/8]', 'rate_limit: {interval: 1h, burst: 1}']
  const web = createWebAccess(given(webFile('limited.yml', ...text)), silent)
  t.after(() => web.stop())
  for (let i = 0; i < 3; i++) {
    assert.equal((await web.checkRequest(requestFrom('192.0.2.1')))?.status, 403)
  }
  assert.equal(await web.checkRequest(requestFrom('10.0.0.1')), undefined)
})

/** Returns the SHA-256 fingerprint of the certificate of a server. */
async function certificateOf(url: string): Promise<string> {
  const { hostname: host, port } = new URL(url)
  const socket = connect({ host, port: Number(port), rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  const { fingerprint256 } = socket.getPeerCertificate()
  socket.destroy()
  return fingerprint256
}

test('a change of client_auth_type applies without a restart of the exporter', async (t) => {
  let now = 0
  const write = (auth: string) => {
    now += 1000
    return webFile('mode.yml', ...TLS, '  client_ca_file: ca.crt', `  client_auth_type: ${auth}`)
  }
  const { url } = await serve(t, write('RequestClientCert'), () => now)
  const ask = async (...args: string[]) =>
    (await curl(directory, '--cacert', 'ca.crt', ...args, url)).status
  assert.equal(await ask(), 200)
  write('RequireAndVerifyClientCert')
  assert.equal(await ask(), 0)
  assert.equal(await ask('--cert', 'mallory.crt', '--key', 'mallory.key'), 0)
  assert.equal(await ask('--cert', 'prometheus.crt', '--key', 'prometheus.key'), 200)
  write('RequestClientCert')
  assert.equal(await ask(), 200)
})

test('at the connection limit, the exporter closes an idle HTTP/2 session to accept a new one', async (t) => {
  const web = createWebAccess(given(webFile('idle.yml', ...TLS)), silent)
  t.after(() => web.stop())
  const pending = { arrived: () => {}, respond: () => {} }
  const app = new Hono()
    .get('/slow', async (c) => {
      await new Promise<void>((resolve) => {
        pending.respond = resolve
        pending.arrived()
      })
      return c.text('slow')
    })
    .get('*', (c) => c.text('served'))
  const listener = await listen(app, [{ host: '127.0.0.1', port: 0, optional: false }], silent, {
    gate: createAccessGate(web),
    maxConnections: 2,
  })
  t.after(() => listener.close(0))
  const open = () => connectHttp2(listener.urls[0]!, { rejectUnauthorized: false })
  const ask = async (session: ReturnType<typeof open>, path: string) => {
    const stream = session.request({ ':path': path })
    return String(await buffer(stream))
  }
  const first = open()
  const arrived = new Promise<void>((resolve) => (pending.arrived = resolve))
  const slow = ask(first, '/slow')
  await arrived
  const idle = open()
  assert.equal(await ask(idle, '/'), 'served')
  const closed = once(idle, 'close')
  const third = open()
  assert.equal(await ask(third, '/'), 'served')
  await closed
  pending.respond()
  assert.equal(await slow, 'slow')
  for (const session of [first, third]) session.destroy()
})

test('clients with unfinished TLS handshakes or unread responses do not prevent other clients from connecting', async (t) => {
  const web = createWebAccess(
    given(webFile('slow-clients.yml', ...TLS, 'basic_auth_users:', `  a: ${HASH}`)),
    silent,
  )
  t.after(() => web.stop())
  const app = new Hono().get('*', (c) => c.text('served'))
  const listener = await listen(app, [{ host: '127.0.0.1', port: 0, optional: false }], silent, {
    gate: createAccessGate(web),
    maxConnections: 2,
  })
  t.after(() => listener.close(0))
  const url = listener.urls[0]!
  const ask = async () =>
    (await curl(directory, '--cacert', 'ca.crt', '-u', `a:${PASSWORD}`, url)).status
  const { hostname: host, port } = new URL(url)
  const silentSockets = Array.from({ length: 2 }, () => connectPlain({ host, port: Number(port) }))
  for (const socket of silentSockets) socket.on('error', () => undefined)
  await Promise.all(silentSockets.map((socket) => once(socket, 'connect')))
  assert.equal(await ask(), 200)

  // These requests have no credentials, and their bodies never end.
  const sessions = Array.from({ length: 2 }, () =>
    connectHttp2(url, { rejectUnauthorized: false }).on('error', () => undefined),
  )
  for (const session of sessions) {
    const stream = session.request({ ':method': 'POST' }, { endStream: false })
    stream.on('error', () => undefined)
    const [headers] = (await once(stream, 'response')) as [Record<string, unknown>]
    assert.equal(headers[':status'], 401)
    stream.resume()
  }
  assert.equal(await ask(), 200)
  for (const each of [...sessions, ...silentSockets]) each.destroy()
})

test('a server with TLS stops immediately, even with open HTTP/1.1 and HTTP/2 connections', async (t) => {
  const web = createWebAccess(given(webFile('end.yml', ...TLS)), silent)
  t.after(() => web.stop())
  const app = new Hono().get('*', (c) => c.text('served'))
  const listener = await listen(app, [{ host: '127.0.0.1', port: 0, optional: false }], silent, {
    gate: createAccessGate(web),
  })
  const { hostname: host, port } = new URL(listener.urls[0]!)
  const idle = connect({ host, port: Number(port), rejectUnauthorized: false })
  const idleHttp2 = connectHttp2(listener.urls[0]!, { rejectUnauthorized: false })
  await Promise.all([once(idle, 'secureConnect'), once(idleHttp2, 'connect')])
  idle.resume()
  const ends = Promise.all([once(idle, 'close'), once(idleHttp2, 'close')])
  await listener.close(600_000)
  await ends
})

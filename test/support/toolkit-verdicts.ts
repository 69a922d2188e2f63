/**
 * Web configuration files, each with the verdict of Prometheus's exporter-toolkit: valid or invalid. They cover the
 * cases of the toolkit's own tests (`web/testdata`, `web/tls_config_test.go`) and more. No file is copied from the
 * toolkit.
 */

import { hashSync } from 'bcryptjs'

export type Verdict = { readonly isGood: boolean; readonly lines: readonly string[] }

export const HASH = hashSync('correct horse', 4)
export const TLS = ['tls_server_config:', '  cert_file: server.crt', '  key_file: server.key']
const pem = (key: string, text: string) => [
  `  ${key}: |`,
  ...text
    .trim()
    .split('\n')
    .map((line) => `    ${line}`),
]
const good = (...lines: string[]): Verdict => ({ isGood: true, lines })
const bad = (...lines: string[]): Verdict => ({ isGood: false, lines })
const goodTls = (...lines: string[]) => good(...TLS, ...lines)
const badTls = (...lines: string[]) => bad(...TLS, ...lines)
const header = (name: string, value: string) => [
  'http_server_config:',
  '  headers:',
  `    ${name}: ${value}`,
]
const user = (hash: string, name = 'bob') => ['basic_auth_users:', `  ${name}: ${hash}`]
const limit = (interval: string, burst = '1') => [
  'rate_limit:',
  `  interval: ${interval}`,
  `  burst: ${burst}`,
]

/** Files that test the syntax of whole files and of their sections. */
const SECTIONS: Readonly<Record<string, Verdict>> = {
  'an empty file': good(''),
  'a file of comments': good('# basic_auth_users:'),
  'a file that begins as a document': good('---', ...user(HASH)),
  'a text of many lines': bad('fish', 'and', 'chips'),
  'a list': bad('- tls_server_config'),
  'an unknown key': bad('tls_config: {}'),
  'an unknown key of a section': bad('tls_server_config:', '  certificate: server.crt'),
  'a key of a section at the top': bad('cert_file: server.crt'),
  'a section given twice': bad(...limit('1s'), ...limit('1s')),
  'a key given twice': bad('rate_limit:', '  burst: 1', '  burst: 1'),
  'sections without a value': good(
    'tls_server_config:',
    'http_server_config:',
    'basic_auth_users:',
    'rate_limit:',
  ),
  'sections that are empty': good(
    'tls_server_config: {}',
    'http_server_config: {}',
    'basic_auth_users: {}',
    'rate_limit: {}',
  ),
  'a list for a section': bad('tls_server_config: []'),
  'a text for a section': bad('tls_server_config: "yes"'),
  'broken YAML': bad('basic_auth_users: {'),
  'a tab for an indentation': bad('rate_limit:', '\tburst: 1'),
}

const TLS_SECTION: Readonly<Record<string, Verdict>> = {
  'certificate and key': goodTls(),
  'no key': bad('tls_server_config:', '  cert_file: server.crt'),
  'no certificate': bad('tls_server_config:', '  key_file: server.key'),
  'an empty certificate': bad('tls_server_config:', '  cert: ""', '  key_file: server.key'),
  'an empty name of the certificate': bad(
    'tls_server_config: {cert_file: "", key_file: server.key}',
  ),
  'an empty key': bad('tls_server_config: {cert_file: server.crt, key: ""}'),
  'an empty name of the key': bad('tls_server_config: {cert_file: server.crt, key_file: ""}'),
  'a missing certificate': bad('tls_server_config: {cert_file: none, key_file: server.key}'),
  'a missing key': bad('tls_server_config: {cert_file: server.crt, key_file: none}'),
  'a missing certificate and a missing key': bad(
    'tls_server_config: {cert_file: none, key_file: none}',
  ),
  'the key of another certificate': bad(
    'tls_server_config: {cert_file: server.crt, key_file: other.key}',
  ),
  'a key of another type': bad('tls_server_config: {cert_file: server.crt, key_file: rsa.key}'),
  'a key for a certificate': bad(
    'tls_server_config: {cert_file: server.key, key_file: server.key}',
  ),
  'names that are empty': good('tls_server_config: {cert_file: "", key_file: ""}'),
  'names without a value': good('tls_server_config:', '  cert_file:', '  key_file:'),
  'names that are empty and a client_auth_type': bad(
    'tls_server_config: {cert_file: "", key_file: "", client_auth_type: NoClientCert}',
  ),
  'only min_version': good('tls_server_config: {min_version: TLS13}'),
  'only an unknown min_version': bad('tls_server_config: {min_version: TLS14}'),
  'only prefer_server_cipher_suites': good(
    'tls_server_config: {prefer_server_cipher_suites: false}',
  ),
  'only client_allowed_sans': good('tls_server_config: {client_allowed_sans: [a.example]}'),
  'only cipher suites and curves': good(
    'tls_server_config: {cipher_suites: [TLS_AES_128_GCM_SHA256], curve_preferences: [X25519]}',
  ),
  'both cert and cert_file': goodTls('  cert: fish'),
  'both key and key_file': goodTls('  key: fish'),
  'both client_ca and client_ca_file': goodTls(
    '  client_auth_type: RequireAndVerifyClientCert',
    '  client_ca_file: ca.crt',
    '  client_ca: fish',
  ),
  'versions and suites without a value': goodTls(
    '  min_version:',
    '  max_version:',
    '  cipher_suites:',
  ),
  'keys without a value': goodTls(
    ...['client_auth_type', 'client_ca', 'client_ca_file', 'client_allowed_sans'].map(
      (key) => `  ${key}:`,
    ),
    '  curve_preferences:',
    '  prefer_server_cipher_suites: ~',
  ),
  'an unknown key after certificate and key': badTls('  passphrase: x'),
}

const CLIENTS: Readonly<Record<string, Verdict>> = {
  ...Object.fromEntries(
    [
      'NoClientCert',
      'RequestClientCert',
      'RequireAnyClientCert',
      'RequireClientCert',
      'VerifyClientCertIfGiven',
      'RequireAndVerifyClientCert',
    ].map((type) => [`${type} without a CA`, goodTls(`  client_auth_type: ${type}`)]),
  ),
  'an unknown client_auth_type': badTls('  client_auth_type: Always'),
  'a client_auth_type in lower case': badTls('  client_auth_type: noclientcert'),
  'a CA': goodTls('  client_auth_type: RequireAndVerifyClientCert', '  client_ca_file: ca.crt'),
  'a CA without a client_auth_type': badTls('  client_ca_file: ca.crt'),
  'a CA and NoClientCert': badTls('  client_auth_type: NoClientCert', '  client_ca_file: ca.crt'),
  'a missing CA': badTls('  client_auth_type: RequestClientCert', '  client_ca_file: none'),
  'no names': goodTls(
    '  client_auth_type: RequireAndVerifyClientCert',
    '  client_ca_file: ca.crt',
    '  client_allowed_sans: []',
  ),
  'a number for a name': goodTls('  client_allowed_sans: [1, yes, ~]'),
  'a text for the names': badTls('  client_allowed_sans: a.example'),
}

const suites = (...names: string[]) => `  cipher_suites: [${names.join(', ')}]`
const NAMES: Readonly<Record<string, Verdict>> = {
  'all cipher suites': goodTls(
    suites(
      'TLS_AES_128_GCM_SHA256',
      'TLS_AES_256_GCM_SHA384',
      'TLS_CHACHA20_POLY1305_SHA256',
      ...['ECDSA', 'RSA'].flatMap((key) =>
        [
          'AES_128_CBC_SHA',
          'AES_256_CBC_SHA',
          'AES_128_GCM_SHA256',
          'AES_256_GCM_SHA384',
          'CHACHA20_POLY1305_SHA256',
        ].map((cipher) => `TLS_ECDHE_${key}_WITH_${cipher}`),
      ),
    ),
  ),
  'an invented suite': badTls(suites('TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA2048')),
  'a suite of OpenSSL': badTls(suites('ECDHE-ECDSA-AES128-GCM-SHA256')),
  'a suite without forward secrecy': badTls(suites('TLS_RSA_WITH_AES_128_GCM_SHA256')),
  'a suite that Go calls insecure': badTls(suites('TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256')),
  'no suites': goodTls(suites()),
  'some suites, the versions and no HTTP/2': goodTls(
    suites('TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384'),
    '  min_version: TLS12',
    '  max_version: TLS12',
    '  prefer_server_cipher_suites: no',
    'http_server_config: {http2: false}',
  ),
  'only TLS 1.3, and any suites': goodTls(suites('TLS_AES_256_GCM_SHA384'), '  min_version: TLS13'),
  'all curves': goodTls('  curve_preferences: [CurveP256, CurveP384, CurveP521, X25519]'),
  'one curve': goodTls('  curve_preferences:', '  - CurveP521', '  min_version: TLS13'),
  'an invented curve': badTls('  curve_preferences: [CurveP257]'),
  'a curve of OpenSSL': badTls('  curve_preferences: [P-256]'),
  'no curves': goodTls('  curve_preferences: []'),
  'an unknown version': badTls('  min_version: TLS111'),
  'a version as a number': badTls('  min_version: 1.2'),
  'an empty version': badTls('  min_version: ""'),
  'the oldest version': goodTls('  min_version: TLS10'),
  'only an old version, with its suites': goodTls(
    '  min_version: TLS10',
    '  max_version: TLS11',
    suites('TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA'),
    'http_server_config: {http2: off}',
  ),
  'true in another spelling': goodTls('  prefer_server_cipher_suites: On'),
  'a text for true': badTls('  prefer_server_cipher_suites: "true"'),
  'a number for true': badTls('  prefer_server_cipher_suites: 1'),
}

const HTTP: Readonly<Record<string, Verdict>> = {
  ...Object.fromEntries(
    ['yes', 'Yes', 'on', 'ON', 'y', 'true', 'True', 'no', 'off', 'Off', 'N', 'FALSE', '~', ''].map(
      (word) => [`http2: ${word}`, good(`http_server_config:`, `  http2: ${word}`)],
    ),
  ),
  'a text for a switch': bad('http_server_config: {http2: "no"}'),
  'another word for a switch': bad('http_server_config: {http2: yEs}'),
  'every header': good(
    'http_server_config:',
    '  headers:',
    '    Strict-Transport-Security: max-age=31536000; includeSubDomains',
    '    X-Content-Type-Options: nosniff',
    '    X-Frame-Options: sameorigin',
    '    X-XSS-Protection: 1',
    `    Content-Security-Policy: "default-src 'self'"`,
  ),
  'a header with a number': good(...header('X-XSS-Protection', '0')),
  'a header with a switch': good(...header('Content-Security-Policy', 'true')),
  'a header without a value': good(...header('Content-Security-Policy', '')),
  'a header with an empty value': good(...header('Strict-Transport-Security', '""')),
  'a header of one word without a value': bad(...header('X-Frame-Options', '')),
  'a header of one word with an empty value': bad(...header('X-Frame-Options', '""')),
  'a header of one word with another word': bad(...header('X-Frame-Options', 'allow')),
  'a header of one word in upper case': bad(...header('X-Frame-Options', 'DENY')),
  'another header of one word with another': bad(...header('X-Content-Type-Options', 'sniff')),
  'a header in a block': good(...header('Content-Security-Policy', '>'), "      default-src 'self';", '      img-src *'), // prettier-ignore
  'a header of one word in a block': bad(...header('X-Frame-Options', '|'), '      deny'),
  'a header of one word in a block without its end': good(...header('X-Frame-Options', '|-'), '      deny'), // prettier-ignore
  'another header': bad(...header('Server', 'x')),
  'a header in lower case': bad(...header('x-frame-options', 'deny')),
  'headers without a value': good('http_server_config:', '  headers:'),
  'a list of headers': bad('http_server_config: {headers: [X-Frame-Options]}'),
  'a list for a header': bad(...header('X-XSS-Protection', '[1]')),
  'a header given twice': bad(...header('X-XSS-Protection', '1'), '    X-XSS-Protection: 1'),
}

const rest = HASH.slice(3)
const USERS: Readonly<Record<string, Verdict>> = {
  'some users': good(...user(HASH), `  alice: ${HASH}`),
  'users and TLS': goodTls(...user(HASH)),
  ...Object.fromEntries(
    ['2a', '2b', '2x', '2y', '2'].map((version) => [
      `a hash of version ${version}`,
      good(...user(`$${version}${rest}`)),
    ]),
  ),
  'a hash of version 3': bad(...user(HASH.replace('$2', '$3'))),
  'a hash with a cost of 3': bad(...user(HASH.replace('$04$', '$03$'))),
  'a hash with a cost of 32': bad(...user(HASH.replace('$04$', '$32$'))),
  'a password in place of its hash': bad(...user('fish-and-chips')),
  'a number in place of a hash': bad(...user('12345')),
  'a user without a hash': bad(...user('')),
  'a hash in a block': good(...user('|'), `    ${HASH}`),
  'a hash in quotes': good(...user(`'${HASH}'`)),
  'a user with a colon': good(...user(HASH, '"a:b"')),
  'a user whose name is a number': good(...user(HASH, '1')),
  'a user whose name is a switch': good(...user(HASH, 'yes')),
  'a user without a name': good(...user(HASH, '""')),
  'a user given twice': bad(...user(HASH), `  bob: ${HASH}`),
  'a list of users': bad('basic_auth_users: [bob]'),
}

const LIMITS: Readonly<Record<string, Verdict>> = {
  ...Object.fromEntries(
    [
      '1s',
      '1.5s',
      '100us',
      '100µs',
      '100ms',
      '1h30m',
      '.5s',
      '1.s',
      '-1s',
      '+1s',
      '0',
      '"0"',
      '100',
      '1.5',
      '"1s"',
      '~',
      '0x10',
      '1_000',
    ].map(
      // prettier-ignore
      (text) => [`an interval of ${text}`, good(...limit(text))],
    ),
  ),
  ...Object.fromEntries(
    ['often', '1d', '1 s', '"100"', '1', 's', '-', '.s', '1s1', 'true', '[1s]', '99999999h', '""', '1S'] // prettier-ignore
      .filter((text) => text !== '1')
      .map((text) => [`an interval of ${text}`, bad(...limit(text))]),
  ),
  ...Object.fromEntries(
    ['0', '5', '-1', '010', '0x10', '0b11', '1_000', '1e3', '1.5', '~'].map((text) => [
      `a burst of ${text}`,
      good(...limit('1s', text)),
    ]),
  ),
  ...Object.fromEntries(
    ['"5"', 'many', '5s', 'true', '1e30', '.inf', '.nan', '2026-01-01', '[1]'].map((text) => [
      `a burst of ${text}`,
      bad(...limit('1s', text)),
    ]),
  ),
  'a limit without a burst': good('rate_limit: {interval: 1s}'),
  'a limit without an interval': good('rate_limit: {burst: 1}'),
}

const ALIASES: Readonly<Record<string, Verdict>> = {
  'a hash by an alias': good(...user(`&hash ${HASH}`), '  alice: *hash'),
  'a name by an alias': good(...user(HASH, '&name bob'), 'rate_limit: {interval: 1s}'),
  'an alias without an anchor': bad(...user('*hash')),
  'an alias before its anchor': bad(...user('*hash'), `  alice: &hash ${HASH}`),
  'a section by an alias': bad('tls_server_config: &section {}', 'basic_auth: *section'),
  'a merge key': good(
    'rate_limit: {interval: 1s, <<: {burst: 1}}',
    'http_server_config: {<<: [{http2: no}, {http2: yes}]}',
  ),
  'a merge key with an unknown key': bad('rate_limit: {<<: {bursts: 1}}'),
  'a merge key beside a key of the same name': good('rate_limit: {<<: {burst: 1}, burst: 2}'),
  'a merge key with a user': good('basic_auth_users:', `  <<: {bob: ${HASH}}`, `  alice: ${HASH}`),
  'a merge key with a user of the same name': bad(...user(HASH), `  <<: {bob: ${HASH}}`),
  'a merge key of a text': bad('rate_limit: {<<: 1s}'),
  'a merge key of a list of texts': bad('rate_limit: {<<: [1s]}'),
  'a merge key of itself': bad('rate_limit: &limit {<<: *limit}'),
  'lines in brackets': good(
    'rate_limit: {',
    '  burst: 1',
    '}',
    ...TLS,
    '  cipher_suites: [',
    '  ]',
  ),
  'a key in quotes': good('"rate_limit": {"burst": 1}'),
  'a key that is a list': bad('? [rate_limit]', ': {}'),
  'a tag of YAML': good('rate_limit: {interval: !!str 1s, burst: !!int 1}'),
  'a tag that makes a text of a number': bad('rate_limit: {burst: !!str 1}'),
}

/** Web configuration files that contain the certificate and the key themselves, in PEM. */
export function inline(cert: string, key: string): Readonly<Record<string, Verdict>> {
  const section = 'tls_server_config:'
  return {
    'certificate and key in the file': good(section, ...pem('cert', cert), ...pem('key', key)),
    'the key in the file': good(section, '  cert_file: server.crt', ...pem('key', key)),
    'an invalid certificate': bad(section, '  cert: fish', ...pem('key', key)),
  }
}

/**
 * Web configuration files for which the exporter has the same verdict as the exporter-toolkit. The keys are names of
 * test cases.
 */
export const VERDICTS: Readonly<Record<string, Verdict>> = {
  ...SECTIONS,
  ...TLS_SECTION,
  ...CLIENTS,
  ...NAMES,
  ...HTTP,
  ...USERS,
  ...LIMITS,
  ...ALIASES,
}

/**
 * Web configuration files that the exporter-toolkit accepts and the exporter rejects. docs/configuration.md lists
 * these cases.
 */
export const STRICTER: Readonly<Record<string, readonly string[]>> = {
  'versions with which no client can connect': [
    ...TLS,
    '  min_version: TLS13',
    '  max_version: TLS12',
  ],
  'an old version without its suites': [...TLS, '  min_version: TLS10', '  max_version: TLS11'],
  'suites that do not fit the key': [
    ...TLS,
    '  max_version: TLS12',
    suites('TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256'),
  ],
  'a CA without a certificate': [
    ...TLS,
    '  client_auth_type: RequestClientCert',
    '  client_ca: fish',
  ],
  'a truncated hash': user(HASH.slice(0, -1)),
  'several documents': [...user(HASH), '---', 'rate_limit: {}'],
  'lines in brackets that are not indented': ['rate_limit: {', 'burst: 1', '}'],
  'an unknown tag': ['rate_limit: {interval: !x 1s}'],
  'a control character in a header': header('Content-Security-Policy', '"\\a"'),
}

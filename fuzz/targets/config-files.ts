import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readConfigFile } from '../../src/config/read-config-file.js'
import { readConfig } from '../../src/config/read-config.js'
import { ConfigError } from '../../src/errors.js'
import { readSettings } from '../../src/config/read-settings.js'
import { readWebConfig } from '../../src/access/read-web-config.js'
import { must, type Target } from '../target.js'

const SECRET = 'fish-and-chips'
const ENV = { PROSODY_EXPORTER_XMPP_SECRET: SECRET, PROSODY_EXPORTER_XMPP_DOMAIN: 'd.example' }
const example = readFileSync(
  new URL('../../prosody-exporter.example.yml', import.meta.url),
  'utf8',
).replace(/^# ?(?=[\w -]*:|\s+-)/gm, '')
const YAML_WORDS = [
  ...[
    ': ',
    '\n',
    '\n  ',
    '- ',
    '{',
    '}',
    '[',
    ']',
    '&a ',
    '*a',
    '<<: ',
    '? ',
    '| ',
    '> ',
    '!!str ',
  ],
  ...[
    '!!binary ',
    '!x ',
    '%YAML 1.1\n',
    '---\n',
    '...\n',
    '~',
    'null',
    'true',
    '"\\x00"',
    "''",
    '\t',
  ],
]
const HASH = `$2y$04$${'a'.repeat(53)}`
let directory: string | undefined

/** Reads the input as a configuration file. The result must be settings, or an error of one line with the position. */
export const config: Target = {
  name: 'config',
  weight: 0.5,
  seeds: [
    example,
    'servers: [{domain: a.b, name: x, hosts: [c], collectors: {registry: false}}]\n',
    'collection: {min_age: 1s, timeout: 5s, serve_stale_for: 0}\nexposition:\n  names: [openmetrics, mod_prometheus]\n  timestamps: true\n',
    'registry:\n  drop:\n    - family: (?i)a.*\n      labels: {host: "b|c"}\n    - family: x\npage: {interval: 0}\nlimits: {series: 5, label_value_length: 9}\n',
  ],
  words: [
    ...YAML_WORDS,
    ...[
      'servers',
      'collection',
      'exposition',
      'registry',
      'drop',
      'family',
      'labels',
      'limits',
      'page',
    ],
    ...[
      'name',
      'domain',
      'hosts',
      'collectors',
      'min_age',
      'names',
      'created',
      'secret',
      'interval',
      '.*',
    ],
  ],
  run(input) {
    checkFile('config.yml', input, (text) => {
      const file = readConfigFile({ from: 'flag', source: '--config.file', text })
      readConfig(readSettings([], ENV), { file, env: ENV })
    })
  },
  stop,
}

/**
 * Reads the input as a web configuration file. The result must be settings, or an error of one line with the
 * position.
 */
export const webConfig: Target = {
  name: 'web-config',
  weight: 0.7,
  seeds: [
    `basic_auth_users:\n  alice: ${HASH}\n  "__proto__": ${HASH}\nrate_limit: {interval: 100ms, burst: 3}\n`,
    'http_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\n    Content-Security-Policy: "a"\n',
    'tls_server_config:\n  cert: |\n    x\n  key_file: none\n  client_auth_type: RequireAnyClientCert\n  min_version: TLS13\n',
    'allowed_networks: [10.0.0.0/8, "::1/128"]\nbearer_token_files: [none]\n',
    `basic_auth_users:\n  <<: {alice: &a ${HASH}}\n  bob: *a\nrate_limit: &l {<<: [{burst: 010}, {interval: 1.5s}]}\n`,
  ],
  words: [
    ...YAML_WORDS,
    ...[
      'tls_server_config',
      'http_server_config',
      'basic_auth_users',
      'rate_limit',
      'headers',
      HASH,
    ],
    ...[
      'cert',
      'key_file',
      'client_ca',
      'cipher_suites',
      'allowed_networks',
      '/33',
      'interval',
      'burst',
    ],
    ...[
      'prefer_server_cipher_suites',
      'curve_preferences',
      'min_version',
      'TLS12',
      'bearer_token_files',
    ],
  ],
  run(input) {
    checkFile('web.yml', input, (file) =>
      readWebConfig({ from: 'flag', source: '--web.config.file', text: file }),
    )
  },
  stop,
}

function checkFile(name: string, input: Buffer, read: (file: string) => unknown): void {
  directory ??= mkdtempSync(join(tmpdir(), 'prosody-exporter-fuzz-'))
  const file = join(directory, name)
  writeFileSync(file, input)
  try {
    read(file)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const { message } = error

    must(
      !/[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]/.test(message),
      `an error must be one line: ${JSON.stringify(message)}`,
    )
    must(message.length < 1000, `an error must be short: ${message}`)
    must(!message.includes(SECRET), `an error must not have the secret: ${message}`)
    const place = /^(?:(.+):(\d+):(\d+): \S|PROSODY_|--)/.exec(message)
    must(place !== null, `an error must name the position: ${message}`)
  }
}

function stop(): void {
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true })
  directory = undefined
}

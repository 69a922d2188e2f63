import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { Config } from '../../../src/config/read-config.js'
import { parseDuration } from '../../../src/config/duration.js'
import { COLLECTORS } from '../../../src/collectors/index.js'
import { formatAddress, parseListenAddress } from '../../../src/config/listen-address.js'
import { formatHelp } from '../../../src/cli/format-help.js'
import { configOf, problemOf, SECRET, testDirectory, type Env } from '../../support/config.js'

const ENV = {
  PROSODY_EXPORTER_XMPP_DOMAIN: 'stats.example',
  PROSODY_EXPORTER_XMPP_SECRET: SECRET,
}
const { path: directory, file } = testDirectory()

const config = (args: string[], env: Env = {}) => configOf(args, { ...ENV, ...env })
const problem = (args: string[], env: Env = {}) => problemOf(() => config(args, env))

describe('defaults and overrides', () => {
  test('a setting that is not set has its default', () => {
    assert.deepEqual(config([]), {
      servers: [
        {
          name: 'stats.example',
          xmpp: { service: 'xmpp://127.0.0.1:5347', domain: 'stats.example', secret: SECRET },
          hosts: [],
          collectors: new Map(COLLECTORS.map(({ name, isOn }) => [name, isOn])),
        },
      ],
      web: {
        listenAddresses: [
          { host: '127.0.0.1', port: 9347, optional: true },
          { host: '::1', port: 9347, optional: true },
        ],
        telemetryPath: '/metrics',
        routePrefix: '',
        external: { origin: undefined, path: '' },
        maxRequests: 40,
        disableExporterMetrics: false,
        failWhenDown: false,
        socketAccess: { mode: undefined, group: undefined },
        enableLifecycle: false,
        configFile: undefined,
      },
      timeoutOffsetMs: 500,
      collection: { minAgeMs: 250, timeoutMs: 10_000, serveStaleForMs: 0 },
      exposition: { names: ['openmetrics'], created: false, timestamps: false },
      registry: { drop: [] },
      page: { intervalMs: 15_000 },
      alerts: undefined,
      chat: undefined,
      alertmanager: undefined,
      stateDirectory: undefined,
      limits: { series: 2_000_000, labelValueLength: 0 },
      outside: undefined,
      log: { level: 'info', format: 'logfmt' },
    })
  })

  test('a flag or a variable turns a collector on or off', () => {
    const on = (args: string[], env = {}) => config(args, env).servers[0]!.collectors
    assert.equal(on(['--no-collector.ping']).get('ping'), false)
    assert.equal(on(['--collector.server_statistics']).get('server_statistics'), true)
    const env = { PROSODY_EXPORTER_COLLECTOR_PING: 'false' }
    assert.equal(on([], env).get('ping'), false)
    assert.equal(on(['--collector.ping'], env).get('ping'), true, 'the flag wins')
    assert.equal(on([], env).get('users'), true)
    assert.equal(
      problem([], { ...ENV, PROSODY_EXPORTER_COLLECTOR_PING: 'no' }),
      'PROSODY_EXPORTER_COLLECTOR_PING: expected true or false, got "no"',
    )
    assert.match(problem(['--collector.pong']), /^--collector\.pong: unknown collector, expected /)
    assert.equal(problem(['--collector.ping=true']), '--collector.ping: expected no value, got one')
    const twice = problem(['--collector.ping', '--no-collector.ping'])
    assert.equal(twice, '--collector.ping: expected one value, got several')
  })

  test('the message for a removed collector names the setting and says what to do', () => {
    const line = (source: string, name: string) =>
      `${source}: the collector ${name} was removed, because it was never tested with a real ${name} server. Remove the setting.`
    for (const name of ['openfire', 'tigase']) {
      for (const flag of [`--collector.${name}`, `--no-collector.${name}`]) {
        assert.equal(problem([flag]), line(flag, name))
      }
      const variable = `PROSODY_EXPORTER_COLLECTOR_${name.toUpperCase()}`
      assert.equal(problem([], { ...ENV, [variable]: 'false' }), line(variable, name))
      assert.equal(config([], { ...ENV, [variable]: '' }).servers.length, 1, 'empty is unset')
    }
  })

  test('hosts are read from repeated flags, in small letters', () => {
    const { hosts } = config(['--xmpp.host=A.example', '--xmpp.host=b.example']).servers[0]!
    assert.deepEqual(hosts, ['a.example', 'b.example'])
    assert.match(
      problem(['--xmpp.host=a@b']),
      /^--xmpp\.host: expected the domain of a VirtualHost, e\.g\. example/,
    )
  })

  test('an empty variable is ignored', () => {
    assert.equal(config([], { PROSODY_EXPORTER_LOG_LEVEL: '' }).log.level, 'info')
  })

  test('variables that Kubernetes sets for a service named prosody-exporter are ignored', () => {
    config([], {
      PROSODY_EXPORTER_SERVICE_HOST: '10.0.0.1',
      PROSODY_EXPORTER_PORT: 'tcp://10.0.0.1:9347',
    })
  })
})

describe('flags and variables', () => {
  test('a flag starts with one or two dashes, and its value follows = or is the next argument', () => {
    for (const args of [
      ['--log.level=warn'],
      ['--log.level', 'warn'],
      ['-log.level=warn'],
      ['-log.level', 'warn'],
    ]) {
      assert.equal(config(args).log.level, 'warn', args.join(' '))
    }
  })

  test('a flag overrides its variable', () => {
    const cases: [string, string, string, (from: Config) => unknown][] = [
      ['xmpp.service', 'xmpp://a:1', 'xmpp://b:2', (from) => from.servers[0]!.xmpp.service],
      ['xmpp.domain', 'a.example', 'b.example', (from) => from.servers[0]!.xmpp.domain],
      ['web.listen-address', ':1', ':2', (from) => from.web.listenAddresses],
      ['web.telemetry-path', '/a', '/b', (from) => from.web.telemetryPath],
      ['timeout-offset', '1', '2', (from) => from.timeoutOffsetMs],
      ['log.level', 'warn', 'error', (from) => from.log.level],
      ['log.format', 'json', 'logfmt', (from) => from.log.format],
    ]
    for (const [flag, a, b, read] of cases) {
      const variable = `PROSODY_EXPORTER_${flag.toUpperCase().replace(/[.-]/g, '_')}`
      const byFlag = read(config([`--${flag}=${a}`]))
      assert.deepEqual(read(config([], { [variable]: a })), byFlag, variable)
      assert.deepEqual(read(config([`--${flag}=${a}`], { [variable]: b })), byFlag, flag)
      assert.notDeepEqual(read(config([], { [variable]: b })), byFlag, variable)
    }
  })

  test('an invalid variable is an error only if no flag overrides it', () => {
    const wrong = { PROSODY_EXPORTER_LOG_LEVEL: 'loud' }
    assert.equal(config(['--log.level=warn'], wrong).log.level, 'warn')
    assert.equal(config(['--log.level=WARN'], wrong).log.level, 'warn')
    assert.equal(
      problem([], wrong),
      'PROSODY_EXPORTER_LOG_LEVEL: expected debug, info, warn or error, got "loud"',
    )
  })

  test('settings without a flag are read from variables', () => {
    const set = config([], {
      PROSODY_EXPORTER_COLLECTION_MIN_AGE: '1s',
      PROSODY_EXPORTER_COLLECTION_TIMEOUT: '1m',
      PROSODY_EXPORTER_EXPOSITION_CREATED: 'true',
      PROSODY_EXPORTER_EXPOSITION_NAMES: 'single_underscore, mod_prometheus',
      PROSODY_EXPORTER_LIMITS_SERIES: '0',
      PROSODY_EXPORTER_PAGE_INTERVAL: '0',
      PROSODY_EXPORTER_COLLECTION_SERVE_STALE_FOR: '4m',
      PROSODY_EXPORTER_LIMITS_LABEL_VALUE_LENGTH: '200',
    })
    assert.deepEqual(set.collection, {
      minAgeMs: 1000,
      timeoutMs: 60_000,
      serveStaleForMs: 240_000,
    })
    assert.deepEqual(set.exposition, {
      names: ['single_underscore', 'mod_prometheus'],
      created: true,
      timestamps: false,
    })
    assert.deepEqual(set.page, { intervalMs: 0 })
    assert.deepEqual(set.limits, { series: 0, labelValueLength: 200 })
  })

  test('several listen addresses are repeated flags, or a variable with commas', () => {
    const expected = [
      { host: undefined, port: 0, optional: false },
      { host: '::1', port: 9347, optional: false },
      { path: '/run/x.sock' },
    ]
    const texts = [':0', '[::1]:9347', 'unix:/run/x.sock']
    const flags = texts.map((each) => `--web.listen-address=${each}`)
    assert.deepEqual(config(flags).web.listenAddresses, expected)
    const variable = { PROSODY_EXPORTER_WEB_LISTEN_ADDRESS: texts.join(', ') }
    assert.deepEqual(config([], variable).web.listenAddresses, expected)
  })

  test('a domain is converted to small letters, as in Prosody', () => {
    assert.equal(
      config(['--xmpp.domain=Stats.Bücher.EXAMPLE']).servers[0]!.xmpp.domain,
      'stats.bücher.example',
    )
  })
})

describe('a mistake is one line with the flag or variable, the expected value and the given value:', () => {
  const cases: [string, string[], Record<string, string>, string][] = [
    ['an unknown flag', ['--xmpp.domian=a'], {}, '--xmpp.domian: unknown flag, see --help'],
    ['a flag of a later release', ['--web.later=a'], {}, '--web.later: unknown flag, see --help'],
    [
      'a flag for a setting that has only a variable',
      ['--limits.series=5'],
      {},
      '--limits.series: unknown flag, set it in the configuration file, or with the environment variable PROSODY_EXPORTER_LIMITS_SERIES',
    ],
    [
      'an argument that is not a flag',
      ['metrics'],
      {},
      'unexpected argument "metrics": expected only flags. A command comes before all flags.',
    ],
    [
      'an argument after --',
      ['--', 'a'],
      {},
      'unexpected argument "a": expected only flags. A command comes before all flags.',
    ],
    [
      'a flag without its value',
      ['--log.level'],
      {},
      '--log.level: expected a value (LEVEL), got none',
    ],
    [
      'a flag in place of a value',
      ['--log.level', '--log.format=json'],
      {},
      '--log.level: expected a value (LEVEL), got none',
    ],
    [
      'a value for a flag that has none',
      ['--version=3'],
      {},
      '--version: expected no value, got one',
    ],
    [
      'a flag given twice',
      ['--log.level=info', '--log.level=warn'],
      {},
      '--log.level: expected one value, got several',
    ],
    [
      'an unknown log level',
      ['--log.level=VERBOSE'],
      {},
      '--log.level: expected debug, info, warn or error, got "VERBOSE"',
    ],
    [
      'an unknown log format',
      ['--log.format=xml'],
      {},
      '--log.format: expected logfmt or json, got "xml"',
    ],
    [
      'a newline in a value',
      ['--log.format=a\nb'],
      {},
      '--log.format: expected logfmt or json, got "a\\nb"',
    ],
    [
      'a long value',
      [`--log.format=${'x'.repeat(1000)}`],
      {},
      `--log.format: expected logfmt or json, got "${'x'.repeat(80)}…"`,
    ],
    [
      'no domain',
      [],
      { PROSODY_EXPORTER_XMPP_DOMAIN: '' },
      '--xmpp.domain is not set, so there is no server to monitor. Set --xmpp.domain and --xmpp.secret-file, or --config.file=FILE. Or run "prosody-exporter setup" as root on the machine that runs Prosody. See --help.',
    ],
    [
      'xmpps',
      ['--xmpp.service=xmpps://h:1'],
      {},
      '--xmpp.service: expected xmpp://host[:port] (component streams have no TLS, XEP-0114), got "xmpps://h:1"',
    ],
    [
      'no scheme',
      ['--xmpp.service=localhost:5347'],
      {},
      '--xmpp.service: expected xmpp:// in front of host[:port], got "localhost:5347"',
    ],
    [
      'a password in the URL',
      [`--xmpp.service=xmpp://stats:${SECRET}@h`],
      {},
      '--xmpp.service: expected xmpp://host[:port], got a URL with a user in it',
    ],
    [
      'a telemetry path without its slash',
      ['--web.telemetry-path=metrics'],
      {},
      '--web.telemetry-path: expected a path that starts with / and has only letters, digits and . _ ~ - /, got "metrics"',
    ],
    [
      'a telemetry path that the page uses',
      ['--web.telemetry-path=/-/page/events'],
      {},
      '--web.telemetry-path: expected a path that the page at / does not use, got "/-/page/events"',
    ],
    [
      'a telemetry path that is reserved',
      ['--web.telemetry-path=/-/ready'],
      {},
      '--web.telemetry-path: expected a path other than /-/healthy, /-/ready, /-/reload, /config, /probe, /sd, got "/-/ready"',
    ],
    [
      'an invalid listen address',
      ['--web.listen-address=9347'],
      {},
      '--web.listen-address: expected host:port, [IPv6]:port, :port or unix:/path, got "9347"',
    ],
    [
      'a duplicate listen address',
      ['--web.listen-address=:1', '--web.listen-address=:1'],
      {},
      '--web.listen-address: expected each address once, got ":1"',
    ],
    [
      'a trailing comma',
      [],
      { PROSODY_EXPORTER_WEB_LISTEN_ADDRESS: ':1,' },
      'PROSODY_EXPORTER_WEB_LISTEN_ADDRESS: expected host:port, [IPv6]:port, :port or unix:/path, got ""',
    ],
    [
      'a negative offset',
      ['--timeout-offset', '-1'],
      {},
      '--timeout-offset: expected seconds, e.g. 0.5, or a duration, e.g. 500ms, got "-1"',
    ],
    [
      'a min_age that makes rate() wrong',
      [],
      { PROSODY_EXPORTER_COLLECTION_MIN_AGE: '5001ms' },
      'PROSODY_EXPORTER_COLLECTION_MIN_AGE: expected at most 5s without exposition.timestamps (min_age divided by the window of rate() is the error of rate()), got "5001ms"',
    ],
    [
      'an unknown naming scheme among several',
      [],
      { PROSODY_EXPORTER_EXPOSITION_NAMES: 'openmetrics,mod_prom' },
      'PROSODY_EXPORTER_EXPOSITION_NAMES: expected openmetrics, single_underscore or mod_prometheus, got "mod_prom"',
    ],
    [
      'a duration without a unit',
      [],
      { PROSODY_EXPORTER_COLLECTION_TIMEOUT: '10' },
      'PROSODY_EXPORTER_COLLECTION_TIMEOUT: expected a duration, e.g. 250ms or 1m30s, got "10"',
    ],
    [
      'a collection timeout that is too long',
      [],
      { PROSODY_EXPORTER_COLLECTION_TIMEOUT: '30d' },
      'PROSODY_EXPORTER_COLLECTION_TIMEOUT: expected 100ms to 10m, got "30d"',
    ],
    [
      'a value that is not true or false',
      [],
      { PROSODY_EXPORTER_EXPOSITION_CREATED: 'yes' },
      'PROSODY_EXPORTER_EXPOSITION_CREATED: expected true or false, got "yes"',
    ],
    [
      'a number with an exponent',
      [],
      { PROSODY_EXPORTER_LIMITS_SERIES: '1e5' },
      'PROSODY_EXPORTER_LIMITS_SERIES: expected a whole number, 0 for no limit, got "1e5"',
    ],
  ]
  for (const [name, args, env, expected] of cases) {
    test(name, () => {
      assert.equal(problem(args, env), expected)
    })
  }

  test('an invalid domain', () => {
    const long = `${'a'.repeat(60)}.`.repeat(20)
    for (const text of ['', ' ', 'a b', 'me@a.example', 'a.example/x', '.a', 'a.', 'a..b', long]) {
      assert.match(problem([`--xmpp.domain=${text}`]), /^--xmpp\.domain: expected the component's/)
    }
  })

  test('an invalid address of the component port', () => {
    const texts = ['', 'xmpp://', 'xmpp://:1', 'http://h', 'xmpp://h:0', 'xmpp://h:65536']
    for (const text of [...texts, 'xmpp://h:x', 'xmpp://h/path', 'xmpp://h?q', 'xmpp://h#f']) {
      assert.match(
        problem([`--xmpp.service=${text}`]),
        /^--xmpp\.service: expected xmpp:\/\//,
        text,
      )
    }
  })
})

describe('the component port', () => {
  test('is normalized', () => {
    for (const [text, expected] of [
      ['xmpp://localhost', 'xmpp://localhost'],
      ['XMPP://Prosody_1:5348/', 'xmpp://prosody_1:5348'],
      ['xmpp://[::1]:5347', 'xmpp://[::1]:5347'],
    ] as const) {
      assert.equal(config([`--xmpp.service=${text}`]).servers[0]!.xmpp.service, expected)
    }
  })
})

describe('the secret', () => {
  const NONE = { PROSODY_EXPORTER_XMPP_SECRET: '' }

  test('is the text of the file without the newline at its end', () => {
    const read = (content: string) =>
      config([`--xmpp.secret-file=${file('good', content)}`], NONE).servers[0]!.xmpp.secret
    assert.equal(read('s3cret'), 's3cret')
    assert.equal(read('s3cret\n'), 's3cret')
    assert.equal(read('s3cret\r\n'), 's3cret')
    assert.equal(read(' s3cret \n'), ' s3cret ', 'spaces belong to the secret')
  })

  test('in the file of a flag overrides the secret in the variable', () => {
    assert.equal(
      config([`--xmpp.secret-file=${file('wins', 'other')}`]).servers[0]!.xmpp.secret,
      'other',
    )
  })

  test('in two variables is refused', () => {
    assert.equal(
      problem([], { PROSODY_EXPORTER_XMPP_SECRET_FILE: file('both', SECRET) }),
      'PROSODY_EXPORTER_XMPP_SECRET: expected only this variable or only PROSODY_EXPORTER_XMPP_SECRET_FILE, got both',
    )
  })

  test('is required', () => {
    assert.equal(
      problem([], NONE),
      '--xmpp.secret-file (or PROSODY_EXPORTER_XMPP_SECRET): expected the component_secret, got none',
    )
  })

  test('is refused as a flag, with the reason', () => {
    for (const flag of ['xmpp.secret', 'xmpp.password', 'secret']) {
      for (const args of [[`--${flag}=${SECRET}`], [`-${flag}`, SECRET]]) {
        assert.match(
          problem(args),
          new RegExp(`^--${flag}: a secret is never a flag, because every user`),
        )
      }
    }
  })

  test('in a variable loses the newline at its end, and cannot contain another', () => {
    for (const end of ['\n', '\r\n']) {
      const { servers } = config([], { PROSODY_EXPORTER_XMPP_SECRET: `${SECRET}${end}` })
      assert.equal(servers[0]!.xmpp.secret, SECRET)
    }
    assert.equal(
      problem([], { PROSODY_EXPORTER_XMPP_SECRET: `${SECRET}\n\n` }),
      'PROSODY_EXPORTER_XMPP_SECRET: expected one line, got several',
    )
    assert.match(problem([], { PROSODY_EXPORTER_XMPP_SECRET: '\r\n' }), /got none$/)
  })

  test('is not shown if it is written in place of the file name', () => {
    const hint = 'Its name is hidden, because it may be the secret itself.'
    const cases = [
      [SECRET, ` in "."`],
      [`${SECRET}/b`, ''],
      [`/${SECRET}`, ' in "/"'],
      [`/${SECRET}/b`, ''],
      [join(directory, SECRET), ` in ${JSON.stringify(directory)}`],
      [join(file('plain'), SECRET), ` in ${JSON.stringify(join(directory, 'plain'))}`],
      [SECRET.repeat(1000), ` in "."`],
    ] as const
    for (const [text, where] of cases) {
      const message = `--xmpp.secret-file: there is no such file${where}. ${hint}`
      assert.equal(problem([`--xmpp.secret-file=${text}`], NONE), message)
    }
  })

  test('in an unusable file is refused with the reason', () => {
    const cases: [string, string][] = [
      [directory, 'cannot be read: it is a directory'],
      ['/dev/zero', 'cannot be read: it is not a file'],
      [file('empty', ''), 'is empty: expected the component_secret'],
      [file('newline', '\n'), 'is empty: expected the component_secret'],
      [
        file('lines', `${SECRET}\n${SECRET}\n`),
        'holds several lines: expected the component_secret',
      ],
      [file('long', 'x'.repeat(5000)), 'is too long: expected at most 4096 bytes'],
      [
        file('open', SECRET, 0o604),
        'can be read by every user of the machine: run chmod 600 on the file, or in a container mount it read-only',
      ],
    ]
    for (const [path, what] of cases) {
      assert.equal(
        problem([`--xmpp.secret-file=${path}`], NONE),
        `--xmpp.secret-file: "${path}" ${what}`,
      )
    }
  })

  test('can be in a file that a group can read, as service managers create it', () => {
    const path = file('group', SECRET, 0o440)
    assert.equal(config([`--xmpp.secret-file=${path}`], NONE).servers[0]!.xmpp.secret, SECRET)
  })
})

describe('listen addresses', () => {
  test('are formatted as they are parsed', () => {
    for (const text of ['127.0.0.1:9347', '[::1]:9347', ':9347', 'a-b.c:0', 'unix:/run/x.sock']) {
      const address = parseListenAddress(text, false)
      assert.ok(address, text)
      assert.equal(formatAddress(address), text)
    }
  })

  test('with another text are invalid', () => {
    const long = `unix:/${'x'.repeat(107)}`
    const texts = ['', ':', '9347', ':65536', '::1:9347', '[a]:1', '[::1]', 'a b:1', 'h:1x', 'h:-1']
    for (const text of [...texts, 'unix:', 'unix:x.sock', 'unix:/run/', long]) {
      assert.equal(parseListenAddress(text, false), undefined, text)
    }
  })
})

describe('durations', () => {
  test('have the format of Prometheus', () => {
    for (const [text, ms] of [
      ['0', 0],
      ['0s', 0],
      ['250ms', 250],
      ['1m30s', 90_000],
      ['1h1ms', 3_600_001],
      ['1y2w3d', 31_536_000_000 + 17 * 86_400_000],
    ] as const) {
      assert.equal(parseDuration(text), ms, text)
    }
  })

  test('with another text are invalid', () => {
    for (const text of ['', '1', '-1s', '1.5s', '1s1m', ' 1s', '1S', '1s ', '99999999999y']) {
      assert.equal(parseDuration(text), undefined, text)
    }
  })
})

test('the help has the default and the variable of each important flag', () => {
  const help = formatHelp()
  for (const [flag, preset] of [
    ['xmpp.service', 'xmpp://127.0.0.1:5347'],
    ['xmpp.domain', 'Required'],
    ['xmpp.secret-file', 'component_secret'],
    ['web.listen-address', '127.0.0.1:9347 and [::1]:9347'],
    ['web.telemetry-path', '/metrics'],
    ['timeout-offset', '0.5'],
    ['log.level', 'info'],
    ['log.format', 'logfmt'],
  ] as const) {
    const entry = help.split('\n  --').find((each) => each.startsWith(`${flag}=`)) ?? ''
    const onOneLine = entry.replace(/\s+/g, ' ')
    assert.ok(onOneLine.includes(preset), flag)
    const variable = `PROSODY_EXPORTER_${flag.toUpperCase().replace(/[.-]/g, '_')}`
    assert.ok(entry.includes(variable), flag)
  }
  assert.ok(help.split('\n').every((line) => line.length <= 100))
})

describe('the access to Unix sockets', () => {
  const access = (...args: string[]) => config(args).web.socketAccess

  test('is an octal mode, and a group by name or number', () => {
    for (const text of ['0660', '660']) {
      const source = '--web.socket-mode'
      assert.deepEqual(access(`${source}=${text}`).mode, { value: 0o660, source })
    }
    const source = '--web.socket-group'
    assert.deepEqual(access(`${source}=33`).group, { id: 33, source })
    const [name, , id] = readFileSync('/etc/group', 'utf8').split('\n')[0]!.split(':')
    assert.deepEqual(access(`${source}=${name}`).group, { id: Number(id), source })
    const env = { PROSODY_EXPORTER_WEB_SOCKET_MODE: '0600', PROSODY_EXPORTER_WEB_SOCKET_GROUP: '5' }
    assert.deepEqual(config([], env).web.socketAccess, {
      mode: { value: 0o600, source: 'PROSODY_EXPORTER_WEB_SOCKET_MODE' },
      group: { id: 5, source: 'PROSODY_EXPORTER_WEB_SOCKET_GROUP' },
    })
  })

  test('with an invalid mode or group is refused', () => {
    for (const mode of ['', '66', '0888', '10660', 'rw', '0460', '0060', '432', '1660']) {
      assert.match(
        problem([`--web.socket-mode=${mode}`]),
        /^--web\.socket-mode: expected an octal mode that lets the owner read and write, e\.g\. 0660, got "/,
        mode,
      )
    }
    for (const group of ['no-such-group', '4294967295', '-1', 'a:b']) {
      assert.match(
        problem([`--web.socket-group=${group}`]),
        /^--web\.socket-group: expected the name of a group in \/etc\/group, or the number of a group, got "/,
        group,
      )
    }
  })
})

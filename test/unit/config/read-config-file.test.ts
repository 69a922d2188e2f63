import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { parse } from 'yaml'
import { z } from 'zod'
import { root } from '../../support/setup/process.js'
import { COLLECTORS } from '../../../src/collectors/index.js'
import { configSchema, formatJsonSchema } from '../../../src/config/config-file-schema.js'
import { joinWithOr } from '../../../src/config/kinds.js'
import { configOf, problemOf, SECRET, testDirectory, type Env } from '../../support/config.js'

const { path: directory, file } = testDirectory()
const FILE = join(directory, 'config.yml')
const ENV = { PROSODY_EXPORTER_XMPP_DOMAIN: 'env.example', PROSODY_EXPORTER_XMPP_SECRET: SECRET }

function config(yaml: string, args: string[] = [], env: Env = ENV) {
  writeFileSync(FILE, yaml)
  return configOf([`--config.file=${FILE}`, ...args], env)
}

/** The error message, without the name of the file. */
function problem(yaml: string, args: string[] = [], env: Env = ENV): string {
  const message = problemOf(() => config(yaml, args, env))
  assert.ok(message.startsWith(`${FILE}:`), message)
  return message.slice(FILE.length + 1)
}

describe('the configuration file', () => {
  test('sets every value', () => {
    writeFileSync(join(directory, 'stats.secret'), `${SECRET}\n`, { mode: 0o600 })
    const yaml = `
servers:
  - name: main
    service: xmpp://[::1]:5348
    domain: stats.example
    secret_file: stats.secret
    hosts: [A.example, b.example]
    collectors: { ping: false, server_statistics: true }
collection: { min_age: 1s, timeout: 1m30s, serve_stale_for: 4m }
exposition: { names: [mod_prometheus, openmetrics], created: true, timestamps: true }
registry:
  drop:
    - family: prosody_a
    - { family: prosody_b_.*, labels: { host: a|b, type: '' } }
page: { interval: 1h }
limits: { series: 5, label_value_length: 1e3 }
`
    const read = config(yaml, [], {})
    assert.deepEqual(read.servers[0]!.xmpp, {
      service: 'xmpp://[::1]:5348',
      domain: 'stats.example',
      secret: SECRET,
    })
    const { name, hosts, collectors } = read.servers[0]!
    assert.equal(name, 'main')
    assert.deepEqual(hosts, ['a.example', 'b.example'])
    assert.equal(collectors.get('ping'), false)
    assert.equal(collectors.get('server_statistics'), true)
    assert.equal(collectors.get('users'), true)
    assert.deepEqual(read.collection, {
      minAgeMs: 1000,
      timeoutMs: 90_000,
      serveStaleForMs: 240_000,
    })
    assert.deepEqual(read.exposition, {
      names: ['mod_prometheus', 'openmetrics'],
      created: true,
      timestamps: true,
    })
    assert.deepEqual(read.page, { intervalMs: 3_600_000 })
    assert.deepEqual(read.limits, { series: 5, labelValueLength: 1000 })
    assert.deepEqual(read.registry.drop, [
      { family: /^(?:prosody_a)$/su, labels: new Map() },
      {
        family: /^(?:prosody_b_.*)$/su,
        labels: new Map([
          ['host', /^(?:a|b)$/su],
          ['type', /^(?:)$/su],
        ]),
      },
    ])
  })

  test('has no effect if it is empty or has only comments', () => {
    const defaults = configOf([], ENV)
    for (const yaml of ['', '# nothing\n', '---\n', '\uFEFF{}', 'registry: {}']) {
      assert.deepEqual(config(yaml), defaults, JSON.stringify(yaml))
    }
    assert.deepEqual(defaults.collection, { minAgeMs: 250, timeoutMs: 10_000, serveStaleForMs: 0 })
    assert.deepEqual(defaults.exposition, {
      names: ['openmetrics'],
      created: false,
      timestamps: false,
    })
    assert.deepEqual(defaults.registry, { drop: [] })
    assert.deepEqual(defaults.limits, { series: 2_000_000, labelValueLength: 0 })
  })

  test('can have sections whose lines are all commented out', () => {
    const defaults = configOf([], ENV)
    const sections = ['servers', 'collection', 'exposition', 'registry', 'page', 'limits']
    const yaml = sections.map((section) => `${section}:\n  # all of it\n`).join('')
    assert.deepEqual(config(yaml), defaults)
    assert.deepEqual(config('registry:\n  drop:\n    # - family: x\n'), defaults)
    const { servers, registry } = config(
      'servers:\n  - domain: d.example\n    hosts:\n    collectors:\n' +
        'registry:\n  drop:\n    - family: x\n      labels:\n',
    )
    assert.deepEqual(
      [servers[0]!.hosts, servers[0]!.collectors],
      [defaults.servers[0]!.hosts, defaults.servers[0]!.collectors],
    )
    assert.equal(registry.drop[0]!.labels.size, 0)
  })

  test('is overridden by variables, and both by flags', () => {
    const yaml =
      'servers: [{domain: file.example, service: xmpp://file}]\ncollection: {min_age: 1s}\n'
    const env = { PROSODY_EXPORTER_XMPP_SECRET: SECRET }
    assert.equal(config(yaml, [], env).servers[0]!.xmpp.domain, 'file.example')
    assert.equal(config(yaml).servers[0]!.xmpp.domain, 'env.example')
    assert.equal(
      config(yaml, ['--xmpp.domain=flag.example']).servers[0]!.xmpp.domain,
      'flag.example',
    )
    assert.equal(
      config(yaml, ['--xmpp.service=xmpp://flag']).servers[0]!.xmpp.service,
      'xmpp://flag',
    )
    const minAge = (value: string) =>
      config(yaml, [], { ...ENV, PROSODY_EXPORTER_COLLECTION_MIN_AGE: value }).collection.minAgeMs
    assert.equal(minAge('2s'), 2000)
    assert.equal(minAge(''), 1000, 'an empty variable is ignored')
  })

  test('can be named by a variable', () => {
    writeFileSync(FILE, 'limits: {series: 7}')
    const env = { ...ENV, PROSODY_EXPORTER_CONFIG_FILE: FILE }
    assert.equal(configOf([], env).limits.series, 7)
  })

  test('names the secret file relative to its own directory', () => {
    mkdirSync(join(directory, 'secrets'))
    writeFileSync(join(directory, 'secrets/a'), 'a', { mode: 0o600 })
    const yaml = 'servers: [{domain: a.example, secret_file: secrets/a}]'
    assert.equal(config(yaml, [], {}).servers[0]!.xmpp.secret, 'a')
    assert.equal(config(yaml).servers[0]!.xmpp.secret, SECRET, 'the variable overrides the file')
    assert.equal(
      config(yaml.replace('secrets', `${directory}/secrets`), [], {}).servers[0]!.xmpp.secret,
      'a',
    )
    writeFileSync(join(directory, 'secrets/open'), SECRET, { mode: 0o604 })
    const open = join(directory, 'secrets/open')
    assert.equal(
      problem(yaml.replace('secrets/a', 'secrets/open'), [], {}),
      `1:44: servers[0].secret_file: "${open}" can be read by every user of the machine: run chmod 600 on the file, or in a container mount it read-only`,
    )
  })

  test('accepts a bare 0 as a duration', () => {
    assert.equal(config('collection: {min_age: 0}').collection.minAgeMs, 0)
    const stamped = config('collection: {min_age: 4m}\nexposition: {timestamps: true}')
    assert.equal(stamped.collection.minAgeMs, 240_000)
  })
})

describe('an expression of registry.drop', () => {
  const rule = (family: string) =>
    config(`registry: {drop: [{family: ${JSON.stringify(family)}}]}`).registry.drop[0]!.family

  test('matches the whole name, even with alternatives', () => {
    assert.ok(rule('a|b').test('a') && rule('a|b').test('b'))
    assert.ok(!rule('a|b').test('ab') && !rule('a').test('a\n'))
    assert.ok(rule('a.*').test('a\nb'), 'a dot matches any character')
  })

  test('ignores case after (?i)', () => {
    assert.ok(rule('(?i)ABC').test('abc') && !rule('ABC').test('abc'))
  })
})

describe('a mistake is one line FILE:LINE:COLUMN: KEY: expected …, got …:', () => {
  const cases: [string, string, string][] = [
    [
      'an unknown key',
      'collection:\n  min_age: 1s\n  max_age: 1s\n',
      '3:3: collection.max_age: expected min_age, timeout or serve_stale_for, got an unknown key',
    ],
    [
      'an unknown section',
      'log: {level: info}',
      '1:1: log: expected servers, collection, exposition, registry, web, state, page, alerts, chat, alertmanager, outside or limits, got an unknown key',
    ],
    [
      'an unknown key of a server',
      'servers:\n  - name: a\n    host: b',
      '3:5: servers[0].host: expected name, service, domain, secret_file, hosts or collectors, got an unknown key',
    ],
    [
      'an unknown collector',
      'servers:\n  - collectors: {ping: true, pong: true}',
      `2:30: servers[0].collectors.pong: expected ${joinWithOr(COLLECTORS.map(({ name }) => name))}, got an unknown key`,
    ],
    [
      'a removed collector',
      'servers:\n  - collectors: {ping: true, tigase: false}',
      '2:30: servers[0].collectors.tigase: the collector tigase was removed, because it was never tested with a real tigase server. Remove the setting.',
    ],
    [
      'a collector with a number',
      'servers:\n  - collectors: {ping: 1}',
      '2:24: servers[0].collectors.ping: expected true or false, got 1',
    ],
    [
      'an invalid host',
      'servers:\n  - hosts: [a.example, a@b.example]',
      '2:24: servers[0].hosts[1]: expected the domain of a VirtualHost, e.g. example.com, without @ or /, got "a@b.example"',
    ],
    [
      'a secret in the file',
      `servers:\n  - secret: ${SECRET}`,
      '2:5: servers[0].secret: expected the key secret_file with the name of a file, got a secret in the configuration file',
    ],
    [
      'a key that is a property of JavaScript objects',
      '__proto__: {}',
      '1:1: __proto__: expected servers, collection, exposition, registry, web, state, page, alerts, chat, alertmanager, outside or limits, got an unknown key',
    ],
    [
      'the first of several mistakes',
      'limits: {series: x}\ncollection: {min_age: true}',
      '1:18: limits.series: expected a whole number, 0 for no limit, got "x"',
    ],
    ['a text in place of the sections', SECRET, '1:1: the file: expected a mapping, got text'],
    ['a list in place of the sections', '- a', '1:1: the file: expected a mapping, got a list'],
    [
      'a key without a value',
      'limits:\n  series:\n',
      '2:10: limits.series: expected a whole number, 0 for no limit, got nothing',
    ],
    [
      'a secret in place of the servers',
      `servers: ${SECRET}`,
      '1:10: servers: expected a list, got text',
    ],
    [
      'a number in place of a text',
      'servers: [{domain: 5}]',
      '1:20: servers[0].domain: expected text, got a number',
    ],
    ['no server', 'servers: []', '1:10: servers: expected at least one server, got an empty list'],
    [
      'a password in the URL',
      `servers: [{service: "xmpp://a:${SECRET}@b"}]`,
      '1:21: servers[0].service: expected xmpp://host[:port], got a URL with a user in it',
    ],
    [
      'a duration without a unit',
      'collection: {timeout: 10}',
      '1:23: collection.timeout: expected a duration, e.g. 250ms or 1m30s, got 10',
    ],
    [
      'a text that is not a duration',
      'collection: {timeout: 10 s}',
      '1:23: collection.timeout: expected a duration, e.g. 250ms or 1m30s, got "10 s"',
    ],
    [
      'a min_age that makes rate() wrong',
      'collection: {min_age: 5001ms}',
      '1:23: collection.min_age: expected at most 5s without exposition.timestamps (min_age divided by the window of rate() is the error of rate()), got "5001ms"',
    ],
    [
      'a min_age that causes gaps in Prometheus',
      'collection: {min_age: 241s}\nexposition: {timestamps: true}',
      '1:23: collection.min_age: expected at most 4m (Prometheus forgets a series after 5m), got "241s"',
    ],
    [
      'a serve_stale_for that is too long',
      'collection: {serve_stale_for: 241s}',
      '1:31: collection.serve_stale_for: expected at most 4m (Prometheus forgets a series after 5m), got "241s"',
    ],
    [
      'a page.interval that is too short',
      'page: {interval: 999ms}',
      '1:18: page.interval: expected 0, or 1s to 1h, got "999ms"',
    ],
    [
      'an unknown key of the page',
      'page: {title: x}',
      '1:8: page.title: expected interval, got an unknown key',
    ],
    [
      'an unknown naming scheme',
      'exposition: {names: prometheus}',
      '1:21: exposition.names: expected openmetrics, single_underscore or mod_prometheus, got "prometheus"',
    ],
    [
      'an unknown naming scheme in a list',
      'exposition:\n  names:\n    - openmetrics\n    - mod-prometheus',
      '4:7: exposition.names[1]: expected openmetrics, single_underscore or mod_prometheus, got "mod-prometheus"',
    ],
    [
      'a duplicate naming scheme',
      'exposition: {names: [openmetrics, openmetrics]}',
      '1:35: exposition.names[1]: expected each naming scheme once, got "openmetrics"',
    ],
    [
      'an empty list of naming schemes',
      'exposition: {names: []}',
      '1:21: exposition.names: expected openmetrics, single_underscore or mod_prometheus, or a list of them, got an empty list',
    ],
    [
      'a number in place of a naming scheme',
      'exposition: {names: [openmetrics, 3]}',
      '1:35: exposition.names[1]: expected openmetrics, single_underscore or mod_prometheus, or a list of them, got 3',
    ],
    [
      'a mapping in place of a naming scheme',
      'exposition: {names: {openmetrics: true}}',
      '1:21: exposition.names: expected openmetrics, single_underscore or mod_prometheus, or a list of them, got a mapping',
    ],
    [
      'yes in place of true',
      'exposition: {created: yes}',
      '1:23: exposition.created: expected true or false, got "yes"',
    ],
    [
      'a true in quotes',
      'exposition: {created: "true"}',
      '1:23: exposition.created: expected true or false, got "true"',
    ],
    [
      'a negative number',
      'limits: {series: -1}',
      '1:18: limits.series: expected a whole number, 0 for no limit, got -1',
    ],
    [
      'a fraction',
      'limits: {label_value_length: 1.5}',
      '1:30: limits.label_value_length: expected a whole number, 0 for no limit, got 1.5',
    ],
    [
      'a number that is too large',
      'limits: {series: 1e20}',
      '1:18: limits.series: expected a whole number, 0 for no limit, got 100000000000000000000',
    ],
    [
      'a rule without a family',
      'registry:\n  drop:\n    - labels: {a: b}\n',
      '3:7: registry.drop[0].family: expected text, got nothing',
    ],
    [
      'a text in place of a rule',
      'registry: {drop: [a]}',
      '1:19: registry.drop[0]: expected a mapping, got text',
    ],
    [
      'an invalid expression',
      'registry: {drop: [{family: a)|(b}]}',
      '1:28: registry.drop[0].family: expected a regular expression, got "a)|(b"',
    ],
    [
      'an invalid expression for a label',
      'registry: {drop: [{family: a, labels: {host: "["}}]}',
      '1:46: registry.drop[0].labels.host: expected a regular expression, got "["',
    ],
    [
      'an invalid name of a label',
      'registry: {drop: [{family: a, labels: {a b: c}}]}',
      '1:40: registry.drop[0].labels."a b": expected a label name (letters, digits and _), got another name',
    ],
    [
      'a duplicate key',
      'collection:\n  min_age: 1s\n  min_age: 2s\n',
      '3:3: collection.min_age: expected once, got twice',
    ],
    [
      'a duplicate key in a list',
      'servers:\n  - domain: a\n    domain: b\n',
      '3:5: servers[0].domain: expected once, got twice',
    ],
    ['a duplicate section', 'limits: {}\nlimits: {}', '2:1: limits: expected once, got twice'],
    [
      'a list as a key',
      '? [a]\n: 1',
      '1:3: the file: expected a name as the key, got another value',
    ],
    [
      'an alias',
      'limits: {series: &a 1, label_value_length: *a}',
      '1:44: limits.label_value_length: expected a value, got an alias (*…)',
    ],
    ['a tab', 'limits:\n\tseries: 1', '2:1: YAML: expected spaces, got a tab'],
    [
      'an unclosed quote',
      `servers: [{domain: "${SECRET}`,
      '1:35: YAML: expected a colon after the key, or a closing quote or bracket, got none',
    ],
    [
      'two documents',
      'limits: {}\n---\nlimits: {}',
      '2:1: YAML: expected one YAML document, got several documents',
    ],
    [
      'a tag',
      'limits: {series: !many 1}',
      '1:18: YAML: expected a value without a tag, got an unsupported tag (!…)',
    ],
    [
      'two keys on one line',
      `servers: domain: ${SECRET}`,
      '1:10: YAML: expected one "key: value" on each line, got two on one line',
    ],
  ]
  for (const [name, yaml, expected] of cases) {
    test(name, () => {
      assert.equal(problem(yaml), expected)
    })
  }

  test('the message for invalid YAML never shows a value', () => {
    const breaks = [
      '"\\',
      '@',
      '`',
      '%',
      '*',
      '&',
      '!',
      '[',
      '{',
      '? ',
      '- ',
      '\t',
      '|',
      '>',
      '}',
      ':',
    ]
    for (const sign of [...breaks, ...breaks.map((each) => `${each} `)]) {
      for (const prefix of ['', 'servers: ', 'servers:\n  - domain: a\n   ', 'limits:\n']) {
        problem(`${prefix}${sign}${SECRET}\n a: b\nc`)
      }
    }
  })

  test('a file with very deep nesting', () => {
    for (const yaml of ['['.repeat(10_000), '{a: '.repeat(10_000), '- '.repeat(10_000)]) {
      assert.match(problem(yaml), /^1:\d+: .*: expected /)
    }
  })

  test('a file that cannot be read', () => {
    const missing = join(directory, 'none.yml')
    const read = (path: string) => problemOf(() => configOf([`--config.file=${path}`], ENV))
    assert.equal(read(missing), `--config.file: "${missing}" cannot be read: there is no such file`)
    assert.equal(read(directory), `--config.file: "${directory}" cannot be read: it is a directory`)
    assert.equal(read('/dev/zero'), '--config.file: "/dev/zero" cannot be read: it is not a file')
  })
})

describe('several servers', () => {
  const two = `servers:
  - {name: a, domain: stats.a.example, secret_file: both.secret, collectors: {ping: false}}
  - {domain: stats.b.example, service: xmpp://b, secret_file: both.secret, hosts: [b.example]}
`

  test('have their own settings, and are named by their name or their domain', () => {
    file('both.secret')
    const { servers } = config(two, ['--no-collector.users'], {})
    assert.deepEqual(
      servers.map(({ name, xmpp, hosts }) => [name, xmpp.service, xmpp.domain, hosts]),
      [
        ['a', 'xmpp://127.0.0.1:5347', 'stats.a.example', []],
        ['stats.b.example', 'xmpp://b', 'stats.b.example', ['b.example']],
      ],
    )
    const on = (name: string) => servers.map(({ collectors }) => collectors.get(name))
    assert.deepEqual(on('ping'), [false, true])
    assert.deepEqual(on('users'), [false, false], 'a flag applies to all servers')
  })

  const secondSecret = (name: string) => two.replace('both.secret, hosts', `${name}, hosts`)
  const ofSecret = (name: string) => `3:63: servers[1].secret_file: "${join(directory, name)}"`
  const cases: [string, string, string][] = [
    [
      'a duplicate name',
      two.replace('{domain: stats.b', '{name: a, domain: stats.b'),
      '3:12: servers[1].name: expected each name once, got "a"',
    ],
    [
      'a duplicate domain and no names',
      two.replaceAll('stats.b', 'stats.a').replace('name: a, ', ''),
      '3:14: servers[1].domain: expected a name, since another server has this domain, got "stats.a.example"',
    ],
    [
      'an invalid name',
      two.replace('name: a', 'name: "a b"'),
      '2:12: servers[0].name: expected a name of 1 to 100 characters without spaces, got "a b"',
    ],
    [
      'a missing domain',
      two.replace('domain: stats.b.example, ', ''),
      '3:5: servers[1]: expected a domain, got none',
    ],
    [
      'a missing key secret_file',
      two.replace(', secret_file: both.secret, hosts', ', hosts'),
      '3:5: servers[1]: expected a secret_file, got none',
    ],
    [
      'a secret file that does not exist',
      secondSecret('none.secret'),
      `3:63: servers[1].secret_file: there is no such file in "${directory}". Its name is hidden, because it may be the secret itself.`,
    ],
    [
      'a secret file that every user can read',
      secondSecret('open.secret'),
      `${ofSecret('open.secret')} can be read by every user of the machine: run chmod 600 on the file, or in a container mount it read-only`,
    ],
  ]
  for (const [name, yaml, expected] of cases) {
    test(`are refused with ${name}`, () => {
      file('both.secret')
      file('open.secret', SECRET, 0o604)
      assert.equal(problem(yaml, [], {}), expected)
    })
  }

  test('are refused with a flag or variable for a single server', () => {
    file('both.secret')
    const expected =
      'expected this setting with one server only, but the configuration file has 2 servers'
    const message = (args: string[], env: Env) => problemOf(() => config(two, args, env))
    assert.equal(message(['--xmpp.domain=c'], {}), `--xmpp.domain: ${expected}`)
    for (const name of ['XMPP_SECRET', 'XMPP_SERVICE', 'XMPP_HOST']) {
      const variable = `PROSODY_EXPORTER_${name}`
      assert.equal(message([], { [variable]: 'xmpp://x' }), `${variable}: ${expected}`)
    }
  })
})

describe('the section web', () => {
  const web = (yaml: string) => config(`web: { ${yaml} }`).web

  test('has the settings of its flags, and the flag overrides it', () => {
    assert.equal(web('fail_when_down: true').failWhenDown, true)
    const yaml = 'web: { fail_when_down: true }'
    assert.equal(config(yaml, ['--no-web.fail-when-down']).web.failWhenDown, false)
    const source = `${FILE}:1:21: web.socket_mode`
    for (const mode of ["'0660'", '0660', '660']) {
      const { socketAccess } = web(`socket_mode: ${mode}, socket_group: 33`)
      assert.deepEqual(socketAccess.mode, { value: 0o660, source })
      assert.equal(socketAccess.group?.id, 33)
    }
  })

  test('refuses an octal number without quotes', () => {
    // The YAML parser returns 432 for 0o660.
    const expected = 'expected an octal mode that lets the owner read and write, e.g. 0660'
    assert.equal(
      problem('web: { socket_mode: 0o660 }'),
      `1:21: web.socket_mode: ${expected}, got "432"`,
    )
  })
})

describe('the JSON schema for editors', () => {
  const shipped = readFileSync(join(root, 'config.schema.json'), 'utf8')
  const example = readFileSync(join(root, 'prosody-exporter.example.yml'), 'utf8')
  const editor = z.fromJSONSchema(JSON.parse(shipped) as Parameters<typeof z.fromJSONSchema>[0])

  test('is up to date (npm run schema writes it)', () => {
    assert.equal(shipped, formatJsonSchema())
  })

  test('accepts the example, as the exporter does', () => {
    const value: unknown = parse(example)
    assert.deepEqual(editor.parse(value), value)
    assert.deepEqual(configSchema.parse(value), value)
    const empty = { servers: null, collection: null, registry: { drop: null }, limits: {} }
    assert.deepEqual(editor.parse(empty), empty)
  })

  test('refuses what the exporter refuses', () => {
    for (const yaml of [
      'log: {}',
      'servers: []',
      'servers: [{name: "a b"}]',
      'servers: [{collectors: {pong: true}}]',
      'collection: {min_age: 5}',
      'collection: {min_age: 1m1h}',
      'exposition: {created: yes}',
      'exposition: {names: []}',
      'exposition: {names: prometheus}',
      'exposition: {names: [openmetrics, 3]}',
      'limits: {series: -1}',
      'web: {fail_when_down: 1}',
      'web: {socket_mode: "0460"}',
      'web: {socket_mode: [6]}',
      'web: {socket_group: true}',
      'web: {max_requests: 1}',
      'registry: {drop: [{labels: {}}]}',
      'registry: {drop: [{family: a, labels: {a-b: c}}]}',
    ]) {
      problem(yaml)
      assert.equal(editor.safeParse(parse(yaml)).success, false, yaml)
    }
  })

  test('describes every key', () => {
    for (const description of shipped.matchAll(/"description": "([^"]*)"/g)) {
      assert.match(description[1]!, /\.$/)
    }
    assert.ok(Array.from(shipped.matchAll(/"description"/g)).length >= 18)
  })

  test('is in the package, with the example', () => {
    const text = readFileSync(join(root, 'package.json'), 'utf8')
    const { files } = JSON.parse(text) as { files: string[] }
    assert.ok(files.includes('config.schema.json'))
    assert.ok(files.includes('prosody-exporter.example.yml'))
  })
})

test('the example has the defaults, and its commented lines are valid', () => {
  const yaml = readFileSync(join(root, 'prosody-exporter.example.yml'), 'utf8')
  const defaults = configOf([], ENV)
  const { servers, ...rest } = config(yaml)
  const { servers: otherServers, ...others } = defaults
  assert.deepEqual(rest, others)
  const [{ xmpp, ...server }, other] = [servers[0]!, otherServers[0]!]
  assert.equal(xmpp.service, other.xmpp.service)
  assert.deepEqual(server, { name: 'main', hosts: other.hosts, collectors: other.collectors })
  const uncommented = yaml.replace('  drop: []\n', '').replace(/^ {2}# (?=drop:$| {2})/gm, '  ')
  const rules = uncommented.slice(
    uncommented.indexOf('  drop:\n'),
    uncommented.indexOf('\nlimits:'),
  )
  assert.deepEqual(
    config(`registry:\n${rules}`).registry.drop.map(({ labels }) => labels.size),
    [0, 2],
  )
  const sections = yaml
    .slice(yaml.indexOf('# alerts:\n'))
    .replace(/^# (?=\w+:$| )/gm, '')
    // The example does not need this key, because it has one server.
    .replace(/^ {2}# (?=server:)/gm, '  ')
  const { alerts, chat, alertmanager } = parse(sections) as Record<string, object>
  configSchema.parse({ alerts, chat, alertmanager })
  const keys = Object.keys(alerts!)
  assert.deepEqual(keys, [
    'server',
    'to',
    'rooms',
    'nick',
    'token_file',
    'template',
    'correct_resolved',
  ])
  assert.deepEqual(
    [chat, alertmanager].map((each) => Object.keys(each!)),
    [['server', 'allow'], ['url']],
  )
})

test('alerts need recipients, but the token that a drop-in passes in a variable is harmless without them', () => {
  const token = join(directory, 'alerts-token')
  writeFileSync(token, 'a token\n', { mode: 0o600 })
  const env = { ...ENV, PROSODY_EXPORTER_ALERTS_TOKEN_FILE: token }
  assert.equal(config('', [], env).alerts, undefined)
  assert.deepEqual(config('alerts: { to: [A@b.example] }', [], env).alerts?.to, ['a@b.example'])
  assert.match(
    problem('alerts: { token_file: alerts-token }'),
    /: expected recipients of .*got none$/,
  )
})

test('each recipient of alerts, and each person in chat.allow, can be configured once', () => {
  const end = (yaml: string) => problem(yaml).split(': ').slice(-2).join(': ')
  const alerts = (lists: string) => end(`alerts: { ${lists}, token_file: alerts-token }`)
  const expected = 'expected each recipient of alerts once, got '
  assert.equal(
    alerts('to: [ops@b.example, OPS@B.example]'),
    `alerts.to[1]: ${expected}"OPS@B.example"`,
  )
  assert.equal(alerts('rooms: [a@b, c@d, A@b]'), `alerts.rooms[2]: ${expected}"A@b"`)
  assert.equal(alerts('to: [a@b], rooms: [c@d, A@b]'), `alerts.rooms[1]: ${expected}"A@b"`)
  assert.equal(
    end('chat: { allow: [a@b, A@b] }'),
    'chat.allow[1]: expected each person once, got "A@b"',
  )
})

test('a JID must have the form that Prosody uses, because its answers come from there', () => {
  const end = (jid: string) => problem(`chat: { allow: ["${jid}"] }`).split('expected ')[1]
  const cases = [
    ['straße@example.com', 'strasse@example.com'],
    ['ΟΔΟΣ@example.com', 'οδοσ@example.com'],
    ['οδος@example.com', 'οδοσ@example.com'],
    ['ﬁn①@example.com', 'fin1@example.com'],
    ['ᾳ@example.com', 'αι@example.com'],
    ['✉\ufe0f@example.com', '✉@example.com'],
    ['a@Straße.example', 'a@strasse.example'],
    ['a@ｅxample.com', 'a@example.com'],
  ] as const
  for (const [jid, form] of cases) {
    assert.equal(end(jid), `the form that Prosody uses, e.g. ${form}, got "${jid}"`)
  }
  assert.match(end('a＠b@example.com')!, /^a JID without a resource/)
  const allowed = [
    'İZMİR@Example.com',
    'ışık@example.com',
    'Zoe\u0308@exämple.com',
    'джон@пример.рф',
  ]
  const { chat } = config(`chat: { allow: [${allowed.map((jid) => `"${jid}"`).join()}] }`)
  assert.deepEqual(chat?.allow, [
    'i\u0307zmi\u0307r@example.com',
    'ışık@example.com',
    'zoë@exämple.com',
    'джон@пример.рф',
  ])
})

// Found by `npm run fuzz`: JSON.stringify leaves these characters as they are, and a terminal obeys them.
test('control characters and direction characters of a key are shown as numbers', () => {
  assert.ok(problem('"\x7f\x9b\u202e": 1\n').startsWith('1:1: "\\u007f\\u009b\\u202e": expected '))
})

// Found by `npm run fuzz`: the library showed the key's bytes in a warning on stderr.
test('a !!binary key is refused', () => {
  assert.equal(
    problem('? !!binary aGVsbG8=\n: 1\n').split(': ').at(-1),
    'expected a name as the key, got another value',
  )
})

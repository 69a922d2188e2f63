import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse } from 'yaml'
import type { ProsodyConfiguration } from '../../../../src/cli/setup/prosody-installation.js'
import {
  checkComponent,
  checkDomain,
  checkStatistics,
  chooseComponentPath,
  chooseService,
  planExporterFiles,
  proposeDomain,
  renderComponentFile,
} from '../../../../src/cli/setup/setup-plan.js'

const host = (name: string) => ({ name, has_secret: false })

/** The configuration of a Prosody as Debian installs it, with other values of some options. */
const configurationWith = (changes: Partial<ProsodyConfiguration> = {}): ProsodyConfiguration => ({
  version: '13.0.1',
  config_file: '/etc/prosody/prosody.cfg.lua',
  hosts: [host('localhost'), host('example.com')],
  included: '/etc/prosody/conf.d/prosody-exporter.cfg.lua',
  component_ports: [5347],
  component_interfaces: ['127.0.0.1', '::1'],
  has_plugin_paths: true,
  plugin_paths: ['/usr/local/lib/prosody/modules'],
  plugin_directories: ['/usr/local/lib/prosody/modules', '/usr/lib/prosody/modules'],
  run_as_root: false,
  group: 'prosody',
  ...changes,
})

test('setup proposes a domain below the first VirtualHost that is not localhost', () => {
  const muc = { ...host('rooms.example.com'), component: 'muc' }
  assert.equal(proposeDomain(configurationWith()), 'stats.example.com')
  assert.equal(proposeDomain(configurationWith({ hosts: [host('localhost')] })), 'stats.localhost')
  assert.equal(proposeDomain(configurationWith({ hosts: [muc, host('b')] })), 'stats.b')
  assert.throws(() => proposeDomain(configurationWith({ hosts: [muc] })), /no VirtualHost yet/)
})

test('setup does not propose a domain for a VirtualHost that has no domain as its name', () => {
  for (const name of ['a"b', 'a\nb', 'example.com.', 'a b']) {
    assert.throws(
      () => proposeDomain(configurationWith({ hosts: [host(name)] })),
      (error: Error) => error.message.includes(`${JSON.stringify(name)} is not a domain`),
    )
  }
})

test('the configuration of the exporter has each domain as text', () => {
  for (const domain of ['stats.example.com', '123', 'null', '1e3', 'stats.münchen.example']) {
    const [{ content } = { content: '' }] = planExporterFiles({
      domain,
      service: 'xmpp://127.0.0.1:5347',
      secret: 'x',
    })
    const { servers } = parse(content) as { servers: { domain: unknown }[] }
    assert.deepEqual(
      servers.map((server) => server.domain),
      [domain],
    )
  }
})

test('setup checks what Prosody reads together with the file of setup', () => {
  const component = (name: string) => ({ name, component: 'component', has_secret: true })
  const without = configurationWith()
  const check = (changes: Partial<ProsodyConfiguration>) => {
    const hosts = [...without.hosts, component('stats.example.com')]
    checkComponent(
      'stats.example.com',
      without,
      configurationWith({ hosts, statistics: 'internal', ...changes }),
    )
  }
  check({})
  assert.throws(() => {
    check({ statistics: false })
  }, /turns off the statistics.*Remove the line statistics = false/)
  assert.throws(() => {
    check({ statistics: 'statsd' })
  }, /the exporter needs "internal"/)
  assert.throws(() => {
    check({ hosts: without.hosts })
  }, /Prosody does not read the component "stats\.example\.com"/)
  assert.throws(() => {
    check({ hosts: [...without.hosts, component('strasse.example')] })
  }, /Use that name: --domain=strasse\.example/)
})

test('setup refuses the name of a host of Prosody', () => {
  const component = { name: 'stats.b', component: 'component', has_secret: true }
  const configuration = configurationWith({ hosts: [host('b'), component] })
  checkDomain('stats.example.com', configuration)
  assert.throws(() => {
    checkDomain('b', configuration)
  }, /already has a VirtualHost "b"\. Choose another name with --domain/)
  assert.throws(() => {
    checkDomain('stats.b', configuration)
  }, /external component "stats\.b".*run prosody-exporter doctor/)
})

test('setup connects to the first component port, on a loopback address', () => {
  const serviceWith = (component_ports: number[], component_interfaces: string[]) =>
    chooseService(configurationWith({ component_ports, component_interfaces }))
  assert.equal(serviceWith([5347], ['127.0.0.1', '::1']), 'xmpp://127.0.0.1:5347')
  assert.equal(serviceWith([5348, 5347], ['*']), 'xmpp://127.0.0.1:5348')
  assert.equal(serviceWith([5347], ['::1']), 'xmpp://[::1]:5347')
  assert.equal(serviceWith([5347], ['::']), 'xmpp://[::1]:5347')
  assert.throws(() => serviceWith([], ['*']), /component_ports is empty/)
  assert.throws(() => serviceWith([5347], ['10.0.0.5']), /10\.0\.0\.5 only.*component_interfaces/)
})

test('the file of setup has the component and only the options that the configuration does not set', () => {
  const render = (changes: Partial<ProsodyConfiguration> = {}, hasModuleFiles = false) => {
    const file = { path: '/m', content: '', mode: 0o644, groupId: 0 }
    const text = renderComponentFile({
      domain: 'stats.example.com',
      secret: 'xyzzy',
      configuration: configurationWith(changes),
      moduleFiles: hasModuleFiles ? [file] : [],
    })
    return text.split('\n').filter((line) => /^\w/.test(line))
  }
  const component = 'Component "stats.example.com"'
  const [internal, manual] = ['statistics = "internal"', 'statistics_interval = "manual"']
  assert.deepEqual(render(), [internal, manual, component])
  assert.deepEqual(render({ statistics: 'internal' }), [manual, component])
  const interval = { statistics: 'internal', statistics_interval: 60 }
  assert.deepEqual(render(interval), [component])
  assert.deepEqual(render({ version: '0.11.9' })[1], 'statistics_interval = 15')
  assert.deepEqual(render({ ...interval, has_plugin_paths: false }), [component])
  assert.deepEqual(render({ ...interval, has_plugin_paths: false }, true), [
    'plugin_paths = { "/usr/local/lib/prosody/modules" }',
    component,
  ])
})

test('a secret that the operator has chosen stays inside its string', () => {
  const text = renderComponentFile({
    domain: 'stats.example.com',
    secret: 'a"b\\c\nd',
    configuration: configurationWith(),
    moduleFiles: [],
  })
  assert.match(text, /^ {4}component_secret = "a\\"b\\\\c\\nd"$/m)
})

test('setup refuses a Prosody that sends its statistics to another program', () => {
  checkStatistics(configurationWith({ statistics: 'internal' }))
  assert.throws(() => {
    checkStatistics(configurationWith({ statistics: 'statsd' }))
  }, /statistics = "statsd", and the exporter needs "internal"/)
})

test('if the configuration includes no directory, the file of setup is next to prosody.cfg.lua', () => {
  const { included, ...others } = configurationWith()
  assert.equal(chooseComponentPath(configurationWith()), included)
  assert.equal(chooseComponentPath(others), '/etc/prosody/prosody-exporter.cfg.lua')
})

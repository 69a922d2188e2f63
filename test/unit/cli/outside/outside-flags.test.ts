import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseOutsideFlags } from '../../../../src/cli/outside/outside-flags.js'
import { ConfigError } from '../../../../src/errors.js'

const fails = (args: readonly string[], message: RegExp) => {
  assert.throws(
    () => parseOutsideFlags(args),
    (error) => {
      assert.ok(error instanceof ConfigError)
      assert.match(error.message, /^[\x20-\x7e]{1,300}$/)
      assert.match(error.message, message)
      assert.doesNotMatch(error.message, /hidden/)
      return true
    },
  )
}

test('without flags, both sides and the web services are checked', () => {
  assert.deepEqual(parseOutsideFlags(['example.org']), {
    domain: 'example.org',
    isJson: false,
    isVerbose: false,
    sides: ['client', 'server'],
    nameServers: [],
    allowPrivate: false,
    s2sFrom: undefined,
    timeoutMs: 10_000,
    checksWeb: true,
  })
})

test('flags can be before and after the domain, and with one dash', () => {
  const args = [
    ...['--json', '-verbose', '--sides=server', 'example.org', '--name-server', '192.0.2.1'],
    ...['--name-server=[2001:db8::1]:5353', '--allow-private', '--s2s-from=Other.example'],
    ...['--timeout=2s', '--no-web'],
  ]
  assert.deepEqual(parseOutsideFlags(args), {
    domain: 'example.org',
    isJson: true,
    isVerbose: true,
    sides: ['server'],
    nameServers: ['192.0.2.1', '[2001:db8::1]:5353'],
    allowPrivate: true,
    s2sFrom: 'other.example',
    timeoutMs: 2000,
    checksWeb: false,
  })
})

test('a domain is compared in lower case, with A-labels and without a dot at the end', () => {
  const domains = {
    'Example.ORG': 'example.org',
    'example.org.': 'example.org',
    'bücher.example': 'xn--bcher-kva.example',
    'xn--bcher-kva.example': 'xn--bcher-kva.example',
  }
  for (const [text, domain] of Object.entries(domains)) {
    assert.equal(parseOutsideFlags([text]).domain, domain)
  }
})

describe('an argument that is not a domain is refused', () => {
  const texts = {
    '192.0.2.1': /got an IP address$/,
    '2001:db8::1': /got an IP address$/,
    '[2001:db8::1]': /got an IP address$/,
    'https://user:hidden@example.org/': /got a URL$/,
    'xmpp://example.org': /got a URL$/,
    'user@example.org': /got a JID\. Use only its domain/,
    'example.org/resource': /got a JID/,
    'example.org:5222': /got a port too/,
    '': /got ""$/,
    'a b': /got "a b"$/,
    '-': /got "-"$/,
    'a..b': /got "a\.\.b"$/,
    '1.2': /got "1\.2"$/,
    '0x7f.1': /got "0x7f\.1"$/,
    'a\u001b[2J': /got "a\\u001b\[2J"$/,
    [`${'a'.repeat(64)}.example`]: /got "a+/,
  }
  for (const [text, message] of Object.entries(texts)) {
    test(JSON.stringify(text), () => {
      fails([text], message)
    })
  }
})

test('wrong flags are refused', () => {
  fails([], /^outside: expected one domain\. See: prosody-exporter outside --help$/)
  fails(['a.example', 'b.example'], /expected one domain/)
  fails(['a.example', '--loud'], /Unknown option '--loud'.* See: prosody-exporter outside --help$/)
  fails(['a.example', '--json=yes'], /--json/)
  fails(
    ['a.example', '--sides=clients'],
    /^--sides: expected client, server or both, got "clients"$/,
  )
  fails(['a.example', '--sides='], /^--sides: expected client, server or both$/)
  fails(['a.example', '--name-server=ns.example'], /^--name-server: expected the IP address/)
  fails(['a.example', '--name-server=192.0.2.1:0'], /^--name-server: expected the IP address/)
  fails(['a.example', '--s2s-from=192.0.2.1'], /^--s2s-from: expected a domain/)
  fails(['a.example', '--timeout=10'], /^--timeout: expected /)
  fails(['a.example', '--timeout=1h'], /^--timeout: expected /)
})

test('sides can be separated by a comma or repeated, in any order', () => {
  const both = ['client', 'server']
  assert.deepEqual(parseOutsideFlags(['a.example', '--sides=server,client']).sides, both)
  assert.deepEqual(parseOutsideFlags(['--sides=server', '--sides=client', 'a.example']).sides, both)
})

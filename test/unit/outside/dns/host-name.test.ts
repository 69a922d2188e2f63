import assert from 'node:assert/strict'
import { test } from 'node:test'
import { normalizeHostName } from '../../../../src/outside/dns/host-name.js'

const VALID = {
  'example.net': 'example.net',
  'Chat.EXAMPLE.net.': 'chat.example.net',
  'bücher.example': 'xn--bcher-kva.example',
  'BÜCHER.example': 'xn--bcher-kva.example',
  localhost: 'localhost',
  '1and1.example': '1and1.example',
  '3.example': '3.example',
  'xmpp_1.example.net': 'xmpp_1.example.net',
  [`${'a'.repeat(63)}.example`]: `${'a'.repeat(63)}.example`,
}

const INVALID = [
  ...['', '.', '..', 'a..b', '.a', 'a..', '-a.example', 'a-.example', 'a b.example'],
  ...['192.0.2.1', '192.0.2.1.', '1.2.3', '0x7f.1', '2001:db8::1', '[2001:db8::1]', 'example.1'],
  ...['a/b', 'a@b', 'a:80', 'a\0b', 'a\nb', 'a\\032b', 'a%20b', '"a"', '<b>', '*.example'],
  ...[`${'a'.repeat(64)}.example`, `${'abcdefg.'.repeat(32)}example`],
]

for (const [text, expected] of Object.entries(VALID)) {
  test(`host name: ${text}`, () => {
    assert.equal(normalizeHostName(text), expected)
  })
}

for (const text of INVALID) {
  test(`no host name: ${JSON.stringify(text)}`, () => {
    assert.equal(normalizeHostName(text), undefined)
  })
}

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { readLoadedCertificates } from '../../../src/outside/loaded-certificates.js'
import { gauge, type Labels } from '../../support/summary-families.js'

const A = 'a'.repeat(64)
const B = '0b'.repeat(32)

const info = (...rows: readonly Labels[]) =>
  gauge('xmpp_certificate_info', ...rows.map((labels) => [labels, 1] as const))

describe('the certificates that Prosody has loaded', () => {
  test('are those of all services of a host together', () => {
    const families = [
      gauge('xmpp_certificate_reload_needed', [{ host: 'none.example' }, 1]),
      info(
        { host: 'one.example', service: 'c2s', sha256: A },
        { host: 'one.example', service: 's2s', sha256: A },
        { host: 'one.example', service: 'https', sha256: B },
        { host: 'two.example', service: '', sha256: B },
      ),
    ]
    assert.deepEqual(
      readLoadedCertificates(families),
      new Map([
        ['one.example', new Set([A, B])],
        ['two.example', new Set([B])],
      ]),
    )
  })

  test('are unknown without the family, and without series', () => {
    assert.equal(readLoadedCertificates([]).size, 0)
    assert.equal(readLoadedCertificates([info()]).get('one.example'), undefined)
  })

  test('have hosts in lower case with A-labels, also if the same host has both forms', () => {
    const loaded = readLoadedCertificates([
      info(
        { host: 'bücher.example', service: '', sha256: A },
        { host: 'xn--bcher-kva.example', service: '', sha256: B.toUpperCase() },
      ),
    ])
    assert.deepEqual(loaded, new Map([['xn--bcher-kva.example', new Set([A, B])]]))
  })

  test('of several servers are read together', () => {
    const families = [A, B].map((sha256) => info({ host: 'one.example', service: '', sha256 }))
    assert.deepEqual(readLoadedCertificates(families).get('one.example'), new Set([A, B]))
  })

  test('ignore rows without a valid host or fingerprint, and rows that are not exposed', () => {
    const rows = info(
      { host: 'one.example', service: '' },
      { host: 'one.example', service: '', sha256: A.slice(1) },
      { host: '', service: '', sha256: A },
      { service: '', sha256: A },
      { host: 'a b', service: '', sha256: A },
      { host: 'old.example', service: '', sha256: A },
      { host: 'two.example', service: '', sha256: A },
    )
    const exposed = { ...rows, order: rows.order.filter((row) => row !== 5) }
    assert.deepEqual(readLoadedCertificates([exposed]), new Map([['two.example', new Set([A])]]))
  })
})

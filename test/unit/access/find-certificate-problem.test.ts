import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findCertificateProblem } from '../../../src/access/find-certificate-problem.js'
import { selfSigned } from '../../support/certificate.js'

const DAY_MS = 86_400_000

test('the exporter reports that its own certificate has expired or is not valid yet', () => {
  // The certificate is valid for two days: from yesterday to tomorrow.
  const tls = { options: selfSigned(), auth: 'NoClientCert', allowedSans: undefined } as const
  const at = (days: number) => findCertificateProblem(tls, new Date(Date.now() + days * DAY_MS))
  assert.equal(at(0), undefined)
  assert.match(at(2) ?? '', /^The TLS certificate of the exporter expired on \d{4}-\d\d-\d\d\. /)
  assert.match(at(-2) ?? '', /^The TLS certificate of the exporter is not valid before \d{4}-/)
})

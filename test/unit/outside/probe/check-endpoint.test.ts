import assert from 'node:assert/strict'
import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { suite, test, type TestContext } from 'node:test'
import type { TlsOptions } from 'node:tls'
import type { SrvService } from '../../../../src/outside/outside-check.js'
import { CERTIFICATE_REQUIRED } from '../../../../src/outside/probe/name-failure.js'
import type { ProblemCode } from '../../../../src/outside/problem-severity.js'
import { createCertificate, generalName } from '../../../support/certificate.js'
import * as server from '../../../support/outside-endpoint.js'
import {
  createTestTrust,
  problemsOf,
  reachTls,
  type Script,
} from '../../../support/outside-endpoint.js'

const { DOMAIN, header, STARTTLS, SASL, PROCEED, DIALBACK, goodTls, healthyServer } = server

const trust = await createTestTrust()

type Check = {
  readonly service?: SrvService
  readonly domain?: string
  readonly timeoutMs?: number
  readonly s2sFrom?: string
}

async function check(t: TestContext, check: Check, ...scripts: readonly Script[]) {
  const { port, received, connections } = await server.withScriptedServer(t, ...scripts)
  const result = await server.probe({ port, trust, ...check })
  return { result, received, connections }
}

/** Answers the header of a stream with a text, and ends the connection. */
const answer =
  (text: string | Buffer): Script =>
  async (peer) => {
    await peer.receive(/<stream:stream/)
    peer.send(text)
    peer.socket().end()
  }

/** Sends a text when the connection opens. */
const greet =
  (text: string): Script =>
  (peer) => {
    peer.send(text)
  }

const silent: Script = () => undefined
const close: Script = async (peer) => {
  await peer.receive(/./)
  peer.socket().destroy()
}

/** Reaches TLS, waits for the header of the stream, and answers with a text. */
const answerInside =
  (text: string, options: Parameters<typeof reachTls>[1] = {}, isEnd = true): Script =>
  async (peer) => {
    await reachTls(peer, options)
    await peer.receive(/<stream:stream/)
    peer.send(text)
    if (isEnd) peer.socket().end()
  }

const DIRECT = { isDirect: true }
const streamError = (condition: string, text = '') =>
  `<stream:error><${condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>${text}</stream:error></stream:stream>`

suite('a healthy endpoint', { concurrency: true }, () => {
  for (const [service, options] of [
    ['xmpp-client', {}],
    ['xmpps-client', DIRECT],
    ['xmpp-server', { xmlns: 'jabber:server', features: DIALBACK }],
    ['xmpps-server', { ...DIRECT, xmlns: 'jabber:server', features: DIALBACK }],
  ] as const) {
    test(`${service} has no problem, and the stream ends orderly`, async (t) => {
      const { result, received, connections } = await check(t, { service }, healthyServer(options))
      assert.deepEqual(problemsOf(result), [])
      assert.equal(result.isUp, true)
      assert.deepEqual(Object.keys(result.seconds), [
        'tcp',
        ...(service.startsWith('xmpps') ? [] : ['starttls']),
        'tls',
        'stream',
      ])
      assert.deepEqual(result.tls, { version: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384' })
      assert.deepEqual(result.certificate?.names, [DOMAIN])
      assert.equal(result.certificate.issuer, 'Test Intermediate')
      const isServer = service.endsWith('server')
      assert.deepEqual(result.mechanisms, isServer ? [] : ['SCRAM-SHA-1', 'PLAIN'])
      assert.equal(result.offersDialback, isServer ? true : undefined)
      assert.match(received(), /<\/stream:stream>$/)
      assert.doesNotMatch(received(), /<auth|from=/)
      assert.equal(connections(), 1)
    })
  }

  test('SNI, ALPN and the name of the asking server are sent', async (t) => {
    const names: unknown[] = []
    const options: TlsOptions = {
      ...goodTls,
      ALPNCallback: ({ servername, protocols }) => {
        names.push(servername, protocols)
        return 'xmpp-server'
      },
    }
    const script = healthyServer({
      ...DIRECT,
      options,
      xmlns: 'jabber:server',
      features: DIALBACK,
    })
    const { result, received } = await check(
      t,
      { service: 'xmpps-server', s2sFrom: 'asking.example' },
      script,
    )
    assert.deepEqual(problemsOf(result), [])
    assert.deepEqual(names, [DOMAIN, ['xmpp-server']])
    assert.match(received(), /to="one\.example"[^>]*xmlns="jabber:server"/)
    assert.match(received(), /from="asking\.example"/)
  })

  test('mechanisms of SASL2 and channel bindings are read', async (t) => {
    const features = `<stream:features>
      <authentication xmlns='urn:xmpp:sasl:2'><mechanism>SCRAM-SHA-256-PLUS</mechanism></authentication>
      <sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/></sasl-channel-binding>
      </stream:features>`
    const { result } = await check(t, {}, healthyServer({ features }))
    assert.deepEqual(problemsOf(result), [])
    assert.deepEqual(result.mechanisms, ['SCRAM-SHA-256-PLUS'])
    assert.deepEqual(result.channelBindings, ['tls-exporter'])
  })

  test('features that arrive byte by byte are read', async (t) => {
    const { result } = await check(t, {}, async (peer) => {
      await reachTls(peer)
      await peer.receive(/<stream:stream/)
      for (const byte of header() + SASL) {
        await new Promise((resolve) => peer.socket().write(byte, resolve))
      }
      await peer.receive(/<\/stream:stream>/)
      peer.socket().end('</stream:stream>')
    })
    assert.deepEqual(problemsOf(result), [])
  })
})

/** The faults that one connection shows. The text is the beginning of the problem and its detail. */
const FAULTS: readonly (readonly [
  name: string,
  expected: ProblemCode | `${ProblemCode}: ${string}` | typeof CERTIFICATE_REQUIRED,
  script: Script | readonly Script[],
  check?: Check,
])[] = [
  ['a server that is silent', 'no_response', silent, { timeoutMs: 1000 }],
  ['a server that closes', 'connection_reset', close],
  [
    'HTTP',
    'http_server',
    answer('HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n<html>'),
  ],
  ['SSH', 'ssh_server', greet('SSH-2.0-OpenSSH_9.2p1\r\n')],
  ['SMTP', 'not_xmpp: SMTP', greet('220 mail.example ESMTP\r\n')],
  ['an unknown protocol', 'not_xmpp: \uFFFD]0;title\uFFFDhello', answer('\x1b]0;title\x07hello\n')],
  ['a few bytes', 'not_xmpp: abc', answer('abc')],
  ['a few bytes and silence', 'not_xmpp: abc', greet('abc'), { timeoutMs: 1000 }],
  ['HTML', 'not_xmpp: <html>', answer('<html><body>hello</body></html>')],
  [
    'a slow drip without an end',
    'not_xmpp',
    async (peer) => {
      peer.send('<')
      for (;;) {
        await new Promise((resolve) => peer.socket().write('a', resolve))
        await new Promise(setImmediate)
        if (peer.socket().destroyed) return
      }
    },
    { timeoutMs: 1000 },
  ],
  ['a TLS alert', 'tls_unexpected', answer(Buffer.from([0x15, 3, 3, 0, 2, 2, 10]))],
  ['TLS where STARTTLS is announced', 'tls_unexpected', [close, (peer) => peer.secure()]],
  ['the port of servers', 'wrong_service: jabber:server', answer(header('jabber:server'))],
  [
    'the port of clients',
    'wrong_service: jabber:client',
    answer(header('jabber:client')),
    { service: 'xmpp-server' },
  ],
  [
    'an error about the namespace',
    'wrong_service: invalid-namespace',
    answer(header() + streamError('invalid-namespace')),
  ],
  ['another host', 'host_unknown: host-unknown', answer(header() + streamError('host-unknown'))],
  [
    'a stream error',
    'stream_error: policy-violation: go\uFFFDaway',
    answer(header() + streamError('policy-violation', '<text>go\u202eaway</text>')),
  ],
  ['the end in the middle', 'stream_closed', answer(header())],
  [
    'a header without features',
    'features_missing',
    async (peer) => {
      await peer.receive(/<stream/)
      peer.send(header())
    },
    { timeoutMs: 1000 },
  ],
  ['a stanza instead of features', 'features_missing: message', answer(`${header()}<message/>`)],
  ['no STARTTLS', 'starttls_missing', answer(header() + SASL)],
  [
    'STARTTLS that is refused',
    'starttls_refused: failure',
    async (peer) => {
      await peer.receive(/<stream:stream/)
      peer.send(header() + STARTTLS)
      await peer.receive(/<starttls/)
      peer.send("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>")
    },
  ],
  [
    'TLS that never ends',
    'tls_timeout',
    async (peer) => {
      await peer.receive(/<stream:stream/)
      peer.send(header() + STARTTLS)
      await peer.receive(/<starttls/)
      peer.send(PROCEED)
    },
    { timeoutMs: 1000 },
  ],
  [
    'a server that closes after it agreed to TLS',
    'tls_failed',
    async (peer) => {
      await peer.receive(/<stream:stream/)
      peer.send(header() + STARTTLS)
      await peer.receive(/<starttls/)
      peer.socket().end(PROCEED)
    },
  ],
  [
    'no common cipher',
    'tls_failed: alert handshake failure',
    async (peer) => {
      await peer.receive(/<stream:stream/)
      peer.send(header() + STARTTLS)
      await peer.receive(/<starttls/)
      peer.send(PROCEED)
      await peer.receive(/^\x16/)
      // RFC 5246 §7.2: a fatal alert, handshake_failure.
      peer.send(Buffer.from([0x15, 3, 3, 0, 2, 2, 40]))
    },
  ],
  [
    'direct TLS: a name without a certificate',
    'host_unknown: the server has no certificate for the domain',
    async (peer) => {
      await peer.receive(/^\x16/)
      // RFC 6066 §3: a fatal alert, unrecognized_name.
      peer.send(Buffer.from([0x15, 3, 3, 0, 2, 2, 112]))
    },
    { service: 'xmpps-client' },
  ],
  ['silence after TLS', 'no_response', (peer) => reachTls(peer), { timeoutMs: 2000 }],
  ['an end after TLS', 'stream_closed', answerInside('')],
  ['HTTP after STARTTLS', 'tls_without_xmpp: http', answerInside('HTTP/1.1 200 OK\r\n\r\n')],
  ['an end before the features', 'stream_closed', answerInside(header())],
  [
    'a host that is unknown after TLS',
    'host_unknown',
    answerInside(header() + streamError('host-unknown')),
  ],
  ['no mechanism', 'mechanisms_missing', answerInside(`${header()}<stream:features/>`)],
  [
    'an error that says that there are no features',
    'mechanisms_missing',
    answerInside(
      header() + streamError('undefined-condition', '<text>No stream features to offer</text>'),
    ),
  ],
  [
    'neither SASL nor dialback',
    's2s_auth_missing',
    answerInside(`${header('jabber:server')}<stream:features/>`, { xmlns: 'jabber:server' }),
    { service: 'xmpp-server' },
  ],
  [
    'no features because of a missing certificate',
    CERTIFICATE_REQUIRED,
    answerInside(`${header('jabber:server')}<stream:features/>`, {
      xmlns: 'jabber:server',
      options: { ...goodTls, requestCert: true, rejectUnauthorized: false },
    }),
    { service: 'xmpp-server' },
  ],
  [
    'a stream error because of a missing certificate',
    CERTIFICATE_REQUIRED,
    answerInside(header('jabber:server') + streamError('not-authorized'), {
      xmlns: 'jabber:server',
    }),
    { service: 'xmpp-server' },
  ],
  [
    'clients: a stream error not-authorized',
    'stream_error: not-authorized',
    answerInside(header() + streamError('not-authorized')),
  ],
  ['direct TLS: silence', 'no_response', silent, { service: 'xmpps-client', timeoutMs: 1000 }],
  ['direct TLS: a server that closes', 'connection_reset', close, { service: 'xmpps-client' }],
  [
    'direct TLS: XMPP without TLS',
    'tls_missing',
    [
      async (peer) => {
        await peer.receive(/./)
        peer.send(header() + streamError('not-well-formed'))
      },
      answer(header() + STARTTLS),
    ],
    { service: 'xmpps-client' },
  ],
  [
    'direct TLS: HTTP without TLS',
    'http_server',
    async (peer) => {
      await peer.receive(/./)
      peer.socket().end('HTTP/1.1 400 Bad Request\r\n\r\n')
    },
    { service: 'xmpps-client' },
  ],
  [
    'direct TLS: SSH',
    'ssh_server',
    greet('SSH-2.0-OpenSSH_9.2p1\r\n'),
    { service: 'xmpps-client' },
  ],
  [
    'direct TLS: HTTPS',
    'tls_without_xmpp: http',
    answerInside('HTTP/1.1 400 Bad Request\r\n\r\n', DIRECT),
    { service: 'xmpps-client' },
  ],
  [
    'direct TLS: silence inside TLS',
    'tls_without_xmpp: nothing arrived inside TLS',
    (peer) => peer.secure(),
    { service: 'xmpps-client', timeoutMs: 2000 },
  ],
  [
    'direct TLS: HTTPS that rejects the ALPN protocol',
    'tls_without_xmpp: the server rejects the ALPN protocol of XMPP',
    (peer) => peer.secure({ ...goodTls, ALPNProtocols: ['h2', 'http/1.1'] }),
    { service: 'xmpps-client' },
  ],
]

suite('each fault is named as itself', { concurrency: true }, () => {
  for (const [name, expected, scripts, options = {}] of FAULTS) {
    test(`${name}: ${expected}`, async (t) => {
      const list = typeof scripts === 'function' ? [scripts] : scripts
      const { result } = await check(t, options, ...list)
      if (expected === CERTIFICATE_REQUIRED) {
        assert.deepEqual(problemsOf(result), [])
        assert.equal(result.requiresCertificate, true)
        return
      }
      const [found = '', ...more] = problemsOf(result)
      assert.deepEqual(more, [])
      assert.ok(found === expected || found.startsWith(expected), found)
      assert.equal(found.split(':')[0], expected.split(':')[0])
      assert.equal(result.isUp, false)
    })
  }

  for (const [version, expected] of [
    ['TLSv1.2', []],
    ['TLSv1.1', ['tls_too_old: TLSv1.1']],
    ['TLSv1', ['tls_too_old: TLSv1']],
  ] as const) {
    test(`a server that offers only ${version}`, async (t) => {
      const options: TlsOptions = {
        ...{ ...goodTls, minVersion: 'TLSv1', maxVersion: version },
        ciphers: 'DEFAULT@SECLEVEL=0',
      }
      const { result } = await check(t, {}, healthyServer({ options }))
      assert.deepEqual(problemsOf(result), expected)
      assert.equal(result.tls?.version, version)
    })
  }

  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    test(`a server that needs the certificate of the other server, with ${maxVersion}`, async (t) => {
      const options = {
        ...goodTls,
        ...{ ca: server.testAuthorities.root.cert, maxVersion, requestCert: true },
        rejectUnauthorized: true,
      }
      const { result } = await check(t, { service: 'xmpp-server' }, async (peer) => {
        await reachTls(peer, { options, xmlns: 'jabber:server' })
      })
      assert.deepEqual(result.problems, [])
      assert.equal(result.requiresCertificate, true)
    })
  }

  test('mechanisms before TLS are a warning', async (t) => {
    const both = STARTTLS.replace('</stream:features>', SASL.replace('<stream:features>', ''))
    const { result } = await check(t, {}, async (peer) => {
      await peer.receive(/<stream:stream/)
      peer.send(header() + both)
      await peer.receive(/<starttls/)
      peer.send(PROCEED)
      await healthyServer(DIRECT)(peer)
    })
    assert.deepEqual(problemsOf(result), ['starttls_optional: SCRAM-SHA-1, PLAIN'])
    assert.equal(result.isUp, true)
  })

  test('a closed port', async () => {
    const closed = createServer()
    closed.listen(0, '127.0.0.1')
    await once(closed, 'listening')
    const { port } = closed.address() as AddressInfo
    closed.close()
    await once(closed, 'close')
    const result = await server.probe({ port, trust })
    assert.deepEqual(problemsOf(result), ['connection_refused'])
    assert.deepEqual(result.problems[0], {
      ...{ code: 'connection_refused', service: 'xmpp-client', family: 'ipv4' },
      target: `xmpp.one.example:${port}`,
    })
  })

  test('an address that cannot be reached', async () => {
    // TCP has no broadcast, so the system refuses the connection itself.
    const result = await server.probe({ port: 5222, addresses: ['255.255.255.255'], trust })
    assert.equal(result.problems[0]?.code, 'network_unreachable')
  })
})

suite('the certificate', { concurrency: true }, () => {
  const { root, intermediate } = server.testAuthorities
  const day = (days: number) => new Date(Date.now() + days * 86_400_000)
  const onDay = (date: Date) => date.toISOString().slice(0, 10)
  const chain = (request: Parameters<typeof server.createLeaf>[0], ...more: readonly string[]) => {
    const leaf = server.createLeaf(request)
    return { key: leaf.key, cert: [leaf.cert, ...more].join('') }
  }
  const other = createCertificate({ subject: 'Another Root', isAuthority: true })
  const expiredIntermediate = createCertificate({
    ...{ subject: 'Old Intermediate', issuer: root, isAuthority: true },
    ...{ from: day(-20), to: day(-10) },
  })
  const sent = intermediate.cert
  // The same authorities with other certificates, as a server sends them for old clients.
  const old = { from: day(-90), to: day(-2) }
  const oldCopy = createCertificate({
    ...{ subject: 'Test Intermediate', issuer: root, isAuthority: true, keyOf: intermediate },
    ...old,
  }).cert
  const oldRoot = createCertificate({ subject: 'Old Root', isAuthority: true, ...old })
  const crossSigned = createCertificate({
    ...{ subject: 'Test Root', issuer: oldRoot, isAuthority: true, keyOf: root },
  }).cert
  const strangers = Array.from({ length: 12 }, (_, i) =>
    createCertificate({ subject: `Stranger ${i}`, isAuthority: true }),
  )
  const idn = 'xn--bcher-kva.example'
  const cases: readonly (readonly [string, TlsOptions, readonly string[]])[] = [
    ['that has expired', chain({ from: day(-9), to: day(-2) }, sent), [`certificate_expired: ${onDay(day(-2))}`]], // prettier-ignore
    ['that is not yet valid', chain({ from: day(2) }, sent), [`certificate_not_yet_valid: ${onDay(day(2))}`]], // prettier-ignore
    ['that expires soon', chain({ to: day(13) }, sent), [`certificate_expires_soon: ${onDay(day(13))}`]], // prettier-ignore
    ['that expires later', chain({ to: day(15) }, sent), []],
    ['for another name', chain({ names: [generalName.dns('two.example')] }, sent), ['certificate_wrong_name: two.example']], // prettier-ignore
    ['with a common name alone', chain({ names: [] }, sent), ['certificate_wrong_name: only the common name one.example']], // prettier-ignore
    ['with an XmppAddr', chain({ names: [generalName.xmpp(DOMAIN)] }, sent), []],
    ['with an SRV-ID', chain({ names: [generalName.srv(`_xmpp-client.${DOMAIN}`)] }, sent), []],
    ['with the SRV-ID of servers', chain({ names: [generalName.srv(`_xmpp-server.${DOMAIN}`)] }, sent), [`certificate_wrong_name: _xmpp-server.${DOMAIN}`]], // prettier-ignore
    ['without its intermediate', chain({ caIssuers: 'http://ca.example/i.crt' }), ['certificate_chain_incomplete: Test Intermediate']], // prettier-ignore
    ['of an unknown private authority', chain({}), ['certificate_untrusted: Test Intermediate']],
    ['of an authority that is sent', chain({ issuer: other }, other.cert), ['certificate_untrusted: Another Root']], // prettier-ignore
    ['with the root in its chain', chain({}, sent, root.cert), []],
    ['with another order of its chain', chain({}, other.cert, sent), []],
    ['with an expired copy of its intermediate first', chain({}, oldCopy, sent), []],
    ['with an expired copy of its intermediate alone', chain({}, oldCopy), [`certificate_expired: Test Intermediate, ${onDay(old.to)}`]], // prettier-ignore
    ['with a root that an expired root signed', chain({}, sent, crossSigned, oldRoot.cert), []],
    ['behind many certificates of strangers', chain({}, ...strangers.map(({ cert }) => cert), sent), []], // prettier-ignore
    ['with an expired intermediate', chain({ issuer: expiredIntermediate }, expiredIntermediate.cert), [`certificate_expired: Old Intermediate, ${onDay(day(-10))}`]], // prettier-ignore
    ['that has expired and is for another name', chain({ from: day(-9), to: day(-2), names: [generalName.dns('*.example')] }, sent), [`certificate_expired: ${onDay(day(-2))}`, 'certificate_wrong_name: *.example']], // prettier-ignore
    ['of an issuer that is no authority', chain({ issuer: server.createLeaf({ subject: 'No CA', issuer: root }) }), ['certificate_untrusted: No CA']], // prettier-ignore
    ['with a short key', chain({ rsaBits: 1024 }, sent), ['certificate_untrusted: an RSA key of 1024 bits']], // prettier-ignore
    ['with SHA-1', chain({ hash: 'sha1' }, sent), ['certificate_untrusted: signed with SHA-1']],
  ]
  const self = createCertificate({ subject: DOMAIN, names: [generalName.dns(DOMAIN)] })
  const all = [...cases, ['that is self-signed', self, ['certificate_self_signed']] as const]
  for (const [name, certificate, expected] of all) {
    test(`${name}: ${expected.join(', ') || 'no problem'}`, async (t) => {
      const options = { ...certificate, ciphers: 'DEFAULT@SECLEVEL=0:TLS_AES_256_GCM_SHA384' }
      const { result } = await check(t, {}, healthyServer({ options }))
      assert.deepEqual(problemsOf(result), expected)
      assert.match(result.certificate?.sha256 ?? '', /^[0-9a-f]{64}$/)
      assert.deepEqual(result.mechanisms, ['SCRAM-SHA-1', 'PLAIN'])
    })
  }

  test('an XmppAddr has the Unicode form of a domain', async (t) => {
    const options = chain({ names: [generalName.xmpp('bücher.example')] }, sent)
    const { result } = await check(t, { domain: idn }, healthyServer({ options }))
    assert.deepEqual(problemsOf(result), [])
  })

  test('an issuer that is no authority, by a trusted root, is not trusted', async (t) => {
    const issuer = server.createLeaf({ subject: 'No CA', issuer: root })
    const options = chain({ issuer }, issuer.cert)
    const { result } = await check(t, {}, healthyServer({ options }))
    assert.match(problemsOf(result).join(), /^certificate_untrusted: INVALID_(CA|PURPOSE)$/)
  })

  test('the expiry time is that of the first certificate of the chain that expires', async (t) => {
    const to = day(30)
    const early = createCertificate({
      ...{ subject: 'Early Intermediate', issuer: root, isAuthority: true, to },
    })
    const options = chain({ issuer: early }, early.cert)
    const { result } = await check(t, {}, healthyServer({ options }))
    assert.equal(result.certificate?.expiresAtSeconds, Math.floor(to.getTime() / 1000))
  })
})

suite('hostile servers', { concurrency: true }, () => {
  const flood =
    (start: string, more: string): Script =>
    async (peer) => {
      await peer.receive(/<stream:stream/)
      peer.send(start)
      while (!peer.socket().destroyed) {
        await new Promise((resolve) => peer.socket().write(more, resolve))
      }
    }
  const big = 'a'.repeat(10_000)
  for (const [name, expected, script] of [
    ['data without an end', 'not_xmpp: more than 65536 bytes', flood('<', big)],
    ['white space without an end', 'not_xmpp: only white space', flood(' ', ' '.repeat(1000))],
    [
      'features without an end',
      'features_missing: more than 65536 bytes',
      flood(`${header()}<stream:features>`, `<a b='${big}'/>`),
    ],
    [
      'elements without an end',
      'features_missing: a stanza of more than 2000 elements',
      flood(`${header()}<stream:features>`, '<a/>'.repeat(2001)),
    ],
    [
      'deep nesting',
      'features_missing: XML that is nested more than 32 levels deep',
      answer(
        `${header()}<stream:features>${'<a>'.repeat(50)}${'</a>'.repeat(50)}</stream:features>`,
      ),
    ],
    [
      'an entity declaration',
      'not_xmpp: an XML comment or declaration, which XMPP forbids',
      answer(`<!DOCTYPE a [<!ENTITY b "c">]>${header()}`),
    ],
    ['broken XML', 'features_missing: a must be closed.', answer(`${header()}<a></b>`)],
  ] as const) {
    test(name, async (t) => {
      const { result } = await check(t, {}, script)
      assert.deepEqual(problemsOf(result), [expected])
      assert.ok(result.transcript.join('').length < 5000)
    })
  }

  test('a transcript and a detail have no control characters', async (t) => {
    const { result } = await check(
      t,
      {},
      answerInside(
        `${header()}<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>A\x1b[31m\u202e&#10;B</mechanism></mechanisms></stream:features>`,
      ),
    )
    assert.deepEqual(result.mechanisms, ['A\uFFFD[31m\uFFFD B'])
    assert.doesNotMatch(result.transcript.join(''), /[\p{C}]/u)
    assert.ok(result.transcript.some((line) => line.startsWith('received: <stream:features>')))
  })

  test('too many mechanisms are cut', async (t) => {
    const mechanisms = Array.from({ length: 100 }, (_, i) => `<mechanism>M${i}</mechanism>`)
    const { result } = await check(
      t,
      {},
      answerInside(
        `${header()}<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>${mechanisms.join('')}</mechanisms></stream:features>`,
      ),
    )
    assert.equal(result.mechanisms?.length, 32)
  })

  test('a certificate with thousands of names does not stop the check', async (t) => {
    const names = Array.from({ length: 2000 }, (_, i) => generalName.dns(`n${i}.example`))
    const leaf = server.createLeaf({ names: [...names, generalName.dns(DOMAIN)] })
    const options = { key: leaf.key, cert: leaf.cert + server.testAuthorities.intermediate.cert }
    const { result } = await check(t, {}, healthyServer({ options }))
    assert.deepEqual(problemsOf(result), [])
    assert.equal(result.certificate?.names.length, 32)
  })
})

suite('hostile certificates', { concurrency: true }, () => {
  const names = Array.from({ length: 3000 }, (_, i) => generalName.dns(`n${i}.example`))
  for (const [name, expected, request] of [
    ['with too many names', 'a certificate of more than 32768 bytes', { names }],
    ['with a date that is none', 'a certificate without valid dates', { to: '301331235959Z' }],
  ] as const) {
    test(name, async (t) => {
      const leaf = server.createLeaf(request)
      const options = { key: leaf.key, cert: leaf.cert + server.testAuthorities.intermediate.cert }
      const { result } = await check(t, {}, healthyServer({ options }))
      assert.deepEqual(problemsOf(result), [`certificate_untrusted: ${expected}`])
      assert.equal(result.certificate, undefined)
    })
  }
})

suite('several addresses', () => {
  test('the first that fails is reported, and each is checked', async (t) => {
    const { port, connections } = await server.withScriptedServer(t, healthyServer(), silent)
    const result = await server.probe({
      ...{ port, trust, timeoutMs: 1500 },
      addresses: ['127.0.0.1', '127.0.0.1', '127.0.0.1'],
    })
    assert.deepEqual(problemsOf(result), ['no_response'])
    assert.equal(connections(), 2)
  })

  test('an abort ends the check with the reason of the signal', async (t) => {
    const abort = new AbortController()
    const reason = new Error('stop')
    const { port } = await server.withScriptedServer(t, async (peer) => {
      await peer.receive(/<stream:stream/)
      abort.abort(reason)
    })
    const result = server.probe({ port, trust, signal: abort.signal })
    await assert.rejects(result, reason)
  })
})

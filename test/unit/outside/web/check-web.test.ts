import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { createServer } from 'node:net'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { before, describe, test, type TestContext } from 'node:test'
import { createServer as createTlsServer } from 'node:tls'
import { createConnectionLimit } from '../../../../src/outside/connection-limit.js'
import type { Resolver } from '../../../../src/outside/dns/resolver.js'
import type { AddressFamily, EndpointCheck } from '../../../../src/outside/outside-check.js'
import { createTrustStore, type TrustStore } from '../../../../src/outside/probe/trust-store.js'
import { checkWeb } from '../../../../src/outside/web/check-web.js'
import { selfSigned } from '../../../support/certificate.js'
import { temporaryDirectory } from '../../../support/setup/process.js'
import {
  acceptWebSocket,
  onClientText,
  serverFrame,
  serveSite,
  type Accept,
  type Respond,
} from '../../../support/web-endpoints.js'

// The certificate of the tests is for this name.
const DOMAIN = 'localhost'
const XRD = 'http://docs.oasis-open.org/ns/xri/xrd-1.0'
const FEATURES = `<stream:features xmlns:stream="http://etherx.jabber.org/streams"><mechanisms xmlns="urn:ietf:params:xml:ns:xmpp-sasl"><mechanism>PLAIN</mechanism></mechanisms></stream:features>`
const FRAMING = 'urn:ietf:params:xml:ns:xmpp-framing'
const BIND = 'http://jabber.org/protocol/httpbind'

// The check warns of a certificate that expires in less than two weeks.
const certificate = selfSigned({ to: new Date(Date.now() + 60 * 86_400_000) })
let trust: TrustStore

before(async () => {
  const directory = await temporaryDirectory('prosody-exporter-web')
  const file = join(directory.path, 'ca.pem')
  await writeFile(file, certificate.cert)
  trust = createTrustStore({ extraFile: file })
  await directory.remove()
})

type Addresses = Readonly<Partial<Record<AddressFamily, readonly string[]>>>

/** A resolver that knows the addresses of a few names, and no other names. */
function createFakeResolver(names: Readonly<Record<string, Addresses>>): Resolver {
  const none = { state: 'not_found', records: [], seconds: 0 } as const
  return {
    srv: () => Promise.resolve(none),
    alias: () => Promise.resolve(none),
    addresses: (name, family) => {
      const records = names[name]?.[family] ?? []
      const state = records.length > 0 ? 'found' : 'no_data'
      return Promise.resolve({ state, records, seconds: 0 })
    },
    close() {},
  }
}

async function check(
  port: number,
  {
    names = { [DOMAIN]: { ipv4: ['127.0.0.1'] } },
    timeoutMs = 60_000,
    allowPrivate = true,
    signal = new AbortController().signal,
    families,
  }: {
    readonly names?: Readonly<Record<string, Addresses>>
    readonly timeoutMs?: number
    readonly allowPrivate?: boolean
    readonly signal?: AbortSignal
    readonly families?: readonly AddressFamily[]
  } = {},
): Promise<readonly EndpointCheck[]> {
  return await checkWeb(DOMAIN, {
    resolver: createFakeResolver(names),
    allowPrivate,
    limit: createConnectionLimit({ isOwn: () => true, perMinute: 2 }),
    trust,
    timeoutMs,
    signal,
    ...(families && { families }),
    hostMetaPort: port,
  })
}

/** Each check as one line: the service, the port if it is not that of the server, and the problems. */
const show = (checks: readonly EndpointCheck[], port: number) =>
  checks.map(({ endpoint, isUp, problems }) => {
    const { service, family } = endpoint
    const at = endpoint.port === port ? '' : `:${endpoint.port}`
    const found = problems.map(({ code, detail }) => (detail ? `${code} (${detail})` : code))
    return [`${service}${at}`, family, isUp ? 'up' : 'down', ...found].join(' ')
  })

const link = (rel: 'xbosh' | 'websocket', href: string) => ({
  rel: `urn:xmpp:alt-connections:${rel}`,
  href,
})

/** Answers requests for host-meta in both formats with the given links, and others with 404. */
const hostMeta =
  (
    makeLinks: (port: number) => readonly { readonly rel: string; readonly href: string }[],
  ): Respond =>
  (request, response) => {
    const links = makeLinks(request.socket.localPort ?? 0)
    if (request.url === '/.well-known/host-meta') {
      const all = links.map(({ rel, href }) => `<Link rel="${rel}" href="${href}"/>`)
      response.setHeader('Content-Type', 'application/xrd+xml')
      response.end(`<?xml version="1.0"?>\n<XRD xmlns="${XRD}">${all.join('\n')}</XRD>\n`)
    } else if (request.url === '/.well-known/host-meta.json') {
      response.setHeader('Content-Type', 'application/json')
      response.end(JSON.stringify({ links }))
    } else {
      response.writeHead(404).end()
    }
  }

const both = (port: number) => [
  link('xbosh', `https://${DOMAIN}:${port}/bosh`),
  link('websocket', `wss://${DOMAIN}:${port}/ws`),
]

const bosh: Respond = (_, response, body) => {
  const isEnd = body.includes('type="terminate"')
  response.setHeader('Content-Type', 'text/xml; charset=utf-8')
  response.end(isEnd ? `<body xmlns="${BIND}" type="terminate"/>` : `<body xmlns="${BIND}" sid="s1">${FEATURES}</body>`) // prettier-ignore
}

const webSocket: Accept = (socket, request) => {
  acceptWebSocket(socket, request)
  onClientText(socket, (text) => {
    if (text.startsWith('<open')) {
      socket.write(serverFrame(1, `<open xmlns="${FRAMING}" version="1.0"/>`))
      socket.write(serverFrame(9, 'ping'))
      socket.write(serverFrame(1, FEATURES))
    } else {
      socket.write(serverFrame(1, `<close xmlns="${FRAMING}"/>`))
      socket.end(serverFrame(8, Buffer.from([3, 232])))
    }
  })
}

/** Serves host-meta, and BOSH at `/bosh`. */
const site =
  (hostMetaResponse: Respond = hostMeta(both), boshResponse: Respond = bosh): Respond =>
  (request, response, body) => {
    if (request.url === '/bosh') boshResponse(request, response, body)
    else hostMetaResponse(request, response, body)
  }

const serve = (t: TestContext, http: Respond = site(), upgrade: Accept = webSocket) =>
  serveSite(t, { certificate, http, upgrade })

describe('a healthy site', () => {
  test('all endpoints are up, with the values of their connections', async (t) => {
    const server = await serve(t)
    const checks = await check(server.port)
    assert.deepEqual(show(checks, server.port), [
      'host-meta ipv4 up',
      'bosh ipv4 up',
      'websocket ipv4 up',
    ])
    for (const { endpoint, seconds, tls, certificate: sent, mechanisms, transcript } of checks) {
      assert.equal(endpoint.domain, DOMAIN)
      assert.equal(endpoint.target, DOMAIN)
      assert.deepEqual(Object.keys(seconds), ['tcp', 'tls', 'stream'])
      assert.equal(tls?.version, 'TLSv1.3')
      assert.match(sent?.sha256 ?? '', /^[0-9a-f]{64}$/)
      assert.deepEqual(mechanisms, endpoint.service === 'host-meta' ? undefined : ['PLAIN'])
      assert.ok(transcript.length > 3)
    }
    // One connection for both formats, one for BOSH, and one for WebSocket.
    assert.equal(server.sockets, 3)
  })

  test('the BOSH session is for the domain, and is terminated', async (t) => {
    const server = await serve(t)
    await check(server.port)
    const [first, second, ...more] = server.requests.filter((line) => line.startsWith('POST'))
    assert.deepEqual(more, [])
    assert.match(first ?? '', /^POST \/bosh <body (?=.*\bto="localhost")(?=.*\bver="1.6")(?=.*\bwait="1")(?=.*\bhold="1")/) // prettier-ignore
    const [, rid] = /\brid="(\d+)"/.exec(first ?? '') ?? []
    assert.match(second ?? '', /\btype="terminate"/)
    assert.match(second ?? '', /\bsid="s1"/)
    assert.ok(second?.includes(`rid="${Number(rid) + 1}"`))
  })

  test('the stream over WebSocket is opened for the domain, and closed', async (t) => {
    const texts: string[] = []
    const server = await serve(t, site(), (socket, request) => {
      assert.equal(request.headers['sec-websocket-protocol'], 'xmpp')
      onClientText(socket, (text) => texts.push(text))
      webSocket(socket, request)
    })
    await check(server.port)
    assert.equal(texts.length, 2)
    assert.match(texts[0] ?? '', /^<open (?=.*to="localhost")(?=.*version="1.0").*\/>$/)
    assert.match(texts[1] ?? '', /^<close /)
  })

  test('one of the two formats is enough', async (t) => {
    for (const missing of ['/.well-known/host-meta', '/.well-known/host-meta.json']) {
      const server = await serve(t, (request, response, body) => {
        if (request.url === missing) response.writeHead(404).end()
        else site()(request, response, body)
      })
      assert.deepEqual(show(await check(server.port), server.port), [
        'host-meta ipv4 up',
        'bosh ipv4 up',
        'websocket ipv4 up',
      ])
    }
  })

  test('a server that closes each connection is up', async (t) => {
    const server = await serve(t, (request, response, body) => {
      response.shouldKeepAlive = false
      site()(request, response, body)
    })
    assert.deepEqual(show(await check(server.port), server.port), [
      'host-meta ipv4 up',
      'bosh ipv4 up',
      'websocket ipv4 up',
    ])
  })

  test('a server that answers before it has the request is up', async (t) => {
    const body = `<XRD xmlns="${XRD}"><Link rel="urn:xmpp:alt-connections:xbosh" href="http://${DOMAIN}/bosh"/></XRD>`
    // With TLS 1.2, the answer arrives before the client has sent its request.
    const server = createTlsServer({ ...certificate, maxVersion: 'TLSv1.2' }, (socket) => {
      let requests = 0
      socket.on('error', () => {}).on('data', () => requests++ > 0 && answer())
      const answer = () =>
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
      answer()
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.after(() => server.close())
    const { port } = server.address() as AddressInfo
    assert.deepEqual(show(await check(port), port), [
      // The server answers with XML to a request for JSON, too.
      'host-meta ipv4 down host_meta_invalid (/.well-known/host-meta.json)',
      `bosh:80 ipv4 down web_insecure (http://${DOMAIN}/bosh)`,
    ])
  })

  test('redirects are followed, with the address of the new host', async (t) => {
    const names = {
      [DOMAIN]: { ipv4: ['127.0.0.1'] },
      'www.example': { ipv4: ['127.0.0.2'] },
    }
    const server = await serve(t, (request, response) => {
      const { port } = target
      response.writeHead(302, { Location: `https://www.example:${port}${request.url ?? ''}` }).end()
    })
    const target = await serveSite(t, {
      certificate,
      address: '127.0.0.2',
      http: site(hostMeta(() => [link('xbosh', `https://${DOMAIN}:${other.port}/bosh`)])),
    })
    const other = await serve(t)
    const [first, second] = show(await check(server.port, { names }), server.port)
    // The certificate of the tests is not valid for the host of the redirect.
    assert.match(first ?? '', /^host-meta ipv4 down certificate_wrong_name/)
    assert.equal(second, `bosh:${other.port} ipv4 up`)
    assert.equal(target.sockets, 2)
  })
})

describe('a domain that announces nothing', () => {
  const absent: Readonly<Record<string, Respond>> = {
    'HTTP 404': (_, response) => response.writeHead(404).end(),
    'HTTP 410': (_, response) => response.writeHead(410).end(),
    'HTTP 403': (_, response) => response.writeHead(403).end(),
    'the same page for each path': (_, response) =>
      response.setHeader('Content-Type', 'text/html').end('<!DOCTYPE html><p>Welcome'),
    'a redirect of all paths to http': (_, response) =>
      response.writeHead(301, { Location: 'http://localhost/' }).end(),
    'a host-meta without XMPP': hostMeta(() => [{ rel: 'lrdd', href: 'https://localhost/' }]),
  }
  for (const [what, respond] of Object.entries(absent)) {
    test(`${what}: no check, no problem`, async (t) => {
      const server = await serve(t, respond)
      assert.deepEqual(await check(server.port), [])
      assert.equal(server.sockets, 1)
    })
  }

  test('no web server, or no address: no check, no problem', async (t) => {
    const server = await serve(t)
    assert.deepEqual(await check(server.port, { names: { [DOMAIN]: { ipv4: ['127.0.0.3'] } } }), [])
    assert.deepEqual(await check(server.port, { names: {} }), [])
  })

  test('an address of a private network is not dialled', async (t) => {
    const server = await serve(t)
    assert.deepEqual(await check(server.port, { allowPrivate: false }), [])
    assert.equal(server.sockets, 0)
  })
})

describe('a broken host-meta', () => {
  const broken: Readonly<Record<string, readonly [Respond, string]>> = {
    'broken XML': [
      (_, response) => response.setHeader('Content-Type', 'application/xml').end('<XRD>'),
      'host_meta_invalid (/.well-known/host-meta)',
    ],
    'HTTP 500': [
      (_, response) => response.writeHead(500).end(),
      'web_status (HTTP 500 for /.well-known/host-meta)',
    ],
  }
  for (const [what, [respond, problem]] of Object.entries(broken)) {
    test(`${what} is named`, async (t) => {
      const server = await serve(t, respond)
      assert.deepEqual(show(await check(server.port), server.port), [
        `host-meta ipv4 down ${problem}`,
      ])
    })
  }

  test('a link that is no URL is named, and the others are checked', async (t) => {
    const links = (port: number) => [
      ...both(port),
      link('xbosh', 'ftp://localhost/bosh'),
      link('websocket', 'wss://192.0.2.1/ws'),
    ]
    const server = await serve(t, site(hostMeta(links)))
    assert.deepEqual(show(await check(server.port), server.port), [
      'host-meta ipv4 down host_meta_invalid (bosh: ftp://localhost/bosh)',
      'bosh ipv4 up',
      'websocket ipv4 up',
    ])
  })

  test('an address without a host-meta, beside one with it', async (t) => {
    const names = { [DOMAIN]: { ipv4: ['127.0.0.1'], ipv6: ['127.0.0.2'] } }
    const server = await serve(t)
    const other = await serveSite(t, { certificate, address: '127.0.0.2', port: server.port })
    const checks = await check(server.port, { names })
    assert.deepEqual(show(checks, server.port), [
      'host-meta ipv4 up',
      'host-meta ipv6 down web_status (HTTP 404)',
      'bosh ipv4 up',
      'bosh ipv6 down web_status (HTTP 404)',
      'websocket ipv4 up',
      'websocket ipv6 down web_status (HTTP 404)',
    ])
    assert.equal(other.sockets, 3)
    // A machine without IPv6 checks only IPv4.
    const ipv4 = await check(server.port, { names, families: ['ipv4'] })
    assert.deepEqual(show(ipv4, server.port), [
      'host-meta ipv4 up',
      'bosh ipv4 up',
      'websocket ipv4 up',
    ])
    assert.equal(other.sockets, 3)
    const refused = await check(server.port, {
      names: { [DOMAIN]: { ipv4: ['127.0.0.1'], ipv6: ['127.0.0.3'] } },
    })
    assert.deepEqual(
      show(refused, server.port).filter((line) => line.includes('ipv6')),
      ['host-meta', 'bosh', 'websocket'].map((name) => `${name} ipv6 down connection_refused`),
    )
  })
})

test('URLs without TLS are named, and not dialled', async (t) => {
  const plain = createServer()
  let connections = 0
  plain.on('connection', () => connections++)
  plain.listen(0, '127.0.0.1')
  await once(plain, 'listening')
  t.after(() => plain.close())
  const { port } = plain.address() as AddressInfo
  const links = [link('xbosh', `http://${DOMAIN}:${port}/bosh`), link('websocket', `ws://${DOMAIN}:${port}/ws`)] // prettier-ignore
  const server = await serve(t, site(hostMeta(() => links)))
  assert.deepEqual(show(await check(server.port), server.port), [
    'host-meta ipv4 up',
    `bosh:${port} ipv4 down web_insecure (http://localhost:${port}/bosh)`,
    `websocket:${port} ipv4 down web_insecure (ws://localhost:${port}/ws)`,
  ])
  assert.equal(connections, 0)
})

test('a service at a host without a usable address is down', async (t) => {
  const names = {
    [DOMAIN]: { ipv4: ['127.0.0.1'] },
    'private.example': { ipv4: ['10.0.0.1'] },
  }
  const links = [
    link('xbosh', 'https://none.example/'),
    link('websocket', 'wss://private.example/'),
  ]
  const server = await serve(
    t,
    hostMeta(() => links),
  )
  const checks = await check(server.port, { names })
  assert.deepEqual(show(checks.slice(0, 2), server.port), [
    'host-meta ipv4 up',
    'bosh:443 ipv4 down web_failed (none.example has no address.)',
  ])
})

describe('a broken BOSH service', () => {
  const condition =
    (xml: string): Respond =>
    (_, response) =>
      response.end(xml)
  const broken: Readonly<Record<string, readonly [Respond, string]>> = {
    'HTTP 502': [(_, response) => response.writeHead(502).end(), 'web_status (HTTP 502)'],
    'a page': [condition('<html/>'), 'web_not_xmpp (The response is not a BOSH body.)'],
    'an unknown host': [
      condition(`<body xmlns="${BIND}" type="terminate" condition="improper-addressing"/>`),
      'host_unknown (improper-addressing)',
    ],
    'a stream error': [
      condition(
        `<body xmlns="${BIND}" type="terminate" condition="remote-stream-error"><error xmlns="http://etherx.jabber.org/streams"><policy-violation xmlns="urn:ietf:params:xml:ns:xmpp-streams"/></error></body>`,
      ),
      'stream_error (policy-violation)',
    ],
    'no session': [
      condition(`<body xmlns="${BIND}"/>`),
      'web_not_xmpp (The BOSH body has no session identifier.)',
    ],
    'no mechanisms': [
      condition(
        `<body xmlns="${BIND}" sid="s1"><features xmlns="http://etherx.jabber.org/streams"/></body>`,
      ),
      'mechanisms_missing',
    ],
    'a closed connection': [
      (_, response) => response.socket?.destroy(),
      'web_failed (The server closed the connection.)',
    ],
    'a response that is too large': [
      condition('a'.repeat(70_000)),
      'web_failed (A response of more than 65536 bytes.)',
    ],
  }
  for (const [what, [respond, problem]] of Object.entries(broken)) {
    test(`${what} is named`, async (t) => {
      const links = (port: number) => both(port).slice(0, 1)
      const server = await serve(t, site(hostMeta(links), respond))
      assert.deepEqual(show(await check(server.port), server.port), [
        'host-meta ipv4 up',
        `bosh ipv4 down ${problem}`,
      ])
    })
  }
})

describe('a broken WebSocket service', () => {
  const after =
    (...frames: readonly Buffer[]): Accept =>
    (socket: Duplex, request: IncomingMessage) => {
      acceptWebSocket(socket, request)
      socket.write(Buffer.concat(frames))
    }
  const open = serverFrame(1, `<open xmlns="${FRAMING}"/>`)
  const broken: Readonly<Record<string, readonly [Accept, string]>> = {
    'HTTP 400': [
      (socket) => socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n'),
      'web_status (HTTP 400)',
    ],
    'another subprotocol': [
      (socket, request) => {
        acceptWebSocket(socket, request, { protocol: '' })
      },
      'web_not_xmpp (The server does not select the subprotocol xmpp.)',
    ],
    'a wrong handshake': [
      (socket, request) => {
        acceptWebSocket(socket, request, { accept: 'AAAA' })
      },
      'web_failed (Wrong Sec-WebSocket-Accept.)',
    ],
    'a stream of RFC 6120': [
      after(serverFrame(1, '<stream:stream>')),
      'web_not_xmpp (A message that is not an XML element.)',
    ],
    'another element': [
      after(serverFrame(1, '<hello/>')),
      'web_not_xmpp (<hello> instead of <open>)',
    ],
    'a redirect to another service': [
      after(serverFrame(1, `<close xmlns="${FRAMING}" see-other-uri="wss://b.example/"/>`)),
      'stream_closed (see wss://b.example/)',
    ],
    'an unknown host': [
      after(
        open,
        serverFrame(
          1,
          '<stream:error xmlns:stream="http://etherx.jabber.org/streams"><host-unknown xmlns="urn:ietf:params:xml:ns:xmpp-streams"/></stream:error>',
        ),
      ),
      'host_unknown (host-unknown)',
    ],
    'an unknown host, closed in the same packet': [
      after(
        open,
        serverFrame(
          1,
          '<e:error xmlns:e="http://etherx.jabber.org/streams"><host-unknown xmlns="urn:ietf:params:xml:ns:xmpp-streams"/></e:error>',
        ),
        serverFrame(8, Buffer.from([3, 232])),
      ),
      'host_unknown (host-unknown)',
    ],
    'no features': [
      after(open, serverFrame(8, Buffer.from([3, 241, ...Buffer.from('bye')]))),
      'stream_closed (1009 bye)',
    ],
    'broken frames': [
      after(Buffer.from([0xff, 0xff])),
      'web_not_xmpp (reserved bits in a WebSocket frame)',
    ],
  }
  for (const [what, [accept, problem]] of Object.entries(broken)) {
    test(`${what} is named`, async (t) => {
      const links = (port: number) => both(port).slice(1)
      const server = await serve(t, site(hostMeta(links)), accept)
      assert.deepEqual(show(await check(server.port), server.port), [
        'host-meta ipv4 up',
        `websocket ipv4 down ${problem.replace('\x03\xf1', '')}`,
      ])
    })
  }
})

test('a server that does not answer is down after the deadline', async (t) => {
  const links = (port: number) => both(port).slice(0, 1)
  const server = await serve(
    t,
    site(hostMeta(links), () => {}),
  )
  const checks = await check(server.port, { timeoutMs: 2000 })
  assert.deepEqual(show(checks, server.port), [
    'host-meta ipv4 up',
    'bosh ipv4 down web_failed (No answer within 2 s.)',
  ])
})

test('an aborted check rejects with the reason', async (t) => {
  const controller = new AbortController()
  const server = await serve(t, () => {
    controller.abort(new Error('stopped'))
  })
  await assert.rejects(check(server.port, { signal: controller.signal }), /stopped/)
})

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request as requestPlain, type ClientRequest, type IncomingMessage } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { describe, test, type TestContext } from 'node:test'
import { listen } from '../../../src/http/listener.js'
import { addAlertsRoute, type AlertsRouteOptions } from '../../../src/messaging/alerts-route.js'
import type { Notification } from '../../../src/messaging/notification.js'
import { readBody } from '../../../src/messaging/read-body.js'
import { selfSigned } from '../../support/certificate.js'
import { createFakeApp, createFakeLog } from '../../support/fake-app.js'
import { until } from '../../support/setup/process.js'
import { openGate } from '../../support/transports.js'
import { alertmanagerPayload, GRAFANA_PAYLOAD } from '../../support/webhook-payloads.js'

const TOKEN = 'fish-and-chips'
const BEARER = { Authorization: `Bearer ${TOKEN}` }
const PAYLOAD = JSON.stringify(alertmanagerPayload())
const MAX_BYTES = 2 * 1024 * 1024
const MAX_NOTIFICATIONS = 16

type Outcome = Awaited<ReturnType<AlertsRouteOptions['deliver']>>
type Options = Partial<AlertsRouteOptions> & { readonly http2?: boolean }

const DELIVERED: Outcome = { delivered: ['a@example.com'], rejected: [], pending: [] }

/** Serves an app that has the route /alerts and the telemetry path. Records the notifications that it delivers. */
async function serve(t: TestContext, { http2 = false, ...options }: Options = {}) {
  const notifications: Notification[] = []
  const statuses: number[] = []
  const { app, lines } = createFakeApp({
    addRoutes: (hono, log) => {
      addAlertsRoute(hono, {
        token: () => TOKEN,
        log,
        onResponse: (status) => {
          statuses.push(status)
        },
        ...options,
        deliver: (notification) => {
          notifications.push(notification)
          return options.deliver?.(notification) ?? Promise.resolve(DELIVERED)
        },
      })
    },
  })
  const address = { host: '127.0.0.1', port: 0, optional: false }
  const gate = http2 ? openGate(true) : undefined
  const listener = await listen(app, [address], createFakeLog().log, { gate })
  t.after(() => listener.close(0))
  const url = listener.urls[0]!
  const post = (
    body: string | Uint8Array<ArrayBuffer> = PAYLOAD,
    headers: Readonly<Record<string, string>> = BEARER,
  ) => ask(url, { method: 'POST', body, headers })
  return { url, post, notifications, statuses, lines }
}

async function ask(url: string, init: RequestInit) {
  const response = await fetch(`${url}/alerts`, init)
  return { status: response.status, headers: response.headers, text: await response.text() }
}

/** Sends the headers of a request, but not its body. */
function open(url: string, headers: Readonly<Record<string, string | number>> = {}): ClientRequest {
  const request = requestPlain(`${url}/alerts`, {
    method: 'POST',
    headers: { ...BEARER, ...headers },
  })
  // The server can close the connection before the body has been sent.
  request.on('error', () => {})
  request.flushHeaders()
  return request
}

async function readResponse(
  request: ClientRequest,
): Promise<readonly [status: number, text: string]> {
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  return [response.statusCode!, await text(response)]
}

/** Returns a `deliver` that waits until `release` is called. */
function hold() {
  let release = () => {}
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  return { deliver: () => released.then(() => DELIVERED), release }
}

describe('POST /alerts', () => {
  test('delivers the notification, and responds with the numbers of recipients', async (t) => {
    const { post, notifications, lines } = await serve(t, {
      deliver: () =>
        Promise.resolve({
          delivered: ['a', 'b'],
          rejected: [{ to: 'c', reason: 'banned' }],
          pending: [],
        }),
    })
    const { status, headers, text } = await post()
    assert.deepEqual([status, text], [200, '{"delivered":2,"rejected":1}\n'])
    assert.equal(headers.get('Content-Type'), 'application/json')
    assert.equal(notifications[0]!.alerts[0]!.labels.alertname, 'XmppServerDown')
    assert.equal((await post(JSON.stringify(GRAFANA_PAYLOAD))).status, 200)
    assert.equal(notifications.length, 2)
    assert.deepEqual(lines, [])
  })

  test('is 503 with the reasons, without names of people, while a recipient is pending', async (t) => {
    const { post } = await serve(t, {
      deliver: () =>
        Promise.resolve({
          delivered: ['x@example.com'],
          rejected: [],
          pending: [
            { to: 'ann@example.com', reason: 'no answer from ann@example.com' },
            { to: 'bob@example.com', reason: 'no answer from bob@example.com' },
            { to: 'r@rooms.example', reason: 'not\n joined' },
            ...Array.from({ length: 20 }, (_, i) => ({ reason: `other ${i}` })),
          ],
        }),
    })
    const { status, headers, text } = await post()
    assert.equal(status, 503)
    assert.equal(headers.get('Retry-After'), '10')
    assert.equal(
      text,
      'Not delivered to 23 of 24 recipients: no answer from …@example.com (2); not joined; other 0. Try again later.\n',
    )
  })

  test('is 503 with the reasons if all recipients have rejected the notification', async (t) => {
    const { post } = await serve(t, {
      deliver: () =>
        Promise.resolve({
          delivered: [],
          rejected: [{ reason: 'there is no such user. Correct alerts.to.' }, { reason: 'banned' }],
          pending: [],
        }),
    })
    const { status, text } = await post()
    assert.deepEqual(
      [status, text],
      [
        503,
        'Not delivered to 2 of 2 recipients: there is no such user. Correct alerts.to; banned. Try again later.\n',
      ],
    )
  })

  test('reports the status of each response, also without the right token, but not without alerts in the configuration', async (t) => {
    let outcome: () => Promise<Outcome> = () => Promise.resolve(DELIVERED)
    let token: string | undefined = TOKEN
    const { post, statuses } = await serve(t, { deliver: () => outcome(), token: () => token })
    await post()
    await post(PAYLOAD, {})
    await post('{}')
    await post('x'.repeat(MAX_BYTES + 1))
    await post(PAYLOAD, { ...BEARER, 'Content-Encoding': 'gzip' })
    outcome = () => Promise.resolve({ ...DELIVERED, pending: [{ reason: 'x' }] })
    await post()
    outcome = () => Promise.reject(new Error('inner'))
    await post()
    token = undefined
    await post()
    assert.deepEqual(statuses, [200, 401, 400, 413, 415, 503, 500])
  })

  test('an unexpected error is 500, so that Alertmanager repeats the notification', async (t) => {
    let isBroken = true
    const { post, lines } = await serve(t, {
      deliver: () => (isBroken ? Promise.reject(new Error('inner')) : Promise.resolve(DELIVERED)),
    })
    for (let i = 0; i <= MAX_NOTIFICATIONS; i++) assert.equal((await post()).status, 500)
    assert.deepEqual(lines[0]!.message, 'request failed')
    isBroken = false
    assert.equal((await post()).status, 200, 'each failed notification has freed its place')
  })

  test('any other method is 405', async (t) => {
    const { url } = await serve(t)
    for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'PATCH']) {
      const { status, headers } = await ask(url, { method, headers: BEARER })
      assert.deepEqual([status, headers.get('Allow')], [405, 'POST, OPTIONS'], method)
    }
  })

  test('works over HTTP/2', async (t) => {
    const { url, notifications } = await serve(t, { http2: true })
    const session = connectHttp2(url, { ca: selfSigned().cert, rejectUnauthorized: false })
    t.after(() => {
      session.destroy()
    })
    const send = async (headers: Readonly<Record<string, string>>, body: string) => {
      const stream = session.request({ ':method': 'POST', ':path': '/alerts', ...headers })
      stream.on('error', () => {})
      stream.end(body)
      const [head] = (await once(stream, 'response')) as [Record<string, unknown>]
      stream.resume()
      return head[':status']
    }
    assert.equal(await send({ authorization: BEARER.Authorization }, PAYLOAD), 200)
    assert.equal(await send({ 'x-alerts-token': TOKEN }, PAYLOAD), 200)
    assert.equal(await send({}, PAYLOAD), 401)
    assert.equal(
      await send({ authorization: BEARER.Authorization }, 'x'.repeat(MAX_BYTES + 1)),
      413,
    )
    assert.equal(notifications.length, 2)
  })
})

describe('the token', () => {
  test('can be in Authorization or in X-Alerts-Token', async (t) => {
    const { post } = await serve(t)
    for (const headers of [
      BEARER,
      { authorization: `bearer ${TOKEN}` },
      { 'X-Alerts-Token': TOKEN },
      { 'X-Alerts-Token': TOKEN, Authorization: 'Basic YTpi' },
      { 'X-Alerts-Token': TOKEN, Authorization: 'Bearer of-the-web-configuration' },
    ]) {
      assert.equal((await post(PAYLOAD, headers)).status, 200, JSON.stringify(headers))
    }
  })

  test('must be right: otherwise nothing is delivered, and the log has one line without a token', async (t) => {
    const { post, notifications, lines } = await serve(t)
    for (const headers of [
      {},
      { Authorization: TOKEN },
      { Authorization: 'Bearer' },
      { Authorization: `Bearer ${TOKEN.slice(1)}` },
      { Authorization: `Bearer ${TOKEN}x` },
      { Authorization: `Bearer ${TOKEN}, ${TOKEN}` },
      { Authorization: `Basic ${Buffer.from(`a:${TOKEN}`).toString('base64')}` },
      { 'X-Alerts-Token': '' },
      { 'X-Alerts-Token': `Bearer ${TOKEN}` },
    ]) {
      const { status, headers: got, text } = await post(PAYLOAD, headers)
      assert.equal(status, 401, JSON.stringify(headers))
      assert.match(got.get('WWW-Authenticate') ?? '', /^Bearer /)
      assert.match(text, /^Unauthorized: send the token of alerts\.token_file as .*\n$/)
    }
    assert.deepEqual(notifications, [])
    assert.equal(lines.filter(({ level }) => level === 'warn').length, 1)
    assert.ok(!JSON.stringify(lines).includes(TOKEN))
  })

  test('can have characters outside of ASCII', async (t) => {
    const { url } = await serve(t, { token: () => 'Fisch & Brötchen €' })
    const token = Buffer.from('Fisch & Brötchen €').toString('latin1')
    const request = requestPlain(`${url}/alerts`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${token}` },
    })
    // Node.js writes the headers in UTF-8 if the body is a string.
    request.end(Buffer.from(PAYLOAD))
    assert.equal((await readResponse(request))[0], 200)
  })

  test('is checked before the body arrives', async (t) => {
    const { url } = await serve(t)
    const request = open(url, { Authorization: 'Bearer x', 'Content-Length': 1000 })
    assert.equal((await readResponse(request))[0], 401)
  })

  test('without alerts in the configuration, the route is 404', async (t) => {
    const { post } = await serve(t, { token: () => undefined })
    const { status, text } = await post()
    assert.equal(status, 404)
    assert.match(text, /^Not found: the configuration no longer has the section alerts\.\n$/)
  })
})

describe('the body', () => {
  test('a wrong body is 400 with one line, which is also logged', async (t) => {
    const { post, notifications, lines } = await serve(t)
    const NO_JSON = 'body: expected JSON in UTF-8, as Alertmanager sends it to a webhook'
    const TOO_MANY =
      'body: expected at most 25000 objects and lists, 10 of them within each other, and 500 names in each'
    const bodies: readonly (readonly [body: string | Uint8Array<ArrayBuffer>, problem: string])[] =
      [
        ['', NO_JSON],
        ['[', NO_JSON],
        ['{"status":"firing"', NO_JSON],
        [`${PAYLOAD}x`, NO_JSON],
        ['status=firing', NO_JSON],
        [Uint8Array.from([...Buffer.from('{"status":"'), 0xff, ...Buffer.from('"}')]), NO_JSON],
        ['['.repeat(5), NO_JSON],
        [`${'['.repeat(500_000)}${']'.repeat(500_000)}`, TOO_MANY],
        [`[${'{},'.repeat(25_000)}{}]`, TOO_MANY],
        [`{"alerts":[{${Array.from({ length: 501 }, (_, i) => `"${i}":1`).join(',')}}]}`, TOO_MANY],
        [`[${'{},'.repeat(20_000)}{}]`, 'body: expected an object, got a list'],
        ['"text"', 'body: expected an object, got a text'],
        ['null', 'body: expected an object, got nothing'],
        ['1e999', 'body: expected an object, got a number'],
        ['{}', 'status: expected "firing" or "resolved"'],
        [
          JSON.stringify(
            alertmanagerPayload({ alerts: [{ status: 'firing', labels: { 'a@b.example': 1 } }] }),
          ),
          'alerts[0].labels["a@b.example"]: expected a text, got a number',
        ],
      ]
    for (const [body, problem] of bodies) {
      const { status, text } = await post(body)
      assert.deepEqual([status, text], [400, `Wrong notification: ${problem}.\n`])
    }
    assert.deepEqual(notifications, [])
    assert.deepEqual(lines[0], {
      level: 'warn',
      message: 'rejected a notification of Alertmanager',
      fields: { reason: NO_JSON },
    })
    assert.equal(
      lines.at(-1)!.fields.reason,
      'alerts[0].labels["…@b.example"]: expected a text, got a number',
    )
    assert.equal(lines.filter(({ level }) => level === 'warn').length, 1)
  })

  test('a body of 2 MiB is accepted, and a longer one is 413', async (t) => {
    const { post, notifications } = await serve(t)
    assert.equal((await post(PAYLOAD.padEnd(MAX_BYTES))).status, 200)
    const { status, text } = await post(PAYLOAD.padEnd(MAX_BYTES + 1))
    assert.equal(status, 413)
    assert.match(text, /^Notification too long: the limit is 2 MiB\. Set max_alerts .*\n$/)
    assert.equal(notifications.length, 1)
  })

  test('a length in the headers that is too long is 413 before the body arrives', async (t) => {
    const { url } = await serve(t)
    assert.equal((await readResponse(open(url, { 'Content-Length': MAX_BYTES + 1 })))[0], 413)
  })

  test('a body of unknown length is 413 as soon as it is too long', async (t) => {
    const { url, notifications } = await serve(t)
    const request = open(url)
    const response = readResponse(request)
    request.write(Buffer.alloc(MAX_BYTES, ' '))
    request.write(' ')
    assert.equal((await response)[0], 413)
    assert.deepEqual(notifications, [])
  })

  test('a body in chunks of one byte is read', async (t) => {
    const { url, notifications } = await serve(t)
    const request = open(url)
    for (const byte of Buffer.from(PAYLOAD)) request.write(Buffer.from([byte]))
    request.end()
    assert.equal((await readResponse(request))[0], 200)
    assert.equal(notifications[0]!.receiver, 'xmpp')
  })

  test('a body that ends before its length is not delivered, and frees its place', async (t) => {
    const { url, post, notifications } = await serve(t)
    for (let i = 0; i <= MAX_NOTIFICATIONS; i++) {
      const request = open(url, { 'Content-Length': PAYLOAD.length + 1 })
      await new Promise((resolve) => request.write(PAYLOAD, resolve))
      request.destroy()
    }
    await until(async () => (await post()).status === 200, { what: 'a free place' })
    assert.equal(notifications.length, 1)
  })

  test('a body whose stream closes without an error is incomplete', async () => {
    const body = new PassThrough()
    const options = { maxBytes: 10, timeoutMs: 60_000, expectedBytes: 0 }
    const received = readBody(body, options)
    body.write('x')
    body.destroy()
    assert.equal(await received, 'incomplete')
  })

  test('a length that is shorter than the body is not a notification', async (t) => {
    const { url, notifications } = await serve(t)
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    const head = `POST /alerts HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${TOKEN}\r\nContent-Length: 20\r\n\r\n`
    socket.write(`${head}${PAYLOAD}`)
    const statuses = Array.from(
      (await text(socket)).matchAll(/^HTTP\/1\.1 (\d+)/gm),
      ([, status]) => status,
    )
    assert.deepEqual(new Set(statuses), new Set(['400']))
    assert.deepEqual(notifications, [])
  })

  test('a body that does not arrive in time is 503 and frees its place', async (t) => {
    const { url, post } = await serve(t, { bodyTimeoutMs: 50 })
    const requests = Array.from({ length: MAX_NOTIFICATIONS }, () =>
      open(url, { 'Content-Length': 10 }),
    )
    for (const [status, line] of await Promise.all(requests.map(readResponse))) {
      assert.deepEqual(
        [status, line],
        [503, 'The body of the request did not arrive in time. Try again later.\n'],
      )
    }
    assert.equal((await post()).status, 200)
  })

  test('a compressed body is 415', async (t) => {
    const { post } = await serve(t)
    assert.equal((await post(PAYLOAD, { ...BEARER, 'Content-Encoding': 'gzip' })).status, 415)
    assert.equal((await post(PAYLOAD, { ...BEARER, 'Content-Encoding': 'identity' })).status, 200)
  })
})

describe('many notifications', () => {
  test('16 are accepted, and the next one is 503 before its body arrives', async (t) => {
    const { deliver, release } = hold()
    const { url, post, notifications } = await serve(t, { deliver })
    const accepted = Array.from({ length: MAX_NOTIFICATIONS }, () => post())
    await until(() => notifications.length === MAX_NOTIFICATIONS, { what: '16 notifications' })
    const request = open(url, { 'Content-Length': 1000 })
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    assert.deepEqual([response.statusCode, response.headers['retry-after']], [503, '5'])
    assert.equal(
      await text(response),
      'Too many notifications are being delivered. Try again later.\n',
    )
    assert.equal((await post(PAYLOAD, {})).status, 401, 'the token is checked first')
    release()
    for (const { status } of await Promise.all(accepted)) assert.equal(status, 200)
    assert.equal((await post()).status, 200)
  })

  test('are parsed one in each iteration of the event loop, so that other requests are answered between them', async () => {
    let iteration = 0
    let ticker = setImmediate(function tick() {
      iteration++
      ticker = setImmediate(tick)
    })
    const iterations: number[] = []
    const { app } = createFakeApp({
      addRoutes: (hono, log) => {
        addAlertsRoute(hono, {
          token: () => TOKEN,
          log,
          onResponse: () => {},
          deliver: () => {
            iterations.push(iteration)
            return Promise.resolve(DELIVERED)
          },
        })
      },
    })
    const headers = { ...BEARER, 'Content-Length': String(Buffer.byteLength(PAYLOAD)) }
    const post = async () =>
      await app.request('/alerts', { method: 'POST', headers, body: PAYLOAD })
    await Promise.all(Array.from({ length: MAX_NOTIFICATIONS }, post))
    clearImmediate(ticker)
    assert.equal(iterations.length, MAX_NOTIFICATIONS)
    assert.equal(new Set(iterations).size, MAX_NOTIFICATIONS, iterations.join())
  })

  test('notifications whose body has not arrived count too', async (t) => {
    const { url, post } = await serve(t)
    const requests = Array.from({ length: MAX_NOTIFICATIONS }, () =>
      open(url, { 'Content-Length': PAYLOAD.length }),
    )
    await until(async () => (await post()).status === 503, { what: 'no free place' })
    for (const request of requests) request.end(PAYLOAD)
    for (const [status] of await Promise.all(requests.map(readResponse))) assert.equal(status, 200)
    assert.equal((await post()).status, 200)
  })

  test('bodies of 2 MiB are accepted up to 8 MiB, with or without a length in the headers', async (t) => {
    const { url, post } = await serve(t)
    for (const headers of [{ 'Content-Length': MAX_BYTES }, {}]) {
      const requests = Array.from({ length: 4 }, () => open(url, headers))
      await until(async () => (await post()).status === 503, { what: 'the limit' })
      for (const request of requests) request.end(PAYLOAD.padEnd(MAX_BYTES))
      for (const [status] of await Promise.all(requests.map(readResponse))) {
        assert.equal(status, 200)
      }
      assert.equal((await post()).status, 200)
    }
  })

  test('a scrape is answered while thousands of notifications are being rejected', async (t) => {
    const { deliver, release } = hold()
    const { url, post, notifications } = await serve(t, { deliver })
    const accepted = Array.from({ length: MAX_NOTIFICATIONS }, () => post())
    await until(() => notifications.length === MAX_NOTIFICATIONS, { what: '16 notifications' })
    const request = `POST /alerts HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${TOKEN}\r\nContent-Length: ${Buffer.byteLength(PAYLOAD)}\r\n\r\n${PAYLOAD}`
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    let rejected = 0
    let isScraped = false
    socket.on('data', (chunk: Buffer) => {
      rejected += chunk.toString('latin1').split('HTTP/1.1 503').length - 1
      if (!isScraped && rejected < 100_000) socket.write(request.repeat(100))
    })
    socket.write(request.repeat(100))
    await until(() => rejected > 2000, { what: '2000 rejected notifications' })
    const before = rejected
    const scrape = await fetch(`${url}/metrics`)
    assert.deepEqual([scrape.status, await scrape.text()], [200, 'all text\n'])
    isScraped = true
    assert.ok(rejected > before, 'notifications were rejected during the scrape')
    socket.destroy()
    release()
    for (const { status } of await Promise.all(accepted)) assert.equal(status, 200)
  })
})

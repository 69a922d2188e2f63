import assert from 'node:assert/strict'
import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import { gzipSync } from 'node:zlib'
import { compareCommand } from '../../../../src/cli/compare/compare-command.js'
import { ConfigError } from '../../../../src/errors.js'

const TEXT = 'text/plain; version=0.0.4'
const OPENMETRICS = 'application/openmetrics-text; version=1.0.0; charset=utf-8'
const USAGE = 'Usage: prosody-exporter compare OLD_METRICS_URL [NEW_METRICS_URL]'

/** @returns The `host:port` of the server. */
async function withServer(t: TestContext, answer: RequestListener): Promise<string> {
  const server = createServer(answer)
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Expects an error with one line that does not contain the password of these tests. */
async function fails(running: Promise<unknown>, expected: RegExp | string): Promise<void> {
  await assert.rejects(running, (error) => {
    assert.ok(error instanceof ConfigError)
    assert.match(error.message, /^[\x20-\x7e]{1,400}$/)
    assert.doesNotMatch(error.message, /hid/)
    if (typeof expected === 'string') assert.equal(error.message, expected)
    else assert.match(error.message, expected)
    return true
  })
}

/** Compares the response of `old` with that of `now`. */
async function run(t: TestContext, old: Answer, now: Answer = (response) => response.end('a 1\n')) {
  const host = await withServer(t, (request, response) => {
    void (request.url === '/new' ? now : old)(response)
  })
  return compareCommand([`http://${host}/old`, `http://${host}/new`])
}

type Answer = (response: ServerResponse) => unknown

test('compare without a URL, with three, or with another argument fails with its usage', async () => {
  for (const args of [
    [],
    ['http://a/', 'http://b/', 'http://c/'],
    ['/etc/hid'],
    ['--hid=x'],
    ['file:///etc/hid'],
    ['localhost:5280/hid'],
    ['http://127.0.0.1:1/', 'hid'],
    [''],
  ]) {
    await fails(compareCommand(args), USAGE)
  }
})

test('compare exits with 0, with 1 for missing series, and with 2 for unreadable lines', async (t) => {
  const codes = async (old: string, now: string) =>
    (
      await run(
        t,
        (response) => response.end(old),
        (response) => response.end(now),
      )
    ).exitCode
  assert.equal(await codes('a 1\n', 'a 1\n'), 0)
  assert.equal(await codes('a 1\n', 'b 1\n'), 1)
  assert.equal(await codes('a 1\n?\n', 'a 1\n'), 2)
  assert.equal(await codes('a 1\n', 'a 1\n?\n'), 2)
  assert.equal(await codes('a 1\n', 'b 1\n?\n'), 2)
})

test('compare accepts neither a web page nor an empty response, on either side', async (t) => {
  const page: Answer = (response) => response.end('<p>It works</p>\n')
  await fails(run(t, page), /\/old: expected metrics, got no sample; line 1 is <p>It works<\/p>$/)
  await fails(
    run(t, (response) => response.end('a 1\n'), page),
    /\/new: expected metrics, got no sample/,
  )
  await fails(
    run(t, (response) => response.end()),
    /\/old: expected metrics, got no sample$/,
  )
  for (const type of ['text/html; charset=utf-8', 'application/json', 'Text/HTML']) {
    await fails(
      run(t, (response) => response.writeHead(200, { 'Content-Type': type }).end('a 1\n')),
      /\/old: expected metrics as text, got Content-Type [a-z/]+; use the URL of the metrics/,
    )
  }
  const protobuf = 'application/vnd.google.protobuf; encoding=delimited'
  await fails(
    run(t, (response) => response.writeHead(200, { 'Content-Type': protobuf }).end('a 1\n')),
    /got Content-Type application\/vnd\.google\.protobuf;/,
  )
})

test('compare reads the format that Content-Type names', async (t) => {
  const answer =
    (type: string, body: string): Answer =>
    (response) =>
      response.writeHead(200, type === '' ? {} : { 'Content-Type': type }).end(body)
  for (const type of [TEXT, '', 'application/octet-stream']) {
    assert.equal((await run(t, answer(type, 'a 1\n# EOF\n'))).exitCode, 0)
    assert.equal((await run(t, answer(type, 'a 1\n'))).exitCode, 0)
  }
  // mod_http_openmetrics sends version=0.0.4.
  for (const type of [OPENMETRICS, 'application/openmetrics-text; version=0.0.4']) {
    assert.equal((await run(t, answer(type, 'a 1\n# EOF\n'))).exitCode, 0)
    assert.equal((await run(t, answer(type, 'a 1\n# EOF'))).exitCode, 0)
    assert.equal((await run(t, answer(type, 'a 1\n# EOF\nb 1\n'))).exitCode, 2)
    await fails(run(t, answer(type, 'a 1\n')), /\/old: the metrics are truncated: the line "# EOF"/)
  }
})

test('compare accepts only status 200', async (t) => {
  for (const status of [201, 204, 206, 304, 400, 401, 403, 404, 500, 503]) {
    await fails(
      run(t, (response) => response.writeHead(status).end(status > 204 ? 'a 1\n' : undefined)),
      new RegExp(`/old: expected metrics, got HTTP status ${status};`),
    )
  }
})

test('compare reports a truncated response, wherever it ends', async (t) => {
  const cut = (response: ServerResponse) => {
    response.write('a 1\n', () => response.destroy())
  }
  const CLOSED = /\/old: the server closed the connection before the end of the response$/
  await fails(
    run(t, (response) => {
      cut(response.writeHead(200, { 'Content-Length': '1000' }))
    }),
    CLOSED,
  )
  await fails(run(t, cut), CLOSED)
  await fails(
    run(t, (response) => response.destroy()),
    /\/old: the server closed the connection/,
  )
  await fails(
    run(t, (response) => response.end('a 1\nb 12')),
    /\/old: the metrics are truncated in line 2$/,
  )
  const lines = gzipSync('a 1\n'.repeat(1000))
  for (const length of [12, lines.length - 9, lines.length - 8, lines.length - 1]) {
    const compressed: Answer = (response) =>
      response.writeHead(200, { 'Content-Encoding': 'gzip' }).end(lines.subarray(0, length))
    await fails(run(t, compressed), /\/old: the gzip stream of the response is truncated$/)
  }
})

test('compare decompresses gzip, and reports what it cannot decompress', async (t) => {
  const encoded =
    (encoding: string, body: Uint8Array | string): Answer =>
    (response) =>
      response.writeHead(200, { 'Content-Encoding': encoding }).end(body)
  assert.equal((await run(t, encoded('gzip', gzipSync('a 1\n')))).exitCode, 0)
  assert.equal((await run(t, encoded('identity', 'a 1\n'))).exitCode, 0)
  await fails(run(t, encoded('gzip', 'a 1\n')), /\/old: incorrect header check$/)
  await fails(
    run(t, encoded('br', 'a 1\n')),
    /\/old: the server uses a Content-Encoding that compare did not request/,
  )
})

test('compare follows redirects, and sends the password to the original server only', async (t) => {
  const seen: (string | undefined)[] = []
  const other = await withServer(t, (request, response) => {
    seen.push(request.headers.authorization)
    response.end('a 1\n')
  })
  const host = await withServer(t, (request, response) => {
    seen.push(request.headers.authorization)
    const targets: Record<string, string> = {
      '/here': '/metrics',
      '/there': `http://other:word@${other}/metrics`,
      '/loop': '/loop',
      '/file': 'file:///etc/passwd',
      '/wrong': 'http://[',
    }
    const location = targets[request.url ?? '']
    if (location === undefined) response.end('a 1\n')
    else response.writeHead(302, { Location: location }).end('moved')
  })
  const from = (path: string) =>
    compareCommand([`http://user:hid%40den@${host}${path}`, `http://${host}/new`])
  const basic = `Basic ${Buffer.from('user:hid@den').toString('base64')}`
  assert.equal((await from('/here')).exitCode, 0)
  assert.deepEqual(seen.splice(0), [basic, basic, undefined])
  assert.equal((await from('/there')).exitCode, 0)
  assert.deepEqual(seen.splice(0), [basic, undefined, undefined])
  await fails(from('/loop'), /\/loop: the server sent more than 10 redirects$/)
  await fails(from('/file'), /\/file: the server redirects to a location that is not an http/)
  await fails(from('/wrong'), /\/wrong: the server redirects to a location that is not an http/)
})

test('compare sends the password, and shows neither the password nor the parameters', async (t) => {
  const host = await withServer(t, (request, response) => {
    const basic = `Basic ${Buffer.from('user:hid@den').toString('base64')}`
    const isLocked = request.url !== '/new' && request.headers.authorization !== basic
    response.writeHead(isLocked ? 401 : 200).end('a 1\n')
  })
  const from = (user: string) =>
    compareCommand([`http://${user}${host}/locked?token=hidden`, `http://${host}/new`])
  assert.equal((await from('user:hid%40den@')).exitCode, 0)
  await fails(
    from('user:hid%zz@'),
    /: the user or password in the URL has an invalid % escape; write a % as %25$/,
  )
  for (const user of ['', 'user:hidden@'])
    await fails(from(user), /\/locked\?\.{3}: expected metrics, got HTTP status 401;/)
})

test('compare says why it cannot connect', async (t) => {
  const host = await withServer(t, (_, response) => response.end('a 1\n'))
  const port = host.split(':')[1]!
  await fails(compareCommand([`https://${host}/`]), /^https:\/\/[^ ]+\/: \S.*wrong version number/)
  await fails(compareCommand(['http://127.0.0.1:1/']), /: connect ECONNREFUSED 127\.0\.0\.1:1$/)
  // If localhost has two addresses, the combined error has no message itself.
  await fails(compareCommand(['http://localhost:1/']), /: connect ECONNREFUSED/)
  assert.equal((await compareCommand([`http://${host}/`, `http://127.0.0.1:${port}/`])).exitCode, 0)
})

test('compare closes the connection to a server whose response never ends', async (t) => {
  let closed: Promise<unknown> | undefined
  const forever: Answer = (response) => {
    closed = new Promise((resolve) => response.once('close', resolve))
    const block = Buffer.alloc(1024 * 1024, 'x')
    const more = () => {
      while (!response.destroyed && response.write(block));
    }
    response.on('drain', more)
    more()
  }
  await fails(run(t, forever), /\/old: a line is longer than the limit of 16 MiB$/)
  await closed
})

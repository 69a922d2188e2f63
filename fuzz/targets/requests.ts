import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hashSync } from 'bcryptjs'
import { createApp } from '../../src/http/routes.js'
import { addServerRoutes } from '../../src/http/server-routes.js'
import { createExposition } from '../../src/exposition/exposition.js'
import { family } from '../../src/metrics/family.js'
import { createWebAccess, type WebAccess } from '../../src/access/access.js'
import { must, type Target } from '../target.js'

const LOG = { debug() {}, info() {}, warn() {}, error() {} }
const snapshot = {
  exposition: createExposition([family('gauge', 'x', 'X.', [{ value: 1 }])], { created: false }),
}
const source = { scrape: () => Promise.resolve(snapshot), collectors: ['registry', 'constructor'] }
const NAMES = ['a', 'b c', '__proto__']
const probes = {
  names: () => NAMES,
  find: (name: string) => (NAMES.includes(name) ? source : undefined),
  debug: () => Promise.resolve('shown'),
}
const app = createApp({
  telemetryPath: '/metrics',
  maxRequests: 40,
  timeoutOffsetMs: 500,
  current: () => snapshot,
  source: () => source,
  filter: () => snapshot.exposition,
  isReady: () => true,
  addRoutes: (app, serve) => {
    addServerRoutes(app, serve, {
      timeoutOffsetMs: 500,
      external: { origin: undefined, path: '' },
      servers: probes,
      outside: probes,
      config: () => Promise.resolve('a: b\n'),
      reload: undefined,
    })
  },
  log: LOG,
})

/**
 * Sends an HTTP request to the exporter. The first line of the input is the request target, and each other line is a
 * header. The status of the response must be one that the exporter documents, never 500.
 */
export const requests: Target = {
  name: 'requests',
  weight: 4,
  seeds: [
    '/metrics?collect[]=registry&name[]=x\nX-Prometheus-Scrape-Timeout-Seconds: 9.5',
    '/probe?target=b%20c&debug=true\nAccept-Encoding: gzip',
    '/metrics?exclude%5B%5D=constructor&name[]=%ff%00',
    '/sd\nHost: example.com:9347',
    '/probe?target=__proto__&exclude[]=registry\nAccept: application/openmetrics-text;version=1.0.0',
    '/-/reload',
    '/config/../%2e%2e/metrics',
  ],
  words: [
    ...[
      '/metrics',
      '/probe',
      '?',
      '&',
      '=',
      'collect[]=',
      'exclude[]=',
      'name[]=',
      'target=',
      '%5B',
    ],
    ...[
      '%',
      '%c0',
      '%00',
      '+',
      '#',
      '/-/',
      'debug=true',
      'Accept: ',
      'Host: ',
      '\nAccept-Encoding: ',
    ],
    ...['X-Prometheus-Scrape-Timeout-Seconds: ', '__proto__', 'constructor', '..', '//', '\\'],
  ],
  async run(input) {
    const [target = '', ...lines] = input.toString('latin1').split('\n')
    const headers = new Headers({ Host: 'h' })
    for (const line of lines) {
      const colon = line.indexOf(':')
      try {
        headers.set(line.slice(0, colon), line.slice(colon + 1))
      } catch {
        // `Headers` rejects this header. In a real server, node:http also rejects it before the exporter's code runs.
      }
    }
    const request = requestOf(target, headers)
    if (!request) return
    const response = await app.fetch(request)
    const { status } = response
    // If requests have `debug=true` more often than once a second, the status is 503.
    must([200, 400, 404, 405, 403, 503].includes(status), `the exporter must not send ${status}`)
    const body = await response.arrayBuffer()
    const length = response.headers.get('content-length')
    must(
      length === null || Number(length) === body.byteLength,
      'Content-Length must be the length of the body',
    )
    if (status === 400)
      must(!/[\r\n]./.test(Buffer.from(body).toString()), 'an error must be one line')
  },
}

function requestOf(target: string, headers: Headers): Request | undefined {
  try {
    return new Request(`http://h/${target.replace(/^\//, '')}`, { headers })
  } catch {
    return undefined
  }
}

const PASSWORD = 'pass:wörd'
const TOKEN = 'abcdefgh-token'
const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`
let web: { readonly of: WebAccess; readonly directory: string } | undefined

/** Uses the input as the header `Authorization`. It may give access only with the right password or token. */
export const authorization: Target = {
  name: 'authorization',
  weight: 1,
  seeds: [
    basic(`alice:${PASSWORD}`),
    `Bearer ${TOKEN}`,
    basic('__proto__:x'),
    'Basic !!',
    'Digest a="b"',
  ],
  words: ['Basic ', 'Bearer ', 'basic', ' ', '=', basic('alice:x').slice(6), basic(':'), TOKEN],
  async run(input) {
    web ??= startWeb()
    const header = input.toString('latin1')
    const refusal = await web.of.checkRequest({
      headers: { authorization: header },
      socket: { remoteAddress: '127.0.0.1' } as never,
    })
    must(
      refusal === undefined || [401, 429].includes(refusal.status),
      `the status must be 401 or 429: ${refusal?.status}`,
    )
    const [, scheme = '', credentials = ''] = /^(\w+) +(\S+) *$/.exec(header) ?? []
    const isRight =
      scheme.toLowerCase() === 'bearer'
        ? credentials === TOKEN
        : Buffer.from(credentials, 'base64').toString() === `alice:${PASSWORD}`
    if (refusal === undefined) must(isRight, `wrong credentials must not give access: ${header}`)
  },
  async stop() {
    const started = web
    web = undefined
    await started?.of.stop()
    if (started) rmSync(started.directory, { recursive: true, force: true })
  },
}

function startWeb() {
  const directory = mkdtempSync(join(tmpdir(), 'prosody-exporter-fuzz-'))
  writeFileSync(join(directory, 'token'), TOKEN, { mode: 0o600 })
  const hash = hashSync(PASSWORD, 4)
  const file = join(directory, 'web.yml')
  writeFileSync(
    file,
    `basic_auth_users: {alice: "${hash}", __proto__: "${hash}"}\nbearer_token_files: [token]\n`,
  )
  return { directory, of: createWebAccess({ from: 'flag', source: '--web', text: file }, LOG) }
}

import assert from 'node:assert/strict'
import { afterEach, describe, test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { readWaitMs } from '../../../src/http/scrape-deadline.js'
import type { Exposition } from '../../../src/exposition/exposition.js'
import { negotiate } from '../../../src/exposition/negotiate.js'
import { createFakeApp as createPlainApp, exposition, serving } from '../../support/fake-app.js'
import { TRANSPORTS } from '../../support/transports.js'

const TIMEOUT_HEADER = 'X-Prometheus-Scrape-Timeout-Seconds'

describe('the scrape timeout', () => {
  test('a scrape can take at least half of the timeout in the header', () => {
    assert.equal(readWaitMs('2', 500), 1500)
    assert.equal(readWaitMs('2', 5000), 1000)
    assert.equal(readWaitMs('2', 0), 2000)
    assert.equal(readWaitMs('600', 0), 600_000)
  })

  test('a timeout header that is not a valid number of seconds is ignored', () => {
    const texts = [
      '',
      '0',
      '-1',
      '+1',
      '1e3',
      'NaN',
      'Infinity',
      '0x10',
      '1s',
      '10, 10',
      '601',
      '.5',
    ]
    for (const text of [...texts, '9'.repeat(400)]) {
      assert.equal(readWaitMs(text, 500), undefined, text)
    }
    assert.equal(readWaitMs(undefined, 500), undefined)
  })
})

for (const transport of TRANSPORTS) {
  describe(`over ${transport.name}`, () => {
    const { over, close } = serving(transport)
    afterEach(close)

    function createFakeApp(...fakes: Parameters<typeof createPlainApp>) {
      const { app, ...others } = createPlainApp(...fakes)
      return { ...others, app: over(app) }
    }

    describe('the telemetry path', () => {
      test('a browser gets the Prometheus text format with Content-Length', async () => {
        const response = await createFakeApp().app.request('/metrics')
        assert.equal(response.status, 200)
        assert.deepEqual(Object.fromEntries(response.headers), {
          'cache-control': 'no-store',
          'content-length': '9',
          'content-type': negotiate(undefined).contentType,
          vary: 'Accept, Accept-Encoding',
          'x-content-type-options': 'nosniff',
        })
        assert.equal(await response.text(), 'all text\n')
      })

      test('a client that accepts OpenMetrics gets OpenMetrics', async () => {
        const response = await createFakeApp().app.request('/metrics', {
          headers: { Accept: 'application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2' },
        })
        assert.match(
          response.headers.get('Content-Type') ?? '',
          /^application\/openmetrics-text; ?v/,
        )
        assert.equal(await response.text(), 'all openmetrics\n')
      })

      test('a client that accepts gzip gets a compressed body, whose length is in Content-Length', async () => {
        const response = await createFakeApp().app.request('/metrics', {
          headers: { 'Accept-Encoding': 'gzip' },
        })
        assert.equal(response.headers.get('Content-Encoding'), 'gzip')
        const body = Buffer.from(await response.arrayBuffer())
        assert.equal(response.headers.get('Content-Length'), String(body.length))
        assert.equal(gunzipSync(body).toString(), 'all text\n')
        const refused = await createFakeApp().app.request('/metrics', {
          headers: { 'Accept-Encoding': 'gzip;q=0' },
        })
        assert.equal(refused.headers.get('Content-Encoding'), null)
      })

      test('the response to HEAD has the headers of GET and no body', async () => {
        const { app } = createFakeApp()
        const got = await app.request('/metrics')
        const head = await app.request('/metrics', { method: 'HEAD' })
        assert.equal(head.status, 200)
        assert.deepEqual([...head.headers], [...got.headers])
        assert.equal(await head.text(), '')
      })

      test('metrics are served from the current snapshot without a scrape, in each format and encoding', async () => {
        const rendered: string[] = []
        const all = exposition('all')
        const current = {
          exposition: {
            bytes: (format) => (rendered.push(format), all.bytes(format)),
            gzip: (format) => (rendered.push(`${format}, gzip`), all.gzip(format)),
          } satisfies Exposition,
        }
        let isCurrent = false
        const { app } = createFakeApp({
          snapshot: current,
          current: () => (isCurrent ? current : undefined),
          scrape: () =>
            isCurrent ? Promise.reject(new Error('no scrape was needed')) : Promise.resolve(),
        })
        const readers = ['text/plain', 'application/openmetrics-text;version=1.0.0'].flatMap(
          (Accept) =>
            ['identity', 'gzip'].map((encoding) => ({ Accept, 'Accept-Encoding': encoding })),
        )
        const ask = (headers: Record<string, string>) => app.request('/metrics', { headers })
        const shown = async (response: Response) => [
          ...response.headers,
          Buffer.from(await response.arrayBuffer()).toString('hex'),
        ]
        const waited = await Promise.all(readers.map(async (each) => shown(await ask(each))))
        assert.equal(new Set(waited.map((each) => each.at(-1))).size, 4)
        const count = rendered.length
        isCurrent = true
        for (let again = 0; again < 2; again++) {
          const atOnce = await Promise.all(readers.map(async (each) => shown(await ask(each))))
          assert.deepEqual(atOnce, waited)
        }
        assert.equal(rendered.length, count)
        const head = await app.request('/metrics', { method: 'HEAD' })
        assert.equal(head.headers.get('Content-Length'), '9')
      })

      test('a request with query parameters starts a scrape, even if a current snapshot exists', async () => {
        const current = { exposition: exposition('all') }
        const { app } = createFakeApp({ snapshot: current, current: () => current })
        assert.equal(await (await app.request('/metrics')).text(), 'all text\n')
        assert.equal(await (await app.request('/metrics?name[]=a')).text(), 'a text\n')
        assert.equal(await (await app.request('/metrics')).text(), 'all text\n')
      })

      test('a snapshot is filtered once for the same names in any order', async () => {
        const made: string[] = []
        const app = createFakeApp({
          snapshot: { exposition: exposition('all') },
          filtered: (names) => made.push(names),
        }).app
        for (const query of ['name[]=a&name[]=b', 'name[]=b&name[]=a', 'collect[]=ping']) {
          for (let i = 0; i < 3; i++) await app.request(`/metrics?${query}`)
        }
        assert.deepEqual(made, ['a+b', 'ping'])
        // The cache of filter results holds only a few filters.
        for (let i = 0; i < 20; i++) await app.request(`/metrics?name[]=x${i}`)
        await app.request('/metrics?name[]=x0')
        assert.equal(made.filter((name) => name === 'x0').length, 2)
      })

      test('every parameter name[] of the query is used, percent-encoded or not', async () => {
        const { app } = createFakeApp()
        const ask = async (query: string) => (await app.request(`/metrics?${query}`)).text()
        assert.equal(await ask('name[]=a&name[]=b'), 'a+b text\n')
        assert.equal(await ask('name%5B%5D=a&other=c&name%5B%5D=b'), 'a+b text\n')
        assert.equal(await ask('name=a'), 'all text\n')
        assert.equal(await ask('name[]=%ZZ'), '%ZZ text\n')
      })

      test('a scrape can take the timeout in the header minus the offset', async () => {
        const { app, waits, lines } = createFakeApp()
        for (const seconds of ['10', '1', '0.5']) {
          await app.request('/metrics', { headers: { [TIMEOUT_HEADER]: seconds } })
        }
        assert.deepEqual(waits, [9500, 500, 250])
        assert.deepEqual(lines, [])
      })

      test('a scrape can take 10 s without a timeout header, or with an invalid one, which is logged', async () => {
        const { app, waits, lines } = createFakeApp()
        await app.request('/metrics')
        assert.deepEqual(lines, [])
        await app.request('/metrics', { headers: { [TIMEOUT_HEADER]: 'soon' } })
        assert.deepEqual(waits, [10_000, 10_000])
        assert.deepEqual(
          lines.map(({ level, fields }) => ({ level, fields })),
          [{ level: 'debug', fields: { value: 'soon' } }],
        )
      })

      test('the telemetry path can be any path, even the root', async () => {
        for (const telemetryPath of ['/prosody/metrics', '/']) {
          const { app } = createFakeApp({ telemetryPath })
          assert.equal(await (await app.request(telemetryPath)).text(), 'all text\n')
          assert.equal((await app.request('/metrics')).status, 404)
        }
      })

      test('if a scrape throws an error, the response is 500 with one line, and the error is logged once', async () => {
        const scrape = () => Promise.reject(new Error('inner workings'))
        const { app, lines } = createFakeApp({ scrape })
        const response = await app.request('/metrics')
        assert.equal(response.status, 500)
        assert.equal(response.headers.get('Content-Type'), 'text/plain; charset=utf-8')
        assert.equal(
          await response.text(),
          'Internal error: the request failed. See the log of the exporter.\n',
        )
        assert.deepEqual(lines, [
          {
            level: 'error',
            message: 'request failed',
            fields: { path: '/metrics', error: 'inner workings' },
          },
        ])
      })
    })

    describe('the other paths', () => {
      test('/-/healthy is 200 and starts no scrape', async () => {
        const { app, waits } = createFakeApp({ ready: false })
        const response = await app.request('/-/healthy')
        assert.equal(response.status, 200)
        assert.equal(await response.text(), 'Prosody Exporter is healthy.\n')
        assert.deepEqual(waits, [])
      })

      test('/-/ready is 503 until ready, and starts no scrape', async () => {
        const status = async (ready: boolean) => {
          const { app, waits } = createFakeApp({ ready })
          const response = await app.request('/-/ready')
          assert.deepEqual(waits, [])
          return response.status
        }
        assert.equal(await status(false), 503)
        assert.equal(await status(true), 200)
      })

      test('an unknown path is 404 as text for every method', async () => {
        const { app } = createFakeApp()
        for (const path of ['/metrics/', '/Metrics', '/metrics/x', '/-/', '/probe', '/%00']) {
          for (const method of ['GET', 'POST', 'HEAD']) {
            const response = await app.request(path, { method })
            assert.equal(response.status, 404, `${method} ${path}`)
            assert.equal(response.headers.get('Content-Type'), 'text/plain; charset=utf-8')
          }
        }
      })

      test('an unsupported method on a known path is 405 and lists the allowed methods', async () => {
        const { app, waits } = createFakeApp()
        for (const path of ['/metrics', '/-/healthy', '/-/ready']) {
          for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'PROPFIND', 'TRACE']) {
            const response = await app.request(path, { method })
            assert.equal(response.status, 405, `${method} ${path}`)
            assert.equal(response.headers.get('Allow'), 'GET, HEAD, OPTIONS')
          }
        }
        assert.deepEqual(waits, [])
      })
    })

    describe('OPTIONS', () => {
      const options = async (path: string) => {
        const { app, waits } = createFakeApp({ servers: ['one'] })
        const response = await app.request(path, { method: 'OPTIONS' })
        assert.deepEqual(waits, [])
        assert.equal(await response.text(), '')
        return [response.status, response.headers.get('Allow')]
      }

      test('the response to OPTIONS is 204 on every route, and lists the methods of the route', async () => {
        for (const path of ['/metrics', '/-/healthy', '/-/ready', '/probe', '/sd', '/config']) {
          assert.deepEqual(await options(path), [204, 'GET, HEAD, OPTIONS'], path)
        }
        assert.deepEqual(await options('/-/reload'), [204, 'POST, PUT, OPTIONS'])
      })

      test('the response to OPTIONS has no Content-Length, and is 404 on an unknown path', async () => {
        const { app } = createFakeApp()
        const response = await app.request('/metrics', { method: 'OPTIONS' })
        assert.equal(response.headers.get('Content-Length'), null)
        assert.equal((await app.request('/none', { method: 'OPTIONS' })).status, 404)
      })
    })

    describe('several servers', () => {
      const list = async (headers: Record<string, string> = {}) => {
        const { app } = createFakeApp({ servers: ['one', 'two'] })
        const response = await app.request('/sd', { headers })
        assert.equal(response.status, 200, JSON.stringify(headers))
        return (await response.json()) as { targets: string[]; labels: Record<string, string> }[]
      }

      test('/sd lists the servers with the host and the scheme of the request', async () => {
        const groups = await list({ Host: 'stats.example:9347' })
        const scheme = transport.scheme === 'https' ? { __scheme__: 'https' } : {}
        assert.deepEqual(
          groups,
          ['one', 'two'].map((name) => ({
            targets: ['stats.example:9347'],
            labels: { ...scheme, __metrics_path__: '/probe', __param_target: name, instance: name },
          })),
        )
      })

      test('/sd accepts every valid form of the Host header', async () => {
        const hosts: Readonly<Record<string, string>> = {
          'name:': 'name',
          'NAME:9347': 'name:9347',
          '[::1]:9347': '[::1]:9347',
          '[0:0:0:0:0:0:0:1]:': '[::1]',
          '[::FFFF:192.0.2.1]': '[::ffff:c000:201]',
          '127.0.0.1:09347': '127.0.0.1:9347',
          'st%61ts.example': 'stats.example',
        }
        for (const [host, target] of Object.entries(hosts)) {
          const [group] = await list({ Host: host })
          assert.deepEqual(group!.targets, [target], host)
        }
      })

      test('/probe serves the metrics of the server that the parameter target names', async () => {
        const { app } = createFakeApp({ servers: ['one', 'a b'] })
        for (const query of ['target=one', 'target=a%20b', 'target=a+b', 'target=one&debug=true']) {
          assert.equal((await app.request(`/probe?${query}`)).status, 200, query)
        }
        assert.equal((await app.request('/probe?target=none')).status, 400)
      })

      test('/probe?module=outside serves the metrics of a configured domain, and no server', async () => {
        const { app } = createFakeApp({ servers: ['one'], domains: ['example.com'] })
        const get = async (query: string) => {
          const response = await app.request(`/probe?${query}`)
          return { status: response.status, text: await response.text() }
        }
        const found = 'module=outside&target=example.com'
        assert.equal((await get(found)).status, 200)
        assert.deepEqual(await get(`${found}&debug=true`), { status: 200, text: 'conversation\n' })
        for (const query of [found, 'module=outside&target=Example.COM'])
          assert.equal((await get(`${query}&debug=true`)).status, 503, query)
        const wrong = await get('module=outside&target=one')
        assert.equal(wrong.status, 400)
        assert.match(wrong.text, /a domain that the exporter checks from outside/)
        for (const query of ['target=example.com', 'module=&target=one', 'module=x&target=one']) {
          assert.equal((await get(query)).status, 400, query)
        }
      })

      test('/sd?module=outside lists the domains', async () => {
        const { app } = createFakeApp({ servers: ['one'], domains: ['example.com'] })
        const response = await app.request('/sd?module=outside', { headers: { Host: 'a:9347' } })
        const [group, ...others] = (await response.json()) as { labels: Record<string, string> }[]
        assert.deepEqual(others, [])
        const { __param_module, __param_target, instance } = group!.labels
        assert.deepEqual(
          { __param_module, __param_target, instance },
          { __param_module: 'outside', __param_target: 'example.com', instance: 'example.com' },
        )
      })

      test('without checks from outside, module=outside is refused with the setting to add', async () => {
        const { app } = createFakeApp({ servers: ['one'] })
        for (const path of ['/probe?module=outside&target=one', '/sd?module=outside']) {
          const response = await app.request(path)
          assert.equal(response.status, 400)
          assert.match(await response.text(), /Add domains to the section outside/)
        }
      })

      test('/-/reload reloads the configuration for POST and PUT only', async () => {
        const { app } = createFakeApp({ servers: [] })
        for (const method of ['POST', 'PUT']) {
          assert.equal((await app.request('/-/reload', { method })).status, 200)
        }
        for (const method of ['GET', 'HEAD', 'DELETE']) {
          const response = await app.request('/-/reload', { method })
          assert.equal(response.status, 405)
          assert.equal(response.headers.get('Allow'), 'POST, PUT, OPTIONS')
        }
      })
    })

    describe('a snapshot of a server that is down', () => {
      test('the response with a snapshot of a failed server has status 503 and the same body and headers, if isFailure is set', async () => {
        const down = { exposition: exposition('down') }
        const fakes = { snapshot: down, servers: ['one'], isFailure: (s: object) => s === down }
        const { app } = createFakeApp(fakes)
        const plain = createFakeApp({ ...fakes, isFailure: () => false }).app
        for (const path of ['/metrics', '/metrics?collect[]=ping', '/probe?target=one']) {
          for (const method of ['GET', 'HEAD']) {
            for (const encoding of ['identity', 'gzip']) {
              const asked = { method, headers: { 'Accept-Encoding': encoding } }
              const [failed, served] = [
                await app.request(path, asked),
                await plain.request(path, asked),
              ]
              assert.deepEqual([failed.status, served.status], [503, 200], path)
              assert.deepEqual([...failed.headers], [...served.headers])
              assert.equal(await failed.text(), await served.text())
            }
          }
        }
      })

      test('a current snapshot of a failed server is served with status 503, and the next snapshot with 200', async () => {
        const [down, up] = [{ exposition: exposition('down') }, { exposition: exposition('up') }]
        let current: { exposition: Exposition } = down
        const fakes = {
          snapshot: down,
          current: () => current,
          isFailure: (s: object) => s === down,
        }
        const { app, waits } = createFakeApp(fakes)
        for (let i = 0; i < 2; i++) assert.equal((await app.request('/metrics')).status, 503)
        assert.equal(waits.length, 1)
        current = fakes.snapshot = up
        for (let i = 0; i < 2; i++) assert.equal((await app.request('/metrics')).status, 200)
      })
    })
  })
}

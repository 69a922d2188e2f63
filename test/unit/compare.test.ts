import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, test } from 'node:test'
import { compareCommand } from '../../src/compare/command.js'
import { compare, comparisonText } from '../../src/compare/compare.js'
import { ConfigError } from '../../src/errors.js'

const OLD = `# HELP a Help
# TYPE a counter
a_total{host="x",b="1"} 1
a_total{host="y"} 2
a_created{host="x"} 1
# TYPE h histogram
h_bucket{le="1"} -nan
h_sum 1
h_count 1
# EOF
`

describe('compare', () => {
  test('finds what is there under any format, order of labels, or escaping', () => {
    const { isComplete, families, added } = compare(
      OLD,
      `# TYPE a_total counter
a_total{b="1",host="x"} 1
a_total{host="y"} 3
# TYPE h histogram
h_bucket{le="1.0"} NaN
h_sum 1
h_count 1
new 1
`,
    )
    assert.equal(isComplete, true)
    assert.deepEqual(families, [
      { name: 'a', series: 2, missing: [], moved: 1 },
      { name: 'h', series: 3, missing: [], moved: 0 },
    ])
    assert.deepEqual(added, ['new'])
  })

  test('takes a label that is escaped twice, and one that has a backslash, for what they are', () => {
    const old = String.raw`twice{a="x\\\\y\\\"z"} 1
once{a="x\\y"} 1
other{a="x\\\\y"} 1
`
    const ours = String.raw`twice{a="x\\y\"z"} 1
once{a="x\\y"} 1
other{a="xy"} 1
`
    const { families } = compare(old, ours)
    assert.deepEqual(
      families.map(({ name, missing }) => [name, missing.length]),
      [
        ['once', 0],
        ['other', 1],
        ['twice', 0],
      ],
    )
  })

  test('names what is missing', () => {
    const comparison = compare(OLD, '# TYPE a_total counter\na_total{b="2",host="x"} 1\n')
    assert.equal(comparison.isComplete, false)
    const text = comparisonText(comparison)
    assert.match(text, /^ {4}missing: a_total\{b="1",host="x"\}$/m)
    assert.match(text, /^ {4}missing: h_sum\{\}$/m)
    assert.match(text, /^Of 2 of 2 families series are missing/m)
  })

  test('takes no page for metrics, says so when one is cut, and sends a password without showing it', async (t) => {
    const server = createServer((request, response) => {
      if (request.url === '/page') return response.end('<p>It works</p>\n')
      if (request.url === '/cut') {
        response.writeHead(200, { 'Content-Length': '1000' }).write('a 1\n')
        return setTimeout(() => response.destroy(), 20)
      }
      const basic = `Basic ${Buffer.from('user:hid@den').toString('base64')}`
      const isLocked = request.url === '/locked' && request.headers.authorization !== basic
      return response.writeHead(isLocked ? 401 : 200).end('a 1\n')
    })
    t.after(() => {
      server.closeAllConnections()
      server.close()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
    const run = (path: string, user = '') =>
      compareCommand([`http://${user}${host}${path}`, `http://${host}/new`])
    const fails = (path: string, user: string, expected: RegExp) =>
      assert.rejects(run(path, user), (error: unknown) => {
        assert.ok(error instanceof ConfigError)
        assert.match(error.message, expected)
        assert.doesNotMatch(error.message, /hid/)
        return true
      })
    await fails('/page', 'user:hid%40den@', /\/page: expected metrics, got no sample$/)
    await fails('/cut', '', /\/cut: /)
    await fails('/locked', 'user:hidden@', /\/locked: expected metrics, got status 401$/)
    await fails('/locked', 'user:hid%zz@', /\/locked: URI malformed$/)
    assert.equal((await run('/locked', 'user:hid%40den@')).exitCode, 0)
  })
})

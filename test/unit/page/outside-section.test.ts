import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createHistory } from '../../../src/history/history.js'
import type { DomainCheck, Problem } from '../../../src/outside/outside-check.js'
import { PROBLEMS, type ProblemCode } from '../../../src/outside/problem-severity.js'
import { createOutsideSection } from '../../../src/page/outside-section.js'
import {
  CERTIFICATE,
  CHECKED_AT,
  createDomainCheck,
  createEndpoint,
  createEndpointCheck,
  createFailedCheck,
  FAULTY,
  HEALTHY,
  NOT_FOUND,
} from '../../support/outside-checks.js'
import { createPageServer, createTestPage, createUpSummary } from '../../support/status-page.js'

const now = Date.now()

function createUpServer(name = 'main') {
  const history = createHistory({ intervalMs: 15_000 })
  history.add(createUpSummary(now))
  return createPageServer(history, name)
}

async function readPage(
  checks: readonly DomainCheck[] | undefined,
  servers = [createUpServer()],
  path = '/',
) {
  const section = checks && createOutsideSection(() => checks)
  const { app } = createTestPage(servers, section)
  return await (await app.request(path)).text()
}

const textOf = (html: string) =>
  html
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .replace(/ ([,:;).])/g, '$1')

/** Returns the HTML of the section. */
const sectionOf = (html: string) =>
  /<section aria-labelledby="outside-title">[^]*?<\/section>/.exec(html)?.[0] ?? ''

const listEntries = (...checks: readonly DomainCheck[]) =>
  createOutsideSection(() => checks).listEntries()

const countOf = (text: string, part: string) => text.split(part).length - 1

describe('the checks from outside on the page', () => {
  test('without domains, the page has no section, and the overview has no list of problems', async () => {
    assert.doesNotMatch(await readPage(undefined), /outside/i)
    const overview = await readPage(undefined, [createUpServer('a'), createUpServer('b')])
    assert.doesNotMatch(overview, /outside|id="attention"/i)
  })

  test('before the first check has ended, the section says so', async () => {
    const page = await readPage([])
    assert.match(textOf(sectionOf(page)), /From outside The first check has not ended yet\./)
    assert.match(page, /<h1 class="up">/)
  })

  test('the section of a healthy domain shows what was found at each endpoint', async () => {
    const page = await readPage([HEALTHY])
    const text = textOf(sectionOf(page))
    assert.match(text, /example\.org works checked at 15:06:40 UTC/)
    assert.match(
      text,
      /xmpp-client works xmpp\.example\.org:5222 over IPv4; TLSv1\.3; certificate of Let&#39;s Encrypt R13 expires in 60 days; SCRAM-SHA-1, SCRAM-SHA-1-PLUS, PLAIN 82 ms/,
    )
    assert.match(
      text,
      /xmpp-server works xmpp\.example\.org:5269 over IPv6; TLSv1\.3; certificate of .{20,50}; dialback 82 ms/,
    )
    assert.match(text, /websocket works xmpp\.example\.org:443 over IPv6/)
    assert.match(
      text,
      /SRV records: xmpp-client 1, xmpps-client 1, xmpp-server 1, xmpps-server 1\./,
    )
    assert.match(textOf(page), /Nothing needs attention\./)
    assert.doesNotMatch(text, /Not shown/)
  })

  test('the problems of a domain are in the headline, in the list of what needs attention, and in the section', async () => {
    const page = await readPage([FAULTY])
    const { length } = listEntries(FAULTY)
    assert.match(
      page,
      new RegExp(`<h1 class="impaired red">Prosody is up, with ${length} problems`),
    )
    assert.match(textOf(page), /Needs attention Urgent: old\.example\.org, the target of/)
    const text = textOf(sectionOf(page))
    assert.match(text, /example\.org \d+ problems checked at/)
    assert.match(text, /Error: old\.example\.org, the target of .* Add an address for/)
    assert.match(
      text,
      /xmpp-client failed xmpp\.example\.org:5222 over IPv6 connection_timeout .*xmpp-client warning .* expires in 3 days; .* certificate_expires_soon xmpps-client warning .* certificate_stale SRV/,
    )
    assert.match(
      text,
      /SRV records: xmpp-client 2, xmpps-client 1, xmpp-server none, xmpps-server not offered\./,
    )
    assert.match(textOf(await readPage([NOT_FOUND])), /Needs attention Urgent: example\.org/)
  })

  test('each problem of a check is an entry, which is urgent if the problem is an error', () => {
    for (const [code, severity] of Object.entries(PROBLEMS)) {
      const problem: Problem = { code: code as ProblemCode, service: 'xmpp-client' }
      const [entry, ...others] = listEntries(createDomainCheck({ problems: [problem] }))
      assert.equal(entry?.severity, severity === 'error' ? 'red' : 'amber', code)
      assert.match(entry.cause, /^\S.*\.$/, code)
      assert.deepEqual(others, [])
    }
  })

  test('the same problem of several endpoints is one entry, which names some of them', () => {
    const endpoints = (['xmpp-client', 'xmpps-client', 'xmpp-server'] as const).flatMap((service) =>
      (['ipv4', 'ipv6'] as const).map((family) =>
        createFailedCheck(createEndpoint(service, family), 'connection_refused'),
      ),
    )
    const [entry, ...others] = listEntries(createDomainCheck({ endpoints }))
    assert.deepEqual(others, [])
    assert.match(
      entry!.remedy,
      / The same is true for: xmpp-client at xmpp\.example\.org:5222 over IPv6, xmpps-client at xmpp\.example\.org:5223 over IPv4, xmpps-client at xmpp\.example\.org:5223 over IPv6, and 2 more\.$/,
    )
  })

  test('a problem that many domains share is one entry, which names some of them', () => {
    const shared = Array.from({ length: 1000 }, (_, i) =>
      createDomainCheck({
        domain: `${String(i).padStart(3, '0')}.example`,
        endpoints: [createFailedCheck(createEndpoint('xmpp-client'), 'connection_refused')],
      }),
    )
    const [entry, ...others] = listEntries(...shared)
    assert.deepEqual(others, [])
    assert.match(
      entry!.remedy,
      /Other domains with this problem: 001\.example, 002\.example, 003\.example, and 996 more\.$/,
    )
  })

  test('a broken address family is an entry only if no endpoint says what is wrong', () => {
    const problems = [{ code: 'ipv6_broken', service: 'xmpp-client' }] as const
    const up = createEndpointCheck(createEndpoint('xmpp-client'))
    const down = createFailedCheck(createEndpoint('xmpp-client', 'ipv6'), 'connection_timeout')
    const causesOf = (check: DomainCheck) => listEntries(check).map(({ cause }) => cause)
    const [cause, ...others] = causesOf(createDomainCheck({ endpoints: [up, down], problems }))
    assert.match(cause!, /^Port 5222 of xmpp\.example\.org over IPv6 does not answer/)
    assert.deepEqual(others, [])
    const [broken] = causesOf(createDomainCheck({ endpoints: [up], problems }))
    assert.match(broken!, /^example\.org works for clients over IPv4, but not over IPv6\.$/)
  })

  test('different certificates are an entry only if none of them is wrong', () => {
    const problems = [{ code: 'certificates_differ', service: 'xmpp-client' }] as const
    const expired = createEndpointCheck(createEndpoint('xmpp-client'), ['certificate_expired'])
    const up = createEndpointCheck(createEndpoint('xmpp-client'), ['certificate_expires_soon'])
    const countEntries = (check: DomainCheck) => listEntries(check).length
    assert.equal(countEntries(createDomainCheck({ endpoints: [expired], problems })), 1)
    assert.equal(countEntries(createDomainCheck({ endpoints: [up], problems })), 2)
  })

  test('with several servers, the overview has the problems of domains, and the pages of the servers do not', async () => {
    const servers = [createUpServer('a'), createUpServer('b')]
    const overview = await readPage([FAULTY], servers)
    const TITLE = 'All 2 servers are up; 1 domain with a problem from outside'
    assert.match(overview, new RegExp(`<h1 class="impaired red">\\s*${TITLE}\\s*</h1>`))
    assert.match(textOf(overview), /Needs attention Urgent: old\.example\.org/)
    assert.match(textOf(sectionOf(overview)), /example\.org 9 problems/)
    const single = await readPage([FAULTY], servers, '/?server=a')
    assert.doesNotMatch(single, /From outside|old\.example\.org/)
    assert.match(single, /<h1 class="up">/)
  })

  test('without any server, the overview is about the domains alone', async () => {
    const titleOf = async (...checks: readonly DomainCheck[]) => {
      const page = await readPage(checks, [])
      assert.match(page, /<div id="servers"><\/div>/)
      return /<h1 class="([^"]*)">\s*([^<]*?)\s*<\/h1>/.exec(page)?.slice(1).join(': ')
    }
    assert.equal(await titleOf(), 'pending: Checking the domains')
    assert.equal(await titleOf(HEALTHY), 'up: No problems with 1 domain')
    const other = { ...FAULTY, domain: 'other.example' }
    assert.equal(await titleOf(HEALTHY, other), 'impaired red: Problems with 1 of 2 domains')
    const warning = createDomainCheck({ problems: [{ code: 'dns_slow' }] })
    assert.equal(await titleOf(warning), 'impaired: Problems with 1 of 1 domain')
  })

  test('of many domains, the section shows those with problems first, and omits the others', async () => {
    const checks = Array.from({ length: 1000 }, (_, i) => {
      const domain = `${String(i).padStart(3, '0')}.example`
      if (i === 700) return { ...FAULTY, domain }
      const problems: readonly Problem[] = i % 40 === 39 ? [{ code: 'dns_slow' }] : []
      return { ...HEALTHY, domain, problems }
    })
    const page = await readPage(checks, [])
    const section = sectionOf(page)
    const names = Array.from(section.matchAll(/<b>(\d+)\.example<\/b>/g), ([, name]) => name)
    assert.equal(names.length, 20)
    assert.deepEqual(names.slice(0, 3), ['700', '039', '079'])
    assert.match(textOf(section), /Not shown: 980 domains, 6 of them with a problem\./)
    assert.match(page, /Problems with 26 of 1,000 domains/)
    assert.ok(page.length < 400_000, `${page.length} bytes`)
  })

  test('the section omits endpoints and problems of a domain that has very many', async () => {
    const endpoints = Array.from({ length: 60 }, (_, i) =>
      createEndpointCheck(createEndpoint('xmpp-client', 'ipv4', `t${i}.example.org`)),
    )
    const problems = (Object.keys(PROBLEMS) as ProblemCode[]).map((code) => ({ code }))
    const text = textOf(sectionOf(await readPage([createDomainCheck({ endpoints, problems })])))
    assert.match(text, /Not shown: 44 endpoints\./)
    assert.match(text, new RegExp(`Not shown: ${problems.length - 10} problems\\.`))
    assert.equal(countOf(text, ' over IPv4; TLSv1.3'), 16)
  })

  test('texts from the network are escaped and short, and contain no addresses', async () => {
    const evil = '<script>alert(1)</script>"\'&'
    const endpoint = createEndpoint('xmpp-client', 'ipv4', '192.0.2.7')
    const check = createEndpointCheck(endpoint, ['stream_error'], {
      certificate: { ...CERTIFICATE, issuer: evil + 'x'.repeat(500) + 'END' },
      mechanisms: ['PLAIN', evil, 'A'.repeat(40), 'SCRAM-SHA-256', 'X-ONE', 'X-TWO', 'X-THREE'],
      problems: [
        { code: 'stream_error', service: 'xmpp-client', detail: `${evil} 2001:db8::7 10.0.0.7` },
        { code: 'srv_target_invalid', service: 'xmpp-client', target: '2001:db8::8' },
      ],
      transcript: ['secret transcript'],
    })
    const page = await readPage([createDomainCheck({ endpoints: [check] })])
    assert.doesNotMatch(page, /<script>alert|END|A{40}|transcript/)
    assert.doesNotMatch(page, /192\.0\.2|2001:db8|10\.0\.0/)
    const text = textOf(sectionOf(page))
    assert.match(text, /&lt;script&gt;alert\(1\)&lt;\/script&gt;&quot;&#39;&amp;/)
    assert.match(text, /xmpp-client failed \(address\):5222 over IPv4/)
    assert.match(text, /PLAIN, SCRAM-SHA-256, X-ONE, X-TWO and 3 more/)
  })

  test('an expired certificate and an endpoint that sent nothing are shown', async () => {
    const expired = { ...CERTIFICATE, expiresAtSeconds: CHECKED_AT - 3 * 86_400 }
    const endpoints = [
      createEndpointCheck(createEndpoint('xmpp-client'), ['certificate_expired'], {
        certificate: expired,
      }),
      createFailedCheck(createEndpoint('xmpp-server', 'ipv6'), 'no_response'),
    ]
    const text = textOf(sectionOf(await readPage([createDomainCheck({ endpoints })])))
    assert.match(text, /Let&#39;s Encrypt R13 expired 3 days ago; /)
    assert.match(text, /xmpp-server failed xmpp\.example\.org:5269 over IPv6 no_response/)
  })

  test('an update of an open page has the section and the list', async () => {
    const checks: DomainCheck[] = [HEALTHY]
    const { app, page } = createTestPage(
      [],
      createOutsideSection(() => checks),
    )
    const { body } = await app.request('/-/page/events')
    const reader = body!.getReader()
    const read = async () => {
      const { value } = (await reader.read()) as { value: Uint8Array }
      const [, data = ''] = /^data: (.*)$/m.exec(new TextDecoder().decode(value))!
      return JSON.parse(data) as Record<string, string>
    }
    assert.match((await read())['outside']!, /example\.org/)
    checks[0] = FAULTY
    page.notify()
    const parts = await read()
    assert.match(parts['attention']!, /Needs attention/)
    assert.match(textOf(parts['state']!), /Problems with 1 of 1 domain/)
    page.close()
    await reader.cancel()
  })
})

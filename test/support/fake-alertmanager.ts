/** A small fake of Alertmanager's API v2, in memory, for tests of silences and of wrong answers. */

import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'

export type FakeAlert = {
  readonly labels: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly startsAt: string
}

export type FakeSilence = {
  readonly id: string
  status: { state: string }
  readonly createdBy: string
  readonly comment: string
  readonly startsAt: string
  readonly endsAt: string
  readonly matchers: readonly Readonly<Record<string, unknown>>[]
}

export type FakeAlertmanager = {
  readonly url: string
  /** The alerts that are firing. A test can change the list. */
  readonly alerts: FakeAlert[]
  readonly silences: FakeSilence[]
  /** The requests so far, for example `GET /api/v2/alerts?active=true`. */
  readonly requests: string[]
  /** If set, answers each request in place of the API. */
  answer: ((request: IncomingMessage, response: ServerResponse) => void) | undefined
  /** Adds a silence for the alerts with this label. */
  readonly silenceAlso: (labels: Readonly<Record<string, string>>) => void
  /** Carries out the next request with this method, but ends the connection without a response. */
  readonly loseResponse: (method: string) => void
}

export async function startFakeAlertmanager(
  t: Pick<TestContext, 'after'>,
): Promise<FakeAlertmanager> {
  let lostMethod: string | undefined
  const server = createServer((request, response) => {
    if (request.method === lostMethod) {
      lostMethod = undefined
      response.end = () => response.destroy()
    }
    fake.requests.push(`${request.method ?? ''} ${request.url ?? ''}`)
    if (fake.answer) fake.answer(request, response)
    else void serve(fake, request, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const fake: FakeAlertmanager = {
    ...{ url: `http://127.0.0.1:${port}`, alerts: [], silences: [], requests: [] },
    answer: undefined,
    silenceAlso(labels) {
      const matchers = Object.entries(labels).map(([name, value]) => ({ name, value }))
      const texts = { createdBy: 'x', comment: '', startsAt: '', endsAt: '' }
      fake.silences.push({ id: randomUUID(), status: { state: 'active' }, matchers, ...texts })
    },
    loseResponse(method) {
      lostMethod = method
    },
  }
  return fake
}

async function serve(fake: FakeAlertmanager, request: IncomingMessage, response: ServerResponse) {
  const { pathname, searchParams } = new URL(request.url ?? '', fake.url)
  const [, filtered] = /^alertname="(.*)"$/.exec(searchParams.get('filter') ?? '') ?? []
  const name = filtered?.replace(/\\(.)/g, '$1')
  const send = (status: number, body?: unknown) => {
    response.writeHead(status, { 'Content-Type': 'application/json' })
    response.end(body === undefined ? '' : JSON.stringify(body))
  }
  const isNamed = (value: unknown) => name === undefined || value === name
  const [, , , kind, id] = pathname.split('/')
  if (request.method === 'GET' && kind === 'alerts') {
    const alerts = fake.alerts.filter(({ labels }) => isNamed(labels['alertname']))
    send(
      200,
      alerts.map((alert) => ({ ...alert, status: { state: stateOf(fake, alert) } })),
    )
  } else if (request.method === 'GET' && kind === 'silences') {
    send(
      200,
      fake.silences.filter(({ matchers }) => matchers.some(({ value }) => isNamed(value))),
    )
  } else if (request.method === 'POST' && kind === 'silences') {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const posted = JSON.parse(Buffer.concat(chunks).toString()) as Omit<
      FakeSilence,
      'id' | 'status'
    >
    const silence = { ...posted, id: randomUUID(), status: { state: 'active' } }
    fake.silences.push(silence)
    send(200, { silenceID: silence.id })
  } else if (request.method === 'DELETE' && kind === 'silence') {
    const silence = fake.silences.find((each) => each.id === id)
    if (silence) silence.status = { state: 'expired' }
    send(silence ? 200 : 404)
  } else {
    send(404)
  }
}

function stateOf({ silences }: FakeAlertmanager, { labels }: FakeAlert): string {
  const isSilenced = silences.some(
    ({ status, matchers }) =>
      status.state === 'active' &&
      matchers.every(({ name, value }) => labels[String(name)] === value),
  )
  return isSilenced ? 'suppressed' : 'active'
}

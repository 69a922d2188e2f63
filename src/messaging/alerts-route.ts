import { createHash, timingSafeEqual } from 'node:crypto'
import { Readable } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import type { Context, Hono } from 'hono'
import { getBindings, respond, respondText } from '../http/routes.js'
import { limitRepeats } from '../log/log-limit.js'
import type { Log } from '../log/log.js'
import { maskJids } from '../log/mask.js'
import { createTaskQueue } from '../task-queue.js'
import { isConfirmed } from './delivery-outcome.js'
import { decodeNotification, NotificationError, type Notification } from './notification.js'
import { toOneLine } from './plain-text.js'
import { readBody } from './read-body.js'

/**
 * The recipients that have the notification, those for which Alertmanager should not repeat it, and those that do not have
 * it yet.
 */
type Outcome = {
  readonly delivered: readonly unknown[]
  readonly rejected: readonly { readonly reason: string }[]
  readonly pending: readonly { readonly reason: string }[]
}

export type AlertsRouteOptions = {
  /** Returns the token that Alertmanager must send; `undefined` if the configuration no longer has alerts. */
  readonly token: () => string | undefined
  /** Sends the notification to the recipients of the configuration. */
  readonly deliver: (notification: Notification) => Promise<Outcome>
  /** Called with the status of each response, while the configuration has alerts. */
  readonly onResponse: (status: number) => void
  readonly log: Log
  /** How long the body of a request can take. HTTP/2 has no such limit in Node.js. Default: 30 s. */
  readonly bodyTimeoutMs?: number
}

const BODY_TIMEOUT_MS = 30_000
const MAX_BODY_BYTES = 2 * 1024 * 1024
/** The maximum number of notifications that are received, wait, or are delivered. */
const MAX_NOTIFICATIONS = 16
/** The maximum size of all bodies that are received or wait. Usual notifications have a few KB. */
const MAX_WAITING_BYTES = 4 * MAX_BODY_BYTES
const MAX_REASONS = 3
const MAX_REASON_CHARACTERS = 200

/**
 * Adds the route `POST /alerts`, to which Alertmanager sends notifications. The status is 200 only if a recipient has the
 * notification, and no recipient is pending. Alertmanager repeats a notification after a status of 500 or above, so each
 * temporary problem has such a status. The token and the number of notifications are checked before the body is read.
 */
export function addAlertsRoute(app: Hono, options: AlertsRouteOptions): void {
  const { token, deliver, onResponse, bodyTimeoutMs = BODY_TIMEOUT_MS } = options
  const log = limitRepeats(options.log)
  const queue = createTaskQueue()
  let running = 0
  let waitingBytes = 0

  /** Reads the notification in a body. Returns the response if there is none. */
  async function receive(body: Readable, expectedBytes: number): Promise<Notification | Response> {
    const bytes = await readBody(body, {
      maxBytes: MAX_BODY_BYTES,
      timeoutMs: bodyTimeoutMs,
      expectedBytes,
    })
    if (bytes === 'too long') return refuseLength()
    if (bytes === 'incomplete') {
      return respondText(503, 'The body of the request did not arrive in time. Try again later.', {
        'Retry-After': '1',
      })
    }
    // Long notifications take many milliseconds. Other requests are answered between them, because each one is parsed in
    // another iteration of the event loop.
    await queue(() => setImmediate())
    const notification = readNotification(bytes)
    if (typeof notification !== 'string') return notification
    return refuse(400, maskJids(notification), `Wrong notification: ${notification}.`)
  }

  function accept(c: Context): Response | Promise<Response> {
    if (!/^(?:identity)?$/i.test(getHeader(c, 'content-encoding'))) {
      return refuse(
        415,
        'it is compressed',
        'Unsupported Content-Encoding: send the notification uncompressed.',
      )
    }
    const length = Number(getHeader(c, 'content-length')) || 0
    if (length > MAX_BODY_BYTES) return refuseLength()
    const reservedBytes = length || MAX_BODY_BYTES
    if (running >= MAX_NOTIFICATIONS || waitingBytes + reservedBytes > MAX_WAITING_BYTES) {
      return respondText(503, 'Too many notifications are being delivered. Try again later.', {
        'Retry-After': '5',
      })
    }
    running++
    waitingBytes += reservedBytes
    // With `await`, the body and the notification would stay in memory until they are delivered.
    return receive(getBody(c), length)
      .finally(() => {
        waitingBytes -= reservedBytes
      })
      .then((received) => ('alerts' in received ? deliver(received).then(respondTo) : received))
      .finally(() => {
        running--
      })
  }

  async function count(responding: Response | Promise<Response>): Promise<Response> {
    // An error becomes a response with this status.
    let status = 500
    try {
      const response = await responding
      status = response.status
      return response
    } finally {
      onResponse(status)
    }
  }

  app.post('/alerts', (c) => {
    const expected = token()
    if (expected === undefined || expected === '') {
      return respondText(404, 'Not found: the configuration no longer has the section alerts.')
    }
    return count(hasToken(c, expected) ? accept(c) : refuseSender(log))
  })

  function refuseLength(): Response {
    return refuse(
      413,
      'longer than 2 MiB',
      'Notification too long: the limit is 2 MiB. Set max_alerts in the webhook of Alertmanager.',
    )
  }

  /** Refuses a notification that can never be delivered. */
  function refuse(status: 400 | 413 | 415, reason: string, text: string): Response {
    log.warn('rejected a notification of Alertmanager', { reason })
    return respondText(status, text)
  }
}

/** Returns the response to a request without the right token. */
function refuseSender(log: Log): Response {
  log.warn(
    'rejected a request to /alerts without the right token; set the credentials in the webhook of Alertmanager to the contents of alerts.token_file',
  )
  return respondText(
    401,
    'Unauthorized: send the token of alerts.token_file as "Authorization: Bearer TOKEN" or "X-Alerts-Token: TOKEN".',
    { 'WWW-Authenticate': 'Bearer realm="prosody-exporter alerts"' },
  )
}

function respondTo({ delivered, rejected, pending }: Outcome): Response {
  if (isConfirmed({ delivered, pending })) {
    const counts = { delivered: delivered.length, rejected: rejected.length }
    return respond(200, Buffer.from(`${JSON.stringify(counts)}\n`), 'application/json', {})
  }
  const total = delivered.length + rejected.length + pending.length
  const missing = delivered.length > 0 ? pending : [...pending, ...rejected]
  return respondText(
    503,
    `Not delivered to ${missing.length} of ${total} recipients: ${formatReasons(missing)}. Try again later.`,
    { 'Retry-After': '10' },
  )
}

/** Formats the different reasons with the number of recipients, without the names in JIDs. */
function formatReasons(missing: Outcome['pending']): string {
  const counts = new Map<string, number>()
  for (const { reason } of missing) {
    const text = toOneLine(maskJids(reason), MAX_REASON_CHARACTERS).replace(/\.$/, '')
    counts.set(text, (counts.get(text) ?? 0) + 1)
  }
  return Array.from(counts, ([reason, count]) => (count > 1 ? `${reason} (${count})` : reason))
    .slice(0, MAX_REASONS)
    .join('; ')
}

/** Returns the notification in the body, or what is wrong with it. */
function readNotification(bytes: Uint8Array): Notification | string {
  try {
    return decodeNotification(bytes)
  } catch (error) {
    if (error instanceof NotificationError) return error.message
    throw error
  }
}

/**
 * Returns whether the request has the token. The web configuration file can need the header `Authorization` for itself, so
 * the token can be in a header of its own.
 */
function hasToken(c: Context, expected: string): boolean {
  const [, bearer = ''] = /^bearer +(.+)$/i.exec(getHeader(c, 'authorization')) ?? []
  const digest = hash(Buffer.from(expected))
  // Node.js decodes headers as latin1. Both headers are compared, in a time that does not depend on their contents.
  return [bearer, getHeader(c, 'x-alerts-token')]
    .map((given) => timingSafeEqual(hash(Buffer.from(given, 'latin1')), digest))
    .includes(true)
}

const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest()

function getHeader(c: Context, name: string): string {
  const { incoming } = getBindings(c)
  return (incoming ? incoming.headers[name]?.toString() : c.req.header(name)) ?? ''
}

/**
 * Returns the body of a request. The stream of node:http is read directly, because Readable.toWeb() of Node.js buffers
 * thousands of chunks.
 */
function getBody(c: Context): Readable {
  const { incoming } = getBindings(c)
  return (
    incoming ?? (c.req.raw.body ? Readable.fromWeb(c.req.raw.body as never) : Readable.from([]))
  )
}

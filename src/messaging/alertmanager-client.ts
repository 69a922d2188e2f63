import { getErrorMessage } from '../errors.js'
import type { Schedule } from '../xmpp/schedule.js'
import { AnswerError } from './answer-error.js'

const TIMEOUT_MS = 5000
const MAX_BYTES = 4 * 1024 * 1024
/** How much of a text of Alertmanager an error message repeats. */
const MAX_REASON = 200

/** An alert in Alertmanager that is firing. */
export type FiringAlert = {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  /** NaN if unknown. */
  readonly startsAtMs: number
  readonly isSilenced: boolean
}

/** A silence that Alertmanager applies now or later. */
export type ActiveSilence = {
  readonly id: string
  /** The name of the alert, if the silence is for all alerts of one name and for no others. */
  readonly alertName: string | undefined
}

/** What a person silences. */
export type NewSilence = {
  readonly alertName: string
  readonly author: string
  readonly comment: string
  readonly startsAtMs: number
  readonly endsAtMs: number
}

export type AlertmanagerClient = {
  /** @param alertName Lists only alerts of this name. @throws {AnswerError} */
  listAlerts(alertName?: string): Promise<FiringAlert[]>
  /** @throws {AnswerError} */
  listSilences(alertName?: string): Promise<ActiveSilence[]>
  /** @throws {AnswerError} */
  createSilence(silence: NewSilence): Promise<void>
  /** @throws {AnswerError} */
  endSilence(id: string): Promise<void>
}

/**
 * Creates a client of the API v2 of Alertmanager. It follows no redirects, so that it connects only to the configured
 * address.
 *
 * @param options.url The address of Alertmanager, without a slash at its end.
 * @see https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
 */
export function createAlertmanagerClient(options: {
  readonly url: string
  readonly fetch: typeof fetch
  readonly schedule: Schedule
}): AlertmanagerClient {
  const { url } = options

  async function request(method: string, path: string, body?: unknown): Promise<unknown> {
    const { status, text } = await send(options, path, {
      method,
      headers: { Accept: 'application/json', 'Content-Type': 'application/json' },
      redirect: 'manual',
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    if (status < 200 || status > 299) throw new AnswerError(explainStatus(url, status, text))
    return text === '' ? undefined : parseJson(url, text)
  }

  async function list(path: string): Promise<JsonObject[]> {
    const json = await request('GET', path)
    if (Array.isArray(json) && json.every(isObject)) return json
    throw unexpected(url, 'the answer is not a list')
  }

  return {
    async listAlerts(alertName) {
      const alerts = await list(
        `/api/v2/alerts?active=true&silenced=true&inhibited=false&unprocessed=false${filterBy(alertName, '&')}`,
      )
      return alerts
        .map(readAlert)
        .filter(({ name }) => alertName === undefined || name === alertName)
    },
    async listSilences(alertName) {
      const silences = await list(`/api/v2/silences${filterBy(alertName, '?')}`)
      return silences.flatMap(readSilence)
    },
    async createSilence({ alertName, author, comment, startsAtMs, endsAtMs }) {
      await request('POST', '/api/v2/silences', {
        matchers: [{ name: 'alertname', value: alertName, isRegex: false, isEqual: true }],
        startsAt: new Date(startsAtMs).toISOString(),
        endsAt: new Date(endsAtMs).toISOString(),
        createdBy: author,
        comment,
      })
    },
    async endSilence(id) {
      await request('DELETE', `/api/v2/silence/${encodeURIComponent(id)}`)
    },
  }
}

async function send(
  options: { readonly url: string; readonly fetch: typeof fetch; readonly schedule: Schedule },
  path: string,
  init: RequestInit,
): Promise<{ readonly status: number; readonly text: string }> {
  const { url, schedule } = options
  const controller = new AbortController()
  const cancelTimeout = schedule(TIMEOUT_MS, () => {
    controller.abort()
  })
  try {
    const response = await options.fetch(`${url}${path}`, { ...init, signal: controller.signal })
    return { status: response.status, text: await readText(url, response) }
  } catch (error) {
    if (error instanceof AnswerError) throw error
    throw new AnswerError(
      controller.signal.aborted
        ? `Alertmanager at ${url} did not answer within ${TIMEOUT_MS / 1000} s. Check that it runs, and alertmanager.url.`
        : `Alertmanager at ${url} is not reachable (${describeCause(error)}). Check that it runs, and alertmanager.url.`,
    )
  } finally {
    cancelTimeout()
    // After an error, the rest of the response is not needed.
    controller.abort()
  }
}

async function readText(url: string, response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += chunk.length
    if (bytes > MAX_BYTES) throw unexpected(url, 'the answer has more than 4 MiB')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

/** `fetch` reports a failed connection as an error whose cause has the reason. */
function describeCause(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
  const code = isObject(cause) ? cause['code'] : undefined
  return typeof code === 'string' ? code : shorten(getErrorMessage(cause))
}

function explainStatus(url: string, status: number, text: string): string {
  if (status >= 300 && status < 400) {
    return `Alertmanager at ${url} redirects requests. Set alertmanager.url to the address to which it redirects.`
  }
  if (status === 401 || status === 403) {
    return `Alertmanager at ${url} refused the request with status ${status}. Set alertmanager.url to an address that needs no password.`
  }
  if (status === 404) {
    return `Alertmanager at ${url} does not have this path. Check alertmanager.url: it must include --web.route-prefix, and the API v2 needs Alertmanager 0.16 or later.`
  }
  return `Alertmanager at ${url} refused the request with status ${status}: ${shorten(text) || 'no reason'}`
}

function parseJson(url: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw unexpected(url, 'the answer is not JSON')
  }
}

function unexpected(url: string, what: string): AnswerError {
  return new AnswerError(
    `Alertmanager at ${url} sent an unexpected answer: ${what}. Check that alertmanager.url is the address of Alertmanager.`,
  )
}

/** Makes one line of a text of Alertmanager. */
function shorten(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim()
  return line.length > MAX_REASON ? `${line.slice(0, MAX_REASON)}…` : line
}

/** Returns the query parameter that selects one name. @see The syntax of matchers in Alertmanager's documentation */
function filterBy(alertName: string | undefined, sign: '&' | '?'): string {
  if (alertName === undefined) return ''
  const quoted = alertName.replace(/["\\]/g, (character) => `\\${character}`)
  return `${sign}filter=${encodeURIComponent(`alertname="${quoted}"`)}`
}

type JsonObject = Readonly<Record<string, unknown>>

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function readAlert({ labels, annotations, startsAt, status }: JsonObject): FiringAlert {
  const texts = readTexts(labels)
  return {
    name: texts['alertname'] ?? '',
    labels: texts,
    annotations: readTexts(annotations),
    startsAtMs: Date.parse(String(startsAt)),
    isSilenced: isObject(status) && status['state'] === 'suppressed',
  }
}

function readTexts(value: unknown): Readonly<Record<string, string>> {
  if (!isObject(value)) return {}
  const texts = Object.entries(value).filter(([, text]) => typeof text === 'string')
  return Object.fromEntries(texts) as Readonly<Record<string, string>>
}

/** Returns nothing for a silence that has ended. Alertmanager lists silences for five days after their end. */
function readSilence({ id, status, matchers }: JsonObject): ActiveSilence[] {
  const state = isObject(status) ? status['state'] : undefined
  if (typeof id !== 'string' || (state !== 'active' && state !== 'pending')) return []
  return [{ id, alertName: readAlertName(matchers) }]
}

function readAlertName(matchers: unknown): string | undefined {
  const [matcher, ...others] = Array.isArray(matchers) ? (matchers as unknown[]) : []
  if (!isObject(matcher) || others.length > 0) return undefined
  const { name, value, isRegex, isEqual } = matcher
  // Alertmanager before 0.22 has no field isEqual.
  const isName = name === 'alertname' && isRegex === false && isEqual !== false
  return isName && typeof value === 'string' ? value : undefined
}

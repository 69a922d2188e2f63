import { getErrorMessage } from '../errors.js'
import type { TaskQueue } from '../task-queue.js'
import type { Schedule } from '../xmpp/schedule.js'
import { AnswerError } from './answer-error.js'
import { isObject, type JsonObject } from './json-object.js'
import { toOneLine } from './plain-text.js'

const TIMEOUT_MS = 5000
/** 5,000 alerts with the texts of this project's rules are 6 MB. */
const MAX_MIB = 8
/** How much of a text of Alertmanager an error message repeats. */
const MAX_REASON = 200

/** Alertmanager cannot do what a person asked. */
export class AlertmanagerError extends AnswerError {
  override name = 'AlertmanagerError'
}

/** A list of Alertmanager is too long for the exporter. */
export class LongListError extends AlertmanagerError {
  override name = 'LongListError'
}

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
  readonly author: string
  readonly comment: string
  /** NaN if unknown. */
  readonly endsAtMs: number
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
  /** @param alertName Lists only alerts of this name. @throws {AlertmanagerError | LongListError} */
  listAlerts(alertName?: string): Promise<FiringAlert[]>
  /** @throws {AlertmanagerError | LongListError} */
  listSilences(alertName?: string): Promise<ActiveSilence[]>
  /** @throws {AlertmanagerError} */
  createSilence(silence: NewSilence): Promise<void>
  /** @throws {AlertmanagerError} */
  endSilence(id: string): Promise<void>
}

/**
 * Creates a client of the API v2 of Alertmanager. It follows no redirects, so that it connects only to the configured
 * address.
 *
 * @param options.url The address of Alertmanager, without a slash at its end.
 * @param options.queue Runs the requests for lists one after the other, because a long list takes much memory.
 * @see https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
 */
export function createAlertmanagerClient(options: {
  readonly url: string
  readonly fetch: typeof fetch
  readonly schedule: Schedule
  readonly queue: TaskQueue
}): AlertmanagerClient {
  const { url, queue } = options

  async function request(method: string, path: string, body?: unknown): Promise<unknown> {
    const { status, text } = await send(options, path, {
      method,
      headers: { Accept: 'application/json', 'Content-Type': 'application/json' },
      redirect: 'manual',
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    if (status < 200 || status > 299) throw new AlertmanagerError(explainStatus(url, status, text))
    return text === '' ? undefined : parseJson(url, text)
  }

  const list = <T>(path: string, convert: (entries: readonly JsonObject[]) => T[]): Promise<T[]> =>
    queue(async () => {
      const json = await request('GET', path)
      if (Array.isArray(json) && json.every(isObject)) return convert(json)
      throw unexpected(url, 'the answer is not a list')
    })

  return {
    async listAlerts(alertName) {
      const alerts = await list(
        `/api/v2/alerts?active=true&silenced=true&inhibited=false&unprocessed=false${filterBy(alertName, '&')}`,
        (entries) => entries.map(toFiringAlert),
      )
      return alerts.filter(({ name }) => alertName === undefined || name === alertName)
    },
    listSilences: (alertName) =>
      list(`/api/v2/silences${filterBy(alertName, '?')}`, (entries) =>
        entries.flatMap(toActiveSilence),
      ),
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
    if (error instanceof AlertmanagerError) throw error
    const cause = controller.signal.aborted ? undefined : describeCause(error)
    throw new AlertmanagerError(explainLoss(url, init.method, cause))
  } finally {
    cancelTimeout()
    // After an error, the rest of the response is not needed.
    controller.abort()
  }
}

/** @param cause The reason; `undefined` if there was no answer in time. */
function explainLoss(url: string, method: string | undefined, cause: string | undefined): string {
  const what =
    cause === undefined
      ? `did not answer within ${TIMEOUT_MS / 1000} s`
      : `is not reachable (${cause})`
  const isUnknown = method !== 'GET' && cause !== 'ECONNREFUSED'
  return (
    `Alertmanager at ${url} ${what}. Check that it runs, and that alertmanager.url is its address.` +
    (isUnknown ? ' It is unknown whether Alertmanager has carried out the request.' : '')
  )
}

async function readText(url: string, response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += chunk.length
    if (bytes > MAX_MIB * 1024 * 1024) throw new LongListError(explainLength(url))
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

/** `fetch` reports a failed connection as an error whose cause has the reason. */
function describeCause(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
  const code = isObject(cause) ? cause['code'] : undefined
  return typeof code === 'string' ? code : toOneLine(getErrorMessage(cause), MAX_REASON)
}

function explainLength(url: string): string {
  return (
    `Alertmanager at ${url} has more than ${MAX_MIB} MiB of alerts or silences, which is too much for chat. ` +
    'Use the web page of Alertmanager. If you know the name of an alert, you can silence it here: silence NAME 2h'
  )
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
  return `Alertmanager at ${url} refused the request with status ${status} (${toOneLine(text, MAX_REASON) || 'no reason'}).`
}

function parseJson(url: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw unexpected(url, 'the answer is not JSON')
  }
}

function unexpected(url: string, what: string): AlertmanagerError {
  return new AlertmanagerError(
    `Alertmanager at ${url} sent an unexpected answer: ${what}. Check that alertmanager.url is the address of Alertmanager.`,
  )
}

/** Returns the query parameter that selects one name. @see The syntax of matchers in Alertmanager's documentation */
function filterBy(alertName: string | undefined, sign: '&' | '?'): string {
  if (alertName === undefined) return ''
  const quoted = alertName.replace(/["\\]/g, (character) => `\\${character}`)
  return `${sign}filter=${encodeURIComponent(`alertname="${quoted}"`)}`
}

function toFiringAlert({ labels, annotations, startsAt, status }: JsonObject): FiringAlert {
  const texts = selectTexts(labels)
  return {
    name: texts['alertname'] ?? '',
    labels: texts,
    annotations: selectTexts(annotations),
    startsAtMs: Date.parse(String(startsAt)),
    isSilenced: isObject(status) && status['state'] === 'suppressed',
  }
}

function selectTexts(value: unknown): Readonly<Record<string, string>> {
  if (!isObject(value)) return {}
  const texts = Object.entries(value).filter(([, text]) => typeof text === 'string')
  return Object.fromEntries(texts) as Readonly<Record<string, string>>
}

/** Returns nothing for a silence that has ended. Alertmanager lists silences for five days after their end. */
function toActiveSilence(json: JsonObject): ActiveSilence[] {
  const { id, status, matchers, createdBy, comment, endsAt } = json
  const state = isObject(status) ? status['state'] : undefined
  if (typeof id !== 'string' || (state !== 'active' && state !== 'pending')) return []
  const alertName = findOnlyAlertName(matchers)
  const endsAtMs = Date.parse(String(endsAt))
  return [{ id, alertName, author: String(createdBy), comment: String(comment), endsAtMs }]
}

function findOnlyAlertName(matchers: unknown): string | undefined {
  const [matcher, ...others] = Array.isArray(matchers) ? (matchers as unknown[]) : []
  if (!isObject(matcher) || others.length > 0) return undefined
  const { name, value, isRegex, isEqual } = matcher
  // Alertmanager before 0.22 has no field isEqual.
  const isName = name === 'alertname' && isRegex === false && isEqual !== false
  return isName && typeof value === 'string' ? value : undefined
}

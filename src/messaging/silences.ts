import { parseDuration } from '../config/duration.js'
import type { Log } from '../log/log.js'
import { formatCount, formatDuration, formatUtc } from '../page/format-values.js'
import { LongListError, type AlertmanagerClient } from './alertmanager-client.js'
import { AnswerError } from './answer-error.js'
import { toOneLine } from './plain-text.js'

const MIN_SILENCE_MS = 60_000
const MAX_SILENCE_MS = 30 * 86_400_000
const MAX_NAME_LENGTH = 200

/** What a person wants to change in Alertmanager. */
export type SilenceOrder =
  | { readonly kind: 'silence'; readonly alertName: string; readonly durationMs: number }
  | { readonly kind: 'unsilence'; readonly alertName: string }

/**
 * Reads the arguments of the command `silence`. The name of an alert can contain blanks.
 *
 * @throws {AnswerError}
 */
export function parseSilenceOrder(text: string): SilenceOrder {
  const [, name = '', duration = ''] = /^(.*\S)\s+(\S+)$/.exec(text) ?? []
  if (name === '') {
    throw new AnswerError(
      'Write the name of the alert and a duration, for example: silence NAME 2h',
    )
  }
  return createSilenceOrder(name, duration)
}

/** @throws {AnswerError} */
export function createSilenceOrder(name: string, duration: string): SilenceOrder {
  const durationMs = parseDuration(duration.trim())
  if (durationMs === undefined || durationMs < MIN_SILENCE_MS || durationMs > MAX_SILENCE_MS) {
    throw new AnswerError('The duration must be between 1m and 30d, for example 30m, 2h or 1d.')
  }
  return { kind: 'silence', alertName: parseAlertName(name), durationMs }
}

/** @throws {AnswerError} */
export function createUnsilenceOrder(name: string): SilenceOrder {
  return { kind: 'unsilence', alertName: parseAlertName(name) }
}

/** Whether a person can write this name: it is one line without control characters, and it is not too long. */
export function isAlertName(name: string): boolean {
  return name !== '' && toOneLine(name, MAX_NAME_LENGTH) === name
}

function parseAlertName(text: string): string {
  const name = text.trim()
  if (isAlertName(name)) return name
  throw new AnswerError(`Write the name of an alert with at most ${MAX_NAME_LENGTH} characters.`)
}

/**
 * Describes what an order would do, so that the person can check it.
 *
 * @throws {AnswerError}
 */
export async function describeOrder(
  order: SilenceOrder,
  alertmanager: AlertmanagerClient,
  nowMs: number,
): Promise<string> {
  const { alertName } = order
  if (order.kind === 'unsilence') {
    const count = (await findSilences(alertName, alertmanager)).length
    return `This ends ${formatCount(count, 'silence')} of ${alertName}.`
  }
  const until = formatUtc(nowMs + order.durationMs)
  const firing = await describeFiring(alertName, alertmanager)
  return `This silences ${alertName} for ${formatDuration(order.durationMs)}, until ${until}. ${firing}`
}

async function describeFiring(
  alertName: string,
  alertmanager: AlertmanagerClient,
): Promise<string> {
  const alerts = await unlessTooLong(() => alertmanager.listAlerts(alertName))
  if (!alerts) return 'Many alerts of this name are firing.'
  if (alerts.length === 0) return 'No alert of this name is firing now. Check the spelling.'
  return `${formatCount(alerts.length, 'alert')} of this name ${alerts.length === 1 ? 'is' : 'are'} firing.`
}

/** Returns undefined if the list is too long. @throws {AlertmanagerError} for any other failure */
export async function unlessTooLong<T>(list: () => Promise<T>): Promise<T | undefined> {
  try {
    return await list()
  } catch (error) {
    if (error instanceof LongListError) return undefined
    throw error
  }
}

/**
 * Changes the silences in Alertmanager. Returns what was done.
 *
 * @param options.author The bare JID of the person.
 * @throws {AnswerError}
 */
export async function carryOut(
  order: SilenceOrder,
  options: {
    readonly author: string
    readonly alertmanager: AlertmanagerClient
    readonly nowMs: number
    readonly log: Log
  },
): Promise<string> {
  const { author, alertmanager, nowMs, log } = options
  const { alertName } = order
  if (order.kind === 'silence') {
    const endsAtMs = nowMs + order.durationMs
    const comment = `Silenced in chat by ${author}`
    await alertmanager.createSilence({ alertName, author, comment, startsAtMs: nowMs, endsAtMs })
    log.info('silenced an alert in chat', { alert: alertName, until: formatUtc(endsAtMs) })
    log.debug('silenced an alert in chat', { alert: alertName, author })
    return `Silenced ${alertName} until ${formatUtc(endsAtMs)}. To end it, write: unsilence ${alertName}`
  }
  const silences = await findSilences(alertName, alertmanager)
  for (const { id } of silences) await alertmanager.endSilence(id)
  log.info('ended silences of an alert in chat', { alert: alertName, silences: silences.length })
  log.debug('ended silences of an alert in chat', { alert: alertName, author })
  return `Ended ${formatCount(silences.length, 'silence')} of ${alertName}.`
}

/** Finds the silences that are for all alerts of this name. @throws {AnswerError} */
async function findSilences(alertName: string, alertmanager: AlertmanagerClient) {
  const found = (await alertmanager.listSilences(alertName)).filter(
    (silence) => silence.alertName === alertName,
  )
  if (found.length > 0) return found
  throw new AnswerError(
    `No silence has only the name ${alertName} as its matcher. End other silences on the web page of Alertmanager.`,
  )
}

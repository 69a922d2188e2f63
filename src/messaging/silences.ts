import { parseDuration } from '../config/duration.js'
import type { Log } from '../log/log.js'
import { formatCount, formatDuration, formatNumber, formatUtc } from '../page/format-values.js'
import {
  LongListError,
  type ActiveSilence,
  type AlertmanagerClient,
  type NewSilence,
} from './alertmanager-client.js'
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
  if (name.trim() === '') {
    throw new AnswerError('Write the name of the alert, for example: unsilence NAME')
  }
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
    const silences = await listSilencesOf(alertName, alertmanager)
    assertFound(silences, alertName)
    return `This ends ${formatCount(silences.length, 'silence')} of ${alertName}.`
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
  const silenced = alerts.filter(({ isSilenced }) => isSilenced).length
  const firing = `${formatCount(alerts.length, 'alert')} of this name ${isOrAre(alerts.length)} firing`
  if (silenced === 0) return `${firing}.`
  if (alerts.length === 1) return `${firing}, and is already silenced.`
  return `${firing}, and ${formatNumber(silenced)} of them ${isOrAre(silenced)} already silenced.`
}

const isOrAre = (count: number) => (count === 1 ? 'is' : 'are')

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
 * @param options.startedAtMs The time of the first attempt. A repeated attempt does not create a second silence, because
 *   the first one can have succeeded although the response of Alertmanager was lost.
 * @throws {AnswerError}
 */
export async function carryOut(
  order: SilenceOrder,
  options: {
    readonly author: string
    readonly alertmanager: AlertmanagerClient
    readonly startedAtMs: number
    readonly isRepeated?: boolean
    readonly log: Log
  },
): Promise<string> {
  const { author, alertmanager, startedAtMs, isRepeated = false, log } = options
  const { alertName } = order
  // The log names a person only at the level debug.
  const logChange = (message: string, fields: Readonly<Record<string, string | number>>) => {
    log.info(message, { alert: alertName, ...fields })
    log.debug(message, { alert: alertName, author })
  }
  if (order.kind === 'silence') {
    const endsAtMs = startedAtMs + order.durationMs
    const comment = `Silenced in chat by ${author}`
    const silence = { alertName, author, comment, startsAtMs: startedAtMs, endsAtMs }
    if (!isRepeated || !(await hasSilence(silence, alertmanager))) {
      await alertmanager.createSilence(silence)
    }
    logChange('silenced an alert in chat', { until: formatUtc(endsAtMs) })
    return `Silenced ${alertName} until ${formatUtc(endsAtMs)}. To end it, write: unsilence ${alertName}`
  }
  const silences = await listSilencesOf(alertName, alertmanager)
  if (silences.length === 0 && isRepeated) return `${alertName} has no silence of its own now.`
  assertFound(silences, alertName)
  for (const { id } of silences) await alertmanager.endSilence(id)
  logChange('ended silences of an alert in chat', { silences: silences.length })
  return `Ended ${formatCount(silences.length, 'silence')} of ${alertName}.`
}

/** Whether Alertmanager already has this silence. */
async function hasSilence(
  { alertName, author, comment, endsAtMs }: NewSilence,
  alertmanager: AlertmanagerClient,
): Promise<boolean> {
  const silences = await unlessTooLong(() => listSilencesOf(alertName, alertmanager))
  return (silences ?? []).some(
    (each) => each.author === author && each.comment === comment && each.endsAtMs === endsAtMs,
  )
}

/** Lists the silences that are for all alerts of this name, and for no others. */
async function listSilencesOf(alertName: string, alertmanager: AlertmanagerClient) {
  const silences = await alertmanager.listSilences(alertName)
  return silences.filter((silence) => silence.alertName === alertName)
}

/** @throws {AnswerError} */
function assertFound(silences: readonly ActiveSilence[], alertName: string): void {
  if (silences.length > 0) return
  throw new AnswerError(
    `No silence is for ${alertName} alone. If another silence covers it, end that one on the web page of Alertmanager.`,
  )
}

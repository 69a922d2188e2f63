import { createHash } from 'node:crypto'
import { quote } from '../config/quote.js'
import { isWithinLimits } from './json-limits.js'
import { isObject } from './json-object.js'
import { clip } from './plain-text.js'

/** Texts by name: labels or annotations. */
export type Texts = Readonly<Record<string, string>>

export type Alert = {
  readonly status: AlertStatus
  readonly labels: Texts
  readonly annotations: Texts
  /** A time as in RFC 3339. */
  readonly startsAt: string
  /** A time as in RFC 3339. In a firing alert, it is in the future or in the year 1. */
  readonly endsAt: string
  readonly generatorURL: string
  readonly fingerprint: string
  /** The values that Grafana sends. Alertmanager sends none. */
  readonly value?: string
}

/** The alerts of one group, as Alertmanager sends them to a webhook. */
export type Notification = {
  readonly groupKey: string
  readonly status: AlertStatus
  readonly receiver: string
  readonly groupLabels: Texts
  readonly commonLabels: Texts
  readonly commonAnnotations: Texts
  readonly externalURL: string
  /** Number of alerts that Alertmanager has omitted because of its option `max_alerts`. */
  readonly truncatedAlerts: number
  readonly alerts: readonly Alert[]
}

export type AlertStatus = (typeof STATUSES)[number]

/** The payload is not a notification. The message is one line that names the wrong place. */
export class NotificationError extends Error {
  override name = 'NotificationError'
}

const STATUSES = ['firing', 'resolved'] as const
// Grafana sends version 1, with the fields of Alertmanager's version 4 and some more.
const VERSIONS = ['4', '1']
// 5,000 alerts of Alertmanager usually need more than the 2 MiB of the longest request.
const MAX_ALERTS = 5000
const MAX_TEXTS = 500
const MAX_NAME_CHARACTERS = 1000
const MAX_TEXT_CHARACTERS = 10_000
const MAX_FINGERPRINT_CHARACTERS = 200
const MAX_VALUES = 20
// An alert has three objects: itself, its labels and its annotations. Grafana adds its values.
const JSON_LIMITS = { maxNodes: 5 * MAX_ALERTS, maxDepth: 10, maxNames: MAX_TEXTS }
const UTF_8 = new TextDecoder('utf-8', { fatal: true })
/** The time that Go writes for an unknown time. */
const NO_TIME = '0001-01-01T00:00:00Z'
// RFC 3339 §5.6. Go writes up to nine decimal places.
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/

/** Reads the JSON text of a payload, see `parseNotification`. @throws NotificationError */
export function decodeNotification(bytes: Uint8Array): Notification {
  if (!isWithinLimits(bytes, JSON_LIMITS)) {
    throw new NotificationError(
      `body: expected at most ${JSON_LIMITS.maxNodes} objects and lists, ${JSON_LIMITS.maxDepth} of them within each other, and ${MAX_TEXTS} names in each`,
    )
  }
  let json: unknown
  try {
    json = JSON.parse(UTF_8.decode(bytes))
  } catch {
    throw new NotificationError(
      'body: expected JSON in UTF-8, as Alertmanager sends it to a webhook',
    )
  }
  return parseNotification(json)
}

/**
 * Reads the payload of a webhook of Alertmanager (version 4) or Grafana. Unknown fields are ignored. The result has no
 * reference to the payload.
 *
 * @see https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
 * @see https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/
 * @throws NotificationError
 */
export function parseNotification(json: unknown): Notification {
  if (!isObject(json)) throw wrong('body', 'an object', json)
  const version = getField(json, 'version') ?? VERSIONS[0]
  if (typeof version !== 'string' || !VERSIONS.includes(version)) {
    throw new NotificationError(
      'version: expected "4" as Alertmanager sends it, or "1" as Grafana sends it',
    )
  }
  return {
    groupKey: readText(json, 'groupKey', '', { max: Infinity }),
    status: readStatus(json, ''),
    receiver: readText(json, 'receiver', ''),
    groupLabels: readTexts(json, 'groupLabels', ''),
    commonLabels: readTexts(json, 'commonLabels', ''),
    commonAnnotations: readTexts(json, 'commonAnnotations', ''),
    externalURL: readText(json, 'externalURL', ''),
    truncatedAlerts: readCount(json, 'truncatedAlerts'),
    alerts: readAlerts(json),
  }
}

/**
 * Returns the key by which a retry of a notification is recognized. The keys of two notifications are the same if they
 * belong to the same group, and report the same alerts with the same status. The order of the alerts does not matter.
 */
export function getNotificationKey(notification: Notification): string {
  const states = notification.alerts.map((alert) =>
    JSON.stringify([getIdentity(alert), alert.status, alert.startsAt]),
  )
  return hash([getGroup(notification), notification.truncatedAlerts, states.sort()])
}

/**
 * Returns what identifies the alerts of a notification, if all of them have this status; `undefined` if not, or if the
 * notification does not list all alerts.
 */
export function getAlertsKey(
  { alerts, truncatedAlerts }: Notification,
  status: AlertStatus,
): string | undefined {
  if (truncatedAlerts > 0 || alerts.some((alert) => alert.status !== status)) return undefined
  return hash(alerts.map((alert) => JSON.stringify(getIdentity(alert))).sort())
}

/**
 * Returns the key of the group of a notification. A resolved notification has the same key as the firing notification
 * before it, so that its message can correct the message of the firing one (XEP-0308). If the group fires again later,
 * the key is the same again.
 */
export function getGroupKey(notification: Notification): string {
  return hash(getGroup(notification))
}

/** Returns what identifies the group. A payload without a group key has its receiver and group labels instead. */
function getGroup({ groupKey, receiver, groupLabels }: Notification): unknown {
  return groupKey === '' ? [receiver, sortTexts(groupLabels)] : groupKey
}

const getIdentity = ({ fingerprint, labels }: Alert): unknown =>
  fingerprint === '' ? sortTexts(labels) : fingerprint

function sortTexts(texts: Texts): readonly string[] {
  return Object.entries(texts)
    .map((entry) => JSON.stringify(entry))
    .sort()
}

function hash(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('base64url')
}

function readAlerts(payload: object): readonly Alert[] {
  const list = getField(payload, 'alerts')
  if (!Array.isArray(list)) throw wrong('alerts', 'a list', list)
  if (list.length === 0 || list.length > MAX_ALERTS) {
    throw new NotificationError(
      `alerts: expected 1 to ${MAX_ALERTS} alerts, got ${list.length}; set max_alerts in the webhook of Alertmanager`,
    )
  }
  return list.map((alert: unknown, i) => readAlert(alert, `alerts[${i}]`))
}

function readAlert(alert: unknown, place: string): Alert {
  if (!isObject(alert)) throw wrong(place, 'an object', alert)
  const value = readValues(alert)
  return {
    status: readStatus(alert, `${place}.`),
    labels: readTexts(alert, 'labels', `${place}.`),
    annotations: readTexts(alert, 'annotations', `${place}.`),
    startsAt: readTime(alert, 'startsAt', `${place}.`),
    endsAt: readTime(alert, 'endsAt', `${place}.`),
    generatorURL: readText(alert, 'generatorURL', `${place}.`),
    fingerprint: readFingerprint(alert, `${place}.`),
    ...(value !== '' && { value }),
  }
}

/**
 * Returns the values that Grafana sends: `values` has numbers by the name of their expression, and `valueString` has a
 * text for them. Another sender can use these names for anything, so other types are ignored.
 */
function readValues(alert: object): string {
  const values = getField(alert, 'values')
  const text = getField(alert, 'valueString')
  const numbers = isObject(values)
    ? Object.entries(values).filter(([, value]) => typeof value === 'number')
    : []
  if (numbers.length === 1) return String(numbers[0]![1])
  if (numbers.length > 0) {
    const shown = numbers.slice(0, MAX_VALUES).map(([name, value]) => `${name}=${String(value)}`)
    return shorten(shown.join(', '))
  }
  return typeof text === 'string' ? shorten(text) : ''
}

function readStatus(parent: object, place: string): AlertStatus {
  const value = getField(parent, 'status')
  const status = STATUSES.find((each) => each === value)
  if (status !== undefined) return status
  throw new NotificationError(`${place}status: expected "firing" or "resolved"`)
}

function readTime(parent: object, name: string, place: string): string {
  const text = readText(parent, name, place) || NO_TIME
  if (TIME.test(text) && !Number.isNaN(Date.parse(text))) return text
  throw new NotificationError(
    `${place}${name}: expected a time as in RFC 3339, e.g. 2026-01-31T23:59:59Z`,
  )
}

function readFingerprint(parent: object, place: string): string {
  const text = readText(parent, 'fingerprint', place)
  if (text.length <= MAX_FINGERPRINT_CHARACTERS) return text
  throw new NotificationError(
    `${place}fingerprint: expected at most ${MAX_FINGERPRINT_CHARACTERS} characters`,
  )
}

function readCount(parent: object, name: string): number {
  const value = getField(parent, name) ?? 0
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw wrong(name, 'a number of alerts', value)
}

/** Reads a text, which can be missing. A text that is longer than `max` is cut. */
function readText(
  parent: object,
  name: string,
  place: string,
  { max = MAX_TEXT_CHARACTERS } = {},
): string {
  const value = getField(parent, name) ?? ''
  if (typeof value !== 'string') throw wrong(`${place}${name}`, 'a text', value)
  return shorten(value, max)
}

function readTexts(parent: object, name: string, place: string): Texts {
  const value = getField(parent, name) ?? {}
  if (!isObject(value)) throw wrong(`${place}${name}`, 'an object', value)
  const names = Object.keys(value)
  if (names.length > MAX_TEXTS) {
    throw new NotificationError(
      `${place}${name}: expected at most ${MAX_TEXTS} names, got ${names.length}`,
    )
  }
  // A text with a very long name is omitted, so that the alert arrives nevertheless. Object.fromEntries creates a property of
  // its own for each name, so `__proto__` is a name like any other.
  return Object.fromEntries(
    names
      .filter((each) => each.length <= MAX_NAME_CHARACTERS)
      .map((each) => [each, readNamed(value, each, `${place}${name}`)]),
  )
}

function readNamed(parent: object, name: string, place: string): string {
  const value = getField(parent, name)
  if (typeof value !== 'string') throw wrong(`${place}[${quote(name)}]`, 'a text', value)
  return shorten(value)
}

/** Cuts a long text. The result is a copy, because a slice keeps the whole text in memory. */
function shorten(text: string, max = MAX_TEXT_CHARACTERS): string {
  return text.length > max ? Buffer.from(clip(text, max)).toString() : text
}

/** Returns a field of an object; `undefined` if it is missing or null, as Go writes an empty map or list. */
function getField(parent: object, name: string): unknown {
  return Object.hasOwn(parent, name)
    ? ((parent as Readonly<Record<string, unknown>>)[name] ?? undefined)
    : undefined
}

function wrong(place: string, expected: string, got: unknown): NotificationError {
  return new NotificationError(`${place}: expected ${expected}, got ${describe(got)}`)
}

function describe(value: unknown): string {
  if (value === undefined || value === null) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'an object'
  return (
    { string: 'a text', number: 'a number', boolean: 'true or false' }[typeof value as string] ??
    'another type'
  )
}

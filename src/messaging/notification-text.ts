import { formatCount } from '../page/format-values.js'
import { getText, getValue, readAlertTemplate, renderAlert } from './alert-template.js'
import { formatAlertTime, getDuration, parseTime } from './alert-times.js'
import type { Alert, Notification, Texts } from './notification.js'
import { clip, toLink, toOneLine } from './plain-text.js'

export type TextOptions = {
  /** The text of one alert with fields. By default, the text has the most important labels and annotations. */
  readonly template?: string | undefined
  /** The current time. Default: the time of the system. */
  readonly nowMs?: number
}

/** How much the text of an alert contains. */
type Detail = { readonly summary: number; readonly description: number; readonly links: number }

const MAX_CHARACTERS = 4000
/** The number of alerts above which the text only counts them. */
const MAX_LISTED = 20
const MAX_NAMES = 20
const MAX_GROUP_LABELS = 10
const MAX_LABEL_CHARACTERS = 100
const MAX_HEADING_CHARACTERS = 300
const MAX_LINK_CHARACTERS = 600

const WHOLE: Detail = { summary: 300, description: 1000, links: 3 }
const SHORT: Detail = { summary: 100, description: 0, links: 0 }

// The labels that can name the machine or the domain of an alert, the most exact one first.
const HOST_LABELS = ['host', 'hostname', 'server', 'node', 'instance']
const TITLE_ANNOTATIONS = ['summary', 'title', 'message', 'description']
// Alerts with another severity, or without one, come after these.
const SEVERITIES = ['emergency', 'critical', 'page', 'error', 'warning']

/**
 * Formats a notification as plain text for people, with at most 4,000 characters. Over 20 alerts are summarized with
 * counts. The text has no control characters except for line breaks.
 */
export function formatNotification(
  notification: Notification,
  { template, nowMs = Date.now() }: TextOptions = {},
): string {
  const { alerts, truncatedAlerts } = notification
  if (alerts.length + truncatedAlerts > MAX_LISTED) return formatCounts(notification, nowMs)
  const texts =
    template === undefined
      ? [WHOLE, SHORT].map((detail) => formatList(notification, detail, nowMs))
      : [formatTemplate(notification, template, nowMs)]
  const fitting = texts.find((text) => text.length <= MAX_CHARACTERS)
  if (fitting !== undefined) return fitting
  return alerts.length > 1
    ? formatCounts(notification, nowMs)
    : cutWithLink(texts[0]!, notification)
}

function formatList(notification: Notification, detail: Detail, nowMs: number): string {
  const { alerts, truncatedAlerts } = notification
  const isOnly = alerts.length + truncatedAlerts === 1
  return joinBlocks([
    isOnly ? '' : formatHeading(notification),
    ...sortBySeverity(alerts).map((alert) =>
      formatAlert(alert, isOnly ? detail : { ...detail, description: 0 }, nowMs),
    ),
    formatLinks(notification, detail.links),
  ])
}

function formatTemplate(notification: Notification, template: string, nowMs: number): string {
  const parsed = readAlertTemplate(template)
  const { alerts, truncatedAlerts } = notification
  return joinBlocks([
    // If the alert has none of the fields, the text of the template can be empty.
    ...sortBySeverity(alerts).map(
      (alert) =>
        renderAlert(parsed, alert, notification, nowMs) || formatAlert(alert, WHOLE, nowMs),
    ),
    truncatedAlerts > 0 ? formatHeading(notification) : '',
  ])
}

/** Formats the number of alerts in each status and the group, for example `2 alerts firing: job=prosody`. */
function formatHeading({ alerts, truncatedAlerts, groupLabels }: Notification): string {
  const firing = alerts.filter(({ status }) => status === 'firing').length
  const resolved = alerts.length - firing
  const counts = [
    ...(firing > 0 ? [`${formatCount(firing, 'alert')} firing`] : []),
    ...(resolved > 0 ? [`${formatCount(resolved, 'alert')} resolved`] : []),
    ...(truncatedAlerts > 0
      ? [`${formatCount(truncatedAlerts, 'alert')} omitted by max_alerts`]
      : []),
  ].join(', ')
  const group = formatGroup(groupLabels)
  return clip(group === '' ? counts : `${counts}: ${group}`, MAX_HEADING_CHARACTERS)
}

function formatGroup(groupLabels: Texts): string {
  return Object.entries(groupLabels)
    .slice(0, MAX_GROUP_LABELS)
    .map(([name, value]) => `${toLabel(name)}=${toLabel(value)}`)
    .join(', ')
}

function formatAlert(alert: Alert, detail: Detail, nowMs: number): string {
  const { status, annotations } = alert
  const name = getName(alert)
  const title = TITLE_ANNOTATIONS.map((each) =>
    toOneLine(getText(annotations, each), detail.summary),
  ).find(Boolean)
  const description = toOneLine(getText(annotations, 'description'), detail.description)
  const severity = toLabel(getText(alert.labels, 'severity')).toUpperCase() || 'ALERT'
  const facts = [
    title === undefined ? '' : name,
    formatHost(alert),
    formatPeriod(alert, nowMs),
    formatValue(alert),
  ]
  return [
    `${status === 'firing' ? severity : 'RESOLVED'}: ${title ?? name}`,
    facts.filter(Boolean).join(', '),
    status === 'firing' && detail.description > 0 && description !== title ? description : '',
  ]
    .filter(Boolean)
    .join('\n')
}

function getName({ labels }: Alert): string {
  return toLabel(getText(labels, 'alertname')) || 'alert without a name'
}

function formatHost({ labels }: Alert): string {
  for (const name of HOST_LABELS) {
    const value = toLabel(getText(labels, name))
    if (value !== '') return `${name === 'hostname' ? 'host' : name} ${value}`
  }
  return ''
}

/** Formats since when an alert has been firing, or from when to when it was firing. */
function formatPeriod(alert: Alert, nowMs: number): string {
  const [start, end] = [formatAlertTime(alert.startsAt), formatAlertTime(alert.endsAt)]
  if (start === '') return ''
  const duration = getDuration(alert, nowMs)
  const suffix = duration === '' ? '' : ` (${duration})`
  if (alert.status === 'firing') return `since ${start}${suffix}`
  return end === '' ? `since ${start}` : `from ${start} to ${end}${suffix}`
}

function formatValue(alert: Alert): string {
  const value = alert.status === 'firing' ? toLabel(getValue(alert)) : ''
  return value === '' ? '' : `value ${value}`
}

/**
 * Formats the number of alerts of each name. It is for notifications that are too long to list each alert.
 */
function formatCounts(notification: Notification, nowMs: number): string {
  const names = new Map<string, Alert[]>()
  for (const alert of sortBySeverity(notification.alerts)) {
    const name = getText(alert.labels, 'alertname')
    const known = names.get(name)
    if (known) known.push(alert)
    else names.set(name, [alert])
  }
  const lines = Array.from(names.values()).slice(0, MAX_NAMES).map(formatNameCounts)
  const omitted = names.size - lines.length
  return joinBlocks([
    formatHeading(notification),
    [...lines, ...(omitted > 0 ? [`and ${formatCount(omitted, 'other name')}`] : [])].join('\n'),
    formatOldest(notification.alerts, nowMs),
    formatMainLink(notification),
  ])
}

/** Formats the counts of alerts of the same name, for example `XmppServerDown: 2 firing (CRITICAL), 1 resolved`. */
function formatNameCounts(alerts: readonly Alert[]): string {
  const firing = alerts.filter(({ status }) => status === 'firing')
  const resolved = alerts.length - firing.length
  const severity = firing[0]
    ? toOneLine(getText(firing[0].labels, 'severity'), 20).toUpperCase()
    : ''
  const counts = [
    ...(firing.length > 0 ? [`${firing.length} firing${severity && ` (${severity})`}`] : []),
    ...(resolved > 0 ? [`${resolved} resolved`] : []),
  ]
  return `${getName(alerts[0]!)}: ${counts.join(', ')}`
}

/** Formats since when the oldest firing alert has been firing. */
function formatOldest(alerts: readonly Alert[], nowMs: number): string {
  const starts = alerts
    .filter(({ status }) => status === 'firing')
    .map((alert) => ({ alert, ms: parseTime(alert.startsAt) ?? Infinity }))
  const oldest = starts.reduce((a, b) => (b.ms < a.ms ? b : a), starts[0]!)
  if (starts.length === 0 || oldest.ms === Infinity) return ''
  return `The oldest alert has been firing ${formatPeriod(oldest.alert, nowMs)}.`
}

/**
 * Formats the links of the firing alerts, each once, and the link to the alert manager.
 *
 * @param max The maximum number of links of each kind.
 */
function formatLinks(notification: Notification, max: number): string {
  const firing = notification.alerts.filter(({ status }) => status === 'firing')
  const list = (title: string, urls: readonly string[]) =>
    Array.from(new Set(urls))
      .map((url) => toLink(url, MAX_LINK_CHARACTERS))
      .filter(Boolean)
      .slice(0, max)
      .map((url) => `${title}: ${url}`)
  return [
    ...list(
      'Runbook',
      firing.map(({ annotations }) => getText(annotations, 'runbook_url')),
    ),
    ...list(
      'Source',
      firing.map(({ generatorURL }) => generatorURL),
    ),
    formatMainLink(notification),
  ]
    .filter(Boolean)
    .join('\n')
}

function formatMainLink({ externalURL }: Notification): string {
  const url = toLink(externalURL, MAX_LINK_CHARACTERS)
  return url === '' ? '' : `All alerts: ${url}`
}

/** Cuts a text to the maximum length, with the link to the alert manager at its end. */
function cutWithLink(text: string, notification: Notification): string {
  const link = formatMainLink(notification)
  return joinBlocks([clip(text, MAX_CHARACTERS - link.length - 2), link])
}

/** Sorts the firing alerts before the resolved ones, and the severe ones before the others. */
function sortBySeverity(alerts: readonly Alert[]): readonly Alert[] {
  const rank = ({ status, labels }: Alert) => {
    const index = SEVERITIES.indexOf(getText(labels, 'severity').toLowerCase())
    return (status === 'firing' ? 0 : 100) + (index < 0 ? SEVERITIES.length : index)
  }
  return alerts
    .map((alert) => ({ alert, rank: rank(alert) }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ alert }) => alert)
}

function joinBlocks(blocks: readonly string[]): string {
  return blocks.filter(Boolean).join('\n\n')
}

const toLabel = (text: string) => toOneLine(text, MAX_LABEL_CHARACTERS)

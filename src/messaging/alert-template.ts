import {
  parseAlertTemplate,
  type AlertField,
  type AlertTemplate,
} from '../config/parse-alert-template.js'
import { formatAlertTime, getDuration } from './alert-times.js'
import type { Alert, Notification, Texts } from './notification.js'
import { removeControls, toOneLine } from './plain-text.js'

const MAX_FIELD_CHARACTERS = 1000

/** Parses the template of the configuration, which the configuration has already checked. */
export function readAlertTemplate(text: string): AlertTemplate {
  return parseAlertTemplate({ source: 'alerts.template', text })
}

/**
 * Renders the text of one alert. Each field becomes one line of text. A field that the alert does not have is empty.
 *
 * @param nowMs The time until which the duration of a firing alert counts.
 */
export function renderAlert(
  template: AlertTemplate,
  alert: Alert,
  notification: Notification,
  nowMs: number,
): string {
  const parts = template.map((part) =>
    typeof part === 'string'
      ? removeControls(part)
      : toOneLine(getFieldText(part, alert, notification, nowMs), MAX_FIELD_CHARACTERS),
  )
  return parts.join('').trim()
}

function getFieldText(
  field: AlertField,
  alert: Alert,
  notification: Notification,
  nowMs: number,
): string {
  if ('group' in field) {
    const { labels, annotations } = alert
    return getText(
      { labels, annotations, groupLabels: notification.groupLabels }[field.group],
      field.name,
    )
  }
  switch (field.field) {
    case 'status':
    case 'generatorURL':
      return alert[field.field]
    case 'receiver':
    case 'externalURL':
      return notification[field.field]
    case 'startsAt':
      return formatAlertTime(alert.startsAt)
    case 'endsAt':
      // In a firing alert, this is the time at which Alertmanager would resolve the alert by itself.
      return alert.status === 'resolved' ? formatAlertTime(alert.endsAt) : ''
    case 'duration':
      return getDuration(alert, nowMs)
    case 'value':
      return getValue(alert)
  }
}

/** Returns the value of an alert: the annotation `value`, or else what Grafana sent. */
export function getValue({ annotations, value = '' }: Alert): string {
  return getText(annotations, 'value') || value
}

/** Returns a label or annotation; an empty text if it is missing. */
export function getText(texts: Texts, name: string): string {
  // Without this check, the name `constructor` would return a function.
  return Object.hasOwn(texts, name) ? texts[name]! : ''
}

import {
  getGroupKey,
  getNotificationKey,
  NotificationError,
  parseNotification,
} from '../../src/messaging/notification.js'
import { formatNotification } from '../../src/messaging/notification-text.js'
import { must, refusing, type Target } from '../target.js'

const NOW_MS = Date.UTC(2026, 0, 31)
const TEMPLATE = '{{ labels.severity }} {{ annotations.summary }} {{ startsAt }} {{ value }}'
const FORBIDDEN = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff]/

/**
 * Reads the input as the payload of a webhook. The result must be a text that a message can contain, or an error of one
 * line.
 */
export const notifications: Target = {
  name: 'notifications',
  weight: 3,
  seeds: [
    JSON.stringify({
      version: '4',
      groupKey: '{}:{alertname="XmppServerDown"}',
      truncatedAlerts: 0,
      status: 'firing',
      receiver: 'xmpp',
      groupLabels: { alertname: 'XmppServerDown' },
      commonLabels: {},
      commonAnnotations: { summary: 'a\u202eb' },
      externalURL: 'http://127.0.0.1:9093',
      alerts: [
        {
          status: 'firing',
          labels: { alertname: 'XmppServerDown', severity: 'critical' },
          annotations: { summary: 'The server does not answer.' },
          startsAt: '2026-01-30T12:00:00.123456789Z',
          endsAt: '0001-01-01T00:00:00Z',
          generatorURL: 'http://127.0.0.1:9090/graph?g0.expr=up',
          fingerprint: 'c4a6a4f0b1d2e3f4',
        },
      ],
    }),
    JSON.stringify({
      version: '1',
      status: 'resolved',
      orgId: 1,
      title: '[RESOLVED]',
      alerts: [
        {
          status: 'resolved',
          startsAt: '2026-01-30T12:00:00+02:00',
          endsAt: '2026-01-30T13:00:00Z',
          values: { B: 22.5, C: 1 },
          valueString: "[ var='B' labels={} value=22.5 ]",
        },
      ],
    }),
  ],
  words: [
    ...['"alerts":[', '{"status":"firing"}', '"resolved"', '"labels":{', '"annotations":{', 'null'],
    ...['"__proto__":', '"constructor":', '"values":{', '\\u0000', '\\u202e', '\\ud800', '[', '{'],
    ...['"summary":"', 'http://', 'javascript:', '"truncatedAlerts":', '1e999', '9999-99-99'],
  ],
  run(input) {
    let json: unknown
    try {
      json = JSON.parse(input.toString())
    } catch {
      return
    }
    const notification = refusing([NotificationError], () => readOrCheckError(json))
    if (notification === undefined) return
    for (const template of [undefined, TEMPLATE]) {
      const text = formatNotification(notification, { template, nowMs: NOW_MS })
      must(
        text.length > 0 && text.length <= 4000,
        `a text must have 1 to 4000 characters: ${text.length}`,
      )
      must(!/\p{Cs}/u.test(text), 'a text must have no lone surrogates')
      must(!FORBIDDEN.test(text), `a text must have no control characters: ${JSON.stringify(text)}`)
    }
    const reversed = { ...notification, alerts: notification.alerts.toReversed() }
    must(
      getNotificationKey(notification) === getNotificationKey(reversed),
      'the key must not depend on the order of the alerts',
    )
    must(
      getGroupKey(notification) === getGroupKey(reversed),
      'the key of the group must not depend on the order of the alerts',
    )
  },
}

function readOrCheckError(json: unknown) {
  try {
    return parseNotification(json)
  } catch (error) {
    if (!(error instanceof NotificationError)) throw error
    const { message } = error
    must(
      !/[\r\n\u2028\u2029\u202e]/.test(message),
      `an error must be one line: ${JSON.stringify(message)}`,
    )
    must(message.length < 400, `an error must be short: ${message}`)
    must(/^(?:body|[\w.[\]"\\]+.*): \S/.test(message), `an error must name the place: ${message}`)
    throw error
  }
}

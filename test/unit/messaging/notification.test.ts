import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { formatNotification } from '../../../src/messaging/notification-text.js'
import {
  decodeNotification,
  getAlertsKey,
  getGroupKey,
  getNotificationKey,
  NotificationError,
  parseNotification,
} from '../../../src/messaging/notification.js'
import {
  alertmanagerAlert,
  alertmanagerPayload,
  GRAFANA_PAYLOAD,
} from '../../support/webhook-payloads.js'

const parse = (fields: Readonly<Record<string, unknown>> = {}) =>
  parseNotification(alertmanagerPayload(fields))
const parseAlert = (fields: Readonly<Record<string, unknown>> = {}) =>
  parse({ alerts: [alertmanagerAlert(fields)] }).alerts[0]!

function problemOf(run: () => unknown): string {
  let message = ''
  assert.throws(run, (error) => {
    assert.ok(error instanceof NotificationError, String(error))
    message = error.message
    return true
  })
  assert.doesNotMatch(message, /[\r\n]/)
  return message
}

describe('a payload', () => {
  test('each field of Alertmanager is read, and version, which has no use later, is not', () => {
    const { version, ...fields } = alertmanagerPayload()
    assert.equal(version, '4')
    assert.deepEqual(parse(), fields)
  })

  test('Grafana sends a compatible payload with version 1 and values', () => {
    const { receiver, alerts, groupKey } = parseNotification(GRAFANA_PAYLOAD)
    assert.equal(receiver, 'XMPP')
    assert.equal(groupKey, GRAFANA_PAYLOAD.groupKey)
    assert.equal(alerts[0]!.value, 'B=44.23943737541908, C=1')
    assert.equal(alerts[0]!.startsAt, '2021-10-12T09:51:03+02:00')
    assert.equal('silenceURL' in alerts[0]!, false)
  })

  test('the only value of Grafana has no name, and a text of values is used if there are no numbers', () => {
    assert.equal(parseAlert({ values: { B: 22.5 } }).value, '22.5')
    assert.equal(parseAlert({ values: null, valueString: 'x' }).value, 'x')
    assert.equal(parseAlert({ values: [], valueString: 5 }).value, undefined)
  })

  test('only the status and the alerts are required', () => {
    assert.deepEqual(parseNotification({ status: 'resolved', alerts: [{ status: 'resolved' }] }), {
      groupKey: '',
      status: 'resolved',
      receiver: '',
      groupLabels: {},
      commonLabels: {},
      commonAnnotations: {},
      externalURL: '',
      truncatedAlerts: 0,
      alerts: [
        {
          status: 'resolved',
          labels: {},
          annotations: {},
          startsAt: '0001-01-01T00:00:00Z',
          endsAt: '0001-01-01T00:00:00Z',
          generatorURL: '',
          fingerprint: '',
        },
      ],
    })
  })

  test('null, as Go writes an empty map, is like a missing field', () => {
    assert.deepEqual(parse({ groupLabels: null, receiver: null }).groupLabels, {})
    assert.deepEqual(parseAlert({ annotations: null }).annotations, {})
  })

  test('a label can have any name, also that of a property of all objects', () => {
    const labels = JSON.parse('{"__proto__": "a", "constructor": "b", "toString": "c"}') as object
    const parsed = parseAlert({ labels }).labels
    assert.deepEqual(Object.entries(parsed), Object.entries(labels))
    assert.equal(Object.getPrototypeOf(parsed), Object.prototype)
  })

  test('a long text is cut, and a long group key is not', () => {
    const long = 'x'.repeat(100_000)
    const [alert] = parse({ alerts: [alertmanagerAlert({ labels: { long } })] }).alerts
    assert.equal(alert!.labels.long, `${'x'.repeat(9999)}…`)
    assert.equal(parse({ groupKey: long }).groupKey, long)
  })

  const problems: readonly (readonly [fields: unknown, message: string])[] = [
    [[], 'body: expected an object, got a list'],
    ['a', 'body: expected an object, got a text'],
    [null, 'body: expected an object, got nothing'],
    [
      { version: '3' },
      'version: expected "4" as Alertmanager sends it, or "1" as Grafana sends it',
    ],
    [{ version: 4 }, 'version: expected "4" as Alertmanager sends it, or "1" as Grafana sends it'],
    [{ status: 'pending' }, 'status: expected "firing" or "resolved"'],
    [{ status: undefined }, 'status: expected "firing" or "resolved"'],
    [{ groupKey: 5 }, 'groupKey: expected a text, got a number'],
    [{ receiver: {} }, 'receiver: expected a text, got an object'],
    [{ externalURL: true }, 'externalURL: expected a text, got true or false'],
    [{ groupLabels: [] }, 'groupLabels: expected an object, got a list'],
    [{ commonLabels: { a: 1 } }, 'commonLabels["a"]: expected a text, got a number'],
    [
      { commonAnnotations: { 'a\n': null } },
      'commonAnnotations["a\\n"]: expected a text, got nothing',
    ],
    [{ truncatedAlerts: -1 }, 'truncatedAlerts: expected a number of alerts, got a number'],
    [{ truncatedAlerts: '1' }, 'truncatedAlerts: expected a number of alerts, got a text'],
    [{ truncatedAlerts: 1.5 }, 'truncatedAlerts: expected a number of alerts, got a number'],
    [{ alerts: undefined }, 'alerts: expected a list, got nothing'],
    [{ alerts: {} }, 'alerts: expected a list, got an object'],
    [
      { alerts: [] },
      'alerts: expected 1 to 5000 alerts, got 0; set max_alerts in the webhook of Alertmanager',
    ],
    [
      { alerts: Array(5001).fill(alertmanagerAlert()) },
      'alerts: expected 1 to 5000 alerts, got 5001; set max_alerts in the webhook of Alertmanager',
    ],
    [{ alerts: [alertmanagerAlert(), 5] }, 'alerts[1]: expected an object, got a number'],
    [{ alerts: [{}] }, 'alerts[0].status: expected "firing" or "resolved"'],
  ]
  for (const [fields, message] of problems) {
    test(`is rejected: ${message}`, () => {
      const isFields = typeof fields === 'object' && fields !== null && !Array.isArray(fields)
      const payload = isFields ? alertmanagerPayload(fields as Record<string, unknown>) : fields
      assert.equal(
        problemOf(() => parseNotification(payload)),
        message,
      )
    })
  }

  test('a wrong field of an alert is rejected with its place', () => {
    const alerts = (fields: Record<string, unknown>) => problemOf(() => parseAlert(fields))
    assert.equal(alerts({ labels: 'x' }), 'alerts[0].labels: expected an object, got a text')
    assert.equal(
      alerts({ annotations: { summary: ['x'] } }),
      'alerts[0].annotations["summary"]: expected a text, got a list',
    )
    assert.equal(
      alerts({ fingerprint: 'f'.repeat(201) }),
      'alerts[0].fingerprint: expected at most 200 characters',
    )
    for (const startsAt of ['yesterday', '2026-13-01T00:00:00Z', '2026-11-27 20:58:11Z', '1']) {
      assert.equal(
        alerts({ startsAt }),
        'alerts[0].startsAt: expected a time as in RFC 3339, e.g. 2026-01-31T23:59:59Z',
      )
    }
    const many = Object.fromEntries(Array.from({ length: 501 }, (_, i) => [`l${i}`, '']))
    assert.equal(alerts({ labels: many }), 'alerts[0].labels: expected at most 500 names, got 501')
    assert.ok(alerts({ labels: { ['n'.repeat(1000)]: 5 } }).length < 200)
  })

  test('a label or an annotation with a name of more than 1,000 characters is omitted, and the alert is not', () => {
    const long = 'n'.repeat(1001)
    const { labels, annotations } = parseNotification(
      alertmanagerPayload({
        alerts: [
          alertmanagerAlert({
            labels: { alertname: 'Full', [long]: 'x' },
            annotations: { [long]: 'x', summary: 'Full' },
          }),
        ],
      }),
    ).alerts[0]!
    assert.deepEqual([labels, annotations], [{ alertname: 'Full' }, { summary: 'Full' }])
  })

  test('braces and quotes in texts do not count as objects', () => {
    const summary = `\\"${'{['.repeat(4000)}\\`
    const payload = alertmanagerPayload({
      alerts: Array(5).fill(alertmanagerAlert({ annotations: { summary } })),
    })
    const { alerts } = decodeNotification(Buffer.from(JSON.stringify(payload)))
    assert.equal(alerts[4]!.annotations.summary, summary)
  })

  test('the names of each object count on their own', () => {
    const labels = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`l${i}`, '']))
    const payload = alertmanagerPayload({ alerts: Array(5).fill(alertmanagerAlert({ labels })) })
    assert.equal(decodeNotification(Buffer.from(JSON.stringify(payload))).alerts.length, 5)
  })

  test('objects within each other are limited', () => {
    const nest = (depth: number) => Buffer.from('['.repeat(depth) + ']'.repeat(depth))
    assert.match(
      problemOf(() => decodeNotification(nest(10))),
      /^body: expected an object/,
    )
    assert.match(
      problemOf(() => decodeNotification(nest(11))),
      /^body: expected at most 25000/,
    )
  })

  test('only fields of the payload itself are read', () => {
    const inherited = Object.create(alertmanagerPayload()) as object
    assert.match(
      problemOf(() => parseNotification(inherited)),
      /^status: expected/,
    )
  })

  test('any JSON is a notification with a short text, or is rejected with one line', () => {
    const texts = fc.dictionary(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), {
      maxKeys: 5,
    })
    const maybe = <T>(valid: fc.Arbitrary<T>) =>
      fc.oneof({ weight: 30, arbitrary: valid }, { weight: 1, arbitrary: fc.jsonValue() })
    const status = fc.constantFrom('firing', 'resolved')
    const time = fc.oneof(
      fc
        .date({ noInvalidDate: true, min: new Date(0), max: new Date(4e12) })
        .map((date) => date.toISOString()),
      fc.constant('0001-01-01T00:00:00Z'),
    )
    const alert = fc.record(
      {
        status: maybe(status),
        labels: maybe(texts),
        annotations: maybe(texts),
        startsAt: maybe(time),
        endsAt: maybe(time),
        generatorURL: maybe(fc.oneof(fc.webUrl(), fc.string())),
        fingerprint: maybe(fc.string()),
        values: fc.jsonValue(),
      },
      { requiredKeys: ['status'] },
    )
    const payload = fc.record(
      {
        status: maybe(status),
        groupKey: maybe(fc.string()),
        groupLabels: maybe(texts),
        externalURL: maybe(fc.webUrl()),
        truncatedAlerts: maybe(fc.nat()),
        alerts: maybe(fc.array(alert, { minLength: 1, maxLength: 5 })),
      },
      { requiredKeys: ['status', 'alerts'] },
    )
    let parsed = 0
    fc.assert(
      fc.property(fc.oneof(fc.jsonValue(), payload), (json) => {
        let notification
        try {
          notification = parseNotification(JSON.parse(JSON.stringify(json)))
        } catch (error) {
          assert.ok(error instanceof NotificationError, String(error))
          assert.doesNotMatch(error.message, /[\r\n\u2028\u2029]/)
          assert.ok(error.message.length < 400)
          return
        }
        parsed++
        const text = formatNotification(notification)
        assert.ok(text.length > 0 && text.length <= 4000)
        assert.doesNotMatch(text, /[^\n\P{Cc}]|\p{Cs}|[\u202a-\u202e\u2066-\u2069\ufffe\uffff]/u)
      }),
      { numRuns: 300 },
    )
    assert.ok(parsed > 20, `only ${parsed} random payloads were valid`)
  })
})

describe('the key of a notification', () => {
  const [one, two] = [
    alertmanagerAlert(),
    alertmanagerAlert({ fingerprint: 'f2', startsAt: '2026-11-27T21:00:00Z' }),
  ]
  const keyOf = (fields: Readonly<Record<string, unknown>>) => getNotificationKey(parse(fields))
  const key = keyOf({ alerts: [one, two] })

  test('is the same for a retry, in any order of the alerts and with other texts', () => {
    assert.equal(keyOf({ alerts: [one, two] }), key)
    assert.equal(keyOf({ alerts: [two, one] }), key)
    assert.equal(
      keyOf({ alerts: [{ ...one, annotations: { value: '5' }, endsAt: two.startsAt }, two] }),
      key,
    )
  })

  test('differs if the group, an alert, its status or its start differs', () => {
    const others = [
      keyOf({ alerts: [one, two], groupKey: '{}:{}' }),
      keyOf({ alerts: [one] }),
      keyOf({ alerts: [one, two, { ...one, fingerprint: 'f3' }] }),
      keyOf({ alerts: [{ ...one, status: 'resolved' }, two] }),
      keyOf({ alerts: [one, { ...two, status: 'resolved' }] }),
      keyOf({ alerts: [{ ...one, startsAt: '2026-11-27T20:58:12Z' }, two] }),
      keyOf({ alerts: [one, two], truncatedAlerts: 1 }),
    ]
    assert.equal(new Set([key, ...others]).size, others.length + 1)
  })

  test('uses the labels if there is no fingerprint, and the group labels if there is no group key', () => {
    const withLabels = (labels: object, groupLabels: object = {}) =>
      keyOf({ groupKey: '', groupLabels, alerts: [{ ...one, fingerprint: '', labels }] })
    assert.equal(withLabels({ a: '1', b: '2' }), withLabels({ b: '2', a: '1' }))
    assert.notEqual(withLabels({ a: '1', b: '2' }), withLabels({ a: '2', b: '1' }))
    assert.equal(withLabels({}, { a: '1', b: '2' }), withLabels({}, { b: '2', a: '1' }))
    assert.notEqual(withLabels({}, { a: '1' }), withLabels({}, { a: '2' }))
  })

  test('the key of the alerts is the same for their resolution, if all of them have the same status', () => {
    const resolve = (alert: object) => ({ ...alert, status: 'resolved' })
    const keyIf = (status: 'firing' | 'resolved', alerts: readonly object[], fields = {}) =>
      getAlertsKey(parse({ ...fields, alerts }), status)
    const firing = keyIf('firing', [one, two])
    assert.match(firing!, /^[\w-]{43}$/)
    assert.equal(keyIf('resolved', [two, one].map(resolve)), firing)
    assert.equal(keyIf('resolved', [one, two]), undefined)
    assert.equal(keyIf('firing', [one, resolve(two)]), undefined)
    assert.equal(keyIf('resolved', [one, resolve(two)]), undefined)
    assert.notEqual(keyIf('resolved', [resolve(one)]), firing)
    assert.equal(keyIf('firing', [one, two], { truncatedAlerts: 1 }), undefined)
  })

  test('the key of the group links the resolved notification to the firing one', () => {
    const firing = parse({ alerts: [one, two] })
    const resolved = parse({ status: 'resolved', alerts: [{ ...one, status: 'resolved' }] })
    assert.equal(getGroupKey(resolved), getGroupKey(firing))
    assert.notEqual(getGroupKey(parse({ groupKey: 'other' })), getGroupKey(firing))
    assert.match(getGroupKey(firing), /^[\w-]{43}$/)
  })
})

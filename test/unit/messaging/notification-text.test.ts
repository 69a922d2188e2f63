import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { formatNotification } from '../../../src/messaging/notification-text.js'
import { parseNotification } from '../../../src/messaging/notification.js'
import { clip, toLink, toOneLine } from '../../../src/messaging/plain-text.js'
import {
  alertmanagerAlert,
  alertmanagerPayload,
  GRAFANA_PAYLOAD,
  GRAFANA_TEST_PAYLOAD,
} from '../../support/webhook-payloads.js'

type Fields = Readonly<Record<string, unknown>>

const NOW_MS = Date.parse('2026-11-27T21:10:30Z')
const RESOLVED = { status: 'resolved', endsAt: '2026-11-27T21:05:00Z' }

const format = (fields: Fields = {}, template?: string) =>
  formatNotification(parseNotification(alertmanagerPayload(fields)), { template, nowMs: NOW_MS })
const formatOne = (fields: Fields, template?: string) =>
  format({ alerts: [alertmanagerAlert(fields)] }, template)

/** Creates alerts with the given name and different hosts. */
const createAlerts = (count: number, alertname: string, fields: Fields = {}) =>
  Array.from({ length: count }, (_, i) =>
    alertmanagerAlert({
      labels: { alertname, severity: 'warning', server: `s${i}.example` },
      annotations: { summary: `Problem of s${i}.example.` },
      fingerprint: `${alertname}${i}`,
      ...fields,
    }),
  )

describe('a notification of one alert', () => {
  test('a firing alert has severity, summary, name, host, start, duration, description and links', () => {
    assert.equal(
      formatOne({ annotations: { ...(alertmanagerAlert().annotations as object), value: '0' } }),
      `CRITICAL: The XMPP server (xmpp.example.com) does not answer.
XmppServerDown, server xmpp.example.com, since 2026-11-27 20:58 UTC (12 minutes), value 0
The exporter has received no answer. 1. Run \`systemctl status prosody\`.

Runbook: https://example.com/operations.md#xmppserverdown
Source: http://prometheus.example.com:9090/graph?g0.expr=xmpp_up+%3D%3D+0&g0.tab=1
All alerts: http://alertmanager.example.com:9093/`,
    )
  })

  test('a resolved alert has the time from its start to its end, and only the link to the alert manager', () => {
    assert.equal(
      formatOne(RESOLVED),
      `RESOLVED: The XMPP server (xmpp.example.com) does not answer.
XmppServerDown, server xmpp.example.com, from 2026-11-27 20:58 UTC to 2026-11-27 21:05 UTC (6 minutes)

All alerts: http://alertmanager.example.com:9093/`,
    )
  })

  test('an alert of Grafana has its values', () => {
    assert.equal(
      formatNotification(parseNotification(GRAFANA_PAYLOAD), {
        nowMs: Date.parse('2021-10-12T08:00:00Z'),
      }),
      `ALERT: The memory of zone us-1 is almost used up
High memory usage, since 2021-10-12 07:51 UTC (8 minutes), value B=44.23943737541908, C=1
The system has high memory usage

Runbook: https://runbooks.example.com/memory
Source: https://grafana.example.com/alerting/grafana/1afz29v7z/view?orgId=1
All alerts: https://grafana.example.com/`,
    )
  })

  test('the test alert of Grafana has a text for its values, and no link to a rule', () => {
    assert.equal(
      formatNotification(parseNotification(GRAFANA_TEST_PAYLOAD), {
        nowMs: Date.parse('2021-10-12T07:52:10Z'),
      }),
      `ALERT: Notification test
TestAlert, instance Grafana, since 2021-10-12 07:51 UTC (1 minute), value [ metric='foo' labels={instance=bar} value=10 ]

All alerts: https://grafana.example.com/`,
    )
  })

  test('an alert without labels and annotations still has a text', () => {
    const bare = { labels: {}, annotations: {}, startsAt: '', generatorURL: '' }
    assert.equal(
      format({ alerts: [alertmanagerAlert(bare)], externalURL: '' }),
      'ALERT: alert without a name',
    )
  })

  test('without a summary, the title is the message, the description or the name', () => {
    const title = (annotations: Fields) => formatOne({ annotations }).split('\n')[0]
    assert.equal(title({ message: 'M', description: 'D' }), 'CRITICAL: M')
    assert.equal(title({ summary: ' ', description: 'D' }), 'CRITICAL: D')
    const text = formatOne({ annotations: { description: 'The text' } })
    assert.equal(text.split('The text').length, 2, 'the description is not repeated')
    assert.equal(title({}), 'CRITICAL: XmppServerDown')
    assert.equal(formatOne({ annotations: {} }).split('XmppServerDown').length, 2)
  })

  test('the host is the label that names it most exactly', () => {
    const getHost = (labels: Fields) => /, (\w+ [^,\n]+), since/.exec(formatOne({ labels }))?.[1]
    assert.equal(getHost({ instance: 'i', host: 'h', server: 's' }), 'host h')
    assert.equal(getHost({ instance: 'i', hostname: 'h' }), 'host h')
    assert.equal(getHost({ instance: 'i:9100', node: 'n' }), 'node n')
    assert.equal(getHost({ instance: 'i:9100' }), 'instance i:9100')
    assert.equal(getHost({ job: 'x' }), undefined)
  })

  test('an unknown or impossible time is omitted', () => {
    assert.doesNotMatch(formatOne({ startsAt: '0001-01-01T00:00:00Z' }), /since/)
    assert.match(formatOne({ startsAt: '2026-11-27T22:00:00Z' }), /, since 2026-11-27 22:00 UTC\n/)
    assert.match(
      formatOne({ ...RESOLVED, endsAt: '0001-01-01T00:00:00Z' }),
      /, since 2026-11-27 20:58 UTC\n/,
    )
  })
})

describe('a notification of several alerts', () => {
  test('lists the firing alerts first, the severe ones before the others, and each link once', () => {
    const text = format({
      groupLabels: { job: 'prosody', env: 'prod' },
      alerts: [
        alertmanagerAlert(RESOLVED),
        ...createAlerts(2, 'Slow'),
        alertmanagerAlert({ labels: { alertname: 'Full', severity: 'critical' } }),
      ],
    })
    assert.deepEqual(
      text.split('\n').filter((line) => /^(?:\d|[A-Z]+:|Source|All)/.test(line)),
      [
        '3 alerts firing, 1 alert resolved: job=prosody, env=prod',
        'CRITICAL: The XMPP server (xmpp.example.com) does not answer.',
        'WARNING: Problem of s0.example.',
        'WARNING: Problem of s1.example.',
        'RESOLVED: The XMPP server (xmpp.example.com) does not answer.',
        'Source: http://prometheus.example.com:9090/graph?g0.expr=xmpp_up+%3D%3D+0&g0.tab=1',
        'All alerts: http://alertmanager.example.com:9093/',
      ],
    )
    assert.match(text, /\nRunbook: /)
  })

  test('20 alerts are listed, and 21 are summarized with the counts of each name', () => {
    assert.match(format({ alerts: createAlerts(20, 'Slow') }), /WARNING: Problem of s19\.example\./)
    const alerts = [
      ...createAlerts(12, 'Slow', { startsAt: '2026-11-27T21:00:00Z' }),
      ...createAlerts(6, 'Full', { labels: { alertname: 'Full', severity: 'critical' } }),
      ...createAlerts(3, 'Slow', RESOLVED),
      ...createAlerts(2, 'Gone', RESOLVED),
    ]
    assert.equal(
      format({ alerts, truncatedAlerts: 4 }),
      `18 alerts firing, 5 alerts resolved, 4 alerts omitted by max_alerts: alertname=XmppServerDown

Full: 6 firing (CRITICAL)
Slow: 12 firing (WARNING), 3 resolved
Gone: 2 resolved

The oldest alert has been firing since 2026-11-27 20:58 UTC (12 minutes).

All alerts: http://alertmanager.example.com:9093/`,
    )
  })

  test('alerts that Alertmanager has omitted count too', () => {
    assert.match(format({ truncatedAlerts: 19 }), /CRITICAL: The XMPP server/)
    assert.match(format({ truncatedAlerts: 20 }), /^XmppServerDown: 1 firing \(CRITICAL\)$/m)
  })

  test('a summary names at most 20 alert names', () => {
    const alerts = Array.from({ length: 30 }, (_, i) => createAlerts(1, `Alert${i}`)).flat()
    const text = format({ alerts })
    assert.match(text, /^Alert19: 1 firing/m)
    assert.doesNotMatch(text, /Alert20/)
    assert.match(text, /^and 10 other names$/m)
  })
})

describe('the length of a text', () => {
  const long = 'word '.repeat(20_000)

  test('one alert with texts of 100 KB has a text of at most 4,000 characters with all links', () => {
    const text = formatOne({
      labels: { alertname: long, severity: long, server: long },
      annotations: {
        summary: long,
        description: long,
        value: long,
        runbook_url: 'https://example.com/',
      },
    })
    assert.ok(text.length <= 4000, String(text.length))
    assert.equal(text.split('…').length - 1, 6)
    for (const link of ['Runbook: https:', 'Source: http:', 'All alerts: http:'])
      assert.ok(text.includes(link))
  })

  test('20 alerts with long texts are shortened, and summarized if they are still too long', () => {
    const annotations = { summary: long, description: long }
    const shortened = format({ alerts: createAlerts(15, 'Slow', { annotations }) })
    assert.ok(shortened.length <= 4000)
    assert.match(shortened, /server s14\.example/)
    const summarized = format({ alerts: createAlerts(20, 'N'.repeat(100), { annotations }) })
    assert.ok(summarized.length <= 4000)
    assert.match(summarized, /: 20 firing \(WARNING\)$/m)
  })

  test('the longest summary has at most 4,000 characters', () => {
    const alerts = Array.from({ length: 100 }, (_, i) =>
      createAlerts(1, '', { labels: { alertname: `${i}${long}`, severity: long } }),
    ).flat()
    const groupLabels = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`l${i}`, long]))
    const externalURL = `http://example.com/${'x'.repeat(500)}`
    const text = format({
      alerts: [...alerts, ...alerts.map((a) => ({ ...a, ...RESOLVED }))],
      groupLabels,
      externalURL,
    })
    assert.ok(text.length <= 4000, String(text.length))
    assert.ok(text.endsWith(externalURL))
  })

  test('a long link is omitted, because a cut link does not work', () => {
    const text = formatOne({ generatorURL: `http://example.com/${'x'.repeat(600)}` })
    assert.doesNotMatch(text, /Source/)
  })
})

describe('a template', () => {
  const TEMPLATE = '{{ labels.severity }}: {{ annotations.summary }} ({{ labels.server }})'

  test('formats each alert, the severe ones first', () => {
    const alerts = [...createAlerts(1, 'Slow'), alertmanagerAlert()]
    assert.equal(
      format({ alerts }, TEMPLATE),
      `critical: The XMPP server (xmpp.example.com) does not answer. (xmpp.example.com)

warning: Problem of s0.example. (s0.example)`,
    )
  })

  test('an alert with none of the fields has its usual text', () => {
    assert.match(
      formatOne({ annotations: {} }, '{{ annotations.summary }}'),
      /^CRITICAL: XmppServerDown\n/,
    )
  })

  test('over 20 alerts are summarized, and alerts that are not listed are counted', () => {
    assert.match(format({ alerts: createAlerts(21, 'Slow') }, TEMPLATE), /^Slow: 21 firing/m)
    assert.match(format({ truncatedAlerts: 2 }, TEMPLATE), /, 2 alerts omitted by max_alerts/)
  })

  test('a text that is too long is cut with a link for one alert, and summarized for several', () => {
    const template = `${'x'.repeat(3500)}{{ annotations.summary }}`
    const summary = 'y'.repeat(2000)
    const text = formatOne({ annotations: { summary } }, template)
    assert.equal(text.length, 4000)
    assert.match(text, /y…\n\nAll alerts: http:\/\/alertmanager\.example\.com:9093\/$/)
    assert.match(format({ alerts: createAlerts(2, 'Slow') }, template), /^Slow: 2 firing/m)
  })
})

describe('texts from outside', () => {
  const hostile =
    'a\u0000b\u001b[31mc\u202ed\u2066e\r\nRESOLVED: f\ud800g\ufffeh\u{e0041}i\u200fj\u0085k\u2028l'
  const clean = 'ab[31mcde RESOLVED: fghij k l'

  test('control characters, changes of the text direction and line breaks are removed in each field', () => {
    const labels = { alertname: hostile, severity: hostile, host: hostile }
    const annotations = { summary: hostile, description: `d ${hostile}`, value: hostile }
    const text = format({
      alerts: [alertmanagerAlert({ labels, annotations })],
      groupLabels: { [hostile]: hostile },
      truncatedAlerts: 1,
    })
    assert.match(text, /^1 alert firing, 1 alert omitted by max_alerts: (.*)$/m)
    assert.ok(text.includes(`: ${clean}=${clean}\n`))
    assert.ok(text.includes(`\n${clean.toUpperCase()}: ${clean}\n${clean}, host ${clean}, since `))
    assert.doesNotMatch(text, /[^\n\P{Cc}]|\p{Cs}|[\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe]/u)
  })

  test('emoji and texts in other languages stay unchanged', () => {
    for (const text of ['👩‍💻 ok', 'می‌خواهم', 'Grüße', '日本', 'שלום'])
      assert.equal(toOneLine(text, 100), text)
  })

  test('a text is never cut within a character', () => {
    for (let max = 2; max < 8; max++) {
      const cut = clip('a😀😀😀😀', max)
      assert.doesNotMatch(cut, /\p{Cs}/u)
      assert.ok(cut.length <= max && cut.endsWith('…'))
    }
    assert.equal(clip('abc', 3), 'abc')
    assert.equal(clip('abcd', 3), 'ab…')
  })

  test('a text that is cut after many invisible characters ends with an ellipsis', () => {
    assert.equal(toOneLine('\u0000'.repeat(1000) + 'x', 10), '…')
    assert.equal(toOneLine(`${'a'.repeat(10)}${'\u0000'.repeat(1000)}`, 10), `${'a'.repeat(9)}…`)
  })

  test('only addresses of the web are links, and they have no password', () => {
    assert.equal(
      toLink('https://user:fish@example.com/a b\u202e', 100),
      'https://example.com/a%20b%E2%80%AE',
    )
    for (const text of [
      '',
      'javascript:alert(1)',
      'file:///etc/passwd',
      'example.com',
      'xmpp:a@b',
      'http://',
    ]) {
      assert.equal(toLink(text, 100), '', text)
    }
    assert.equal(toLink(`http://a/${'x'.repeat(92)}`, 100), '')
    assert.equal(toLink(`http://a/${'é'.repeat(50)}`, 100), '', 'percent-encoded, it is too long')
  })
})

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseTemplate } from '../../../src/config/messaging-values.js'
import { readAlertTemplate, renderAlert } from '../../../src/messaging/alert-template.js'
import { parseNotification } from '../../../src/messaging/notification.js'
import { problemOf } from '../../support/config.js'
import { alertmanagerAlert, alertmanagerPayload } from '../../support/webhook-payloads.js'

const NOW_MS = Date.parse('2026-11-27T21:10:30Z')

function render(template: string, fields: Readonly<Record<string, unknown>> = {}): string {
  const notification = parseNotification(
    alertmanagerPayload({ alerts: [alertmanagerAlert(fields)] }),
  )
  return renderAlert(readAlertTemplate(template), notification.alerts[0]!, notification, NOW_MS)
}

describe('a template', () => {
  test('replaces the fields of the alert and of the notification, with any white space in the braces', () => {
    assert.equal(
      render(
        '{{ labels.severity }}/{{annotations.summary}}\n{{  status  }} {{ groupLabels.alertname }}',
      ),
      'critical/The XMPP server (xmpp.example.com) does not answer.\nfiring XmppServerDown',
    )
    assert.equal(
      render('{{ receiver }} {{ externalURL }}'),
      'xmpp http://alertmanager.example.com:9093',
    )
    assert.equal(render('{{ value }}', { annotations: { value: '7' } }), '7')
    assert.equal(render('{{ value }}', { values: { A: 8 } }), '8')
    assert.match(render('{{ generatorURL }}'), /^http:\/\/prometheus\.example\.com:9090\/graph/)
  })

  test('shows times in UTC, and for how long the alert is or was firing', () => {
    const times = '{{ startsAt }} | {{ endsAt }} | {{ duration }}'
    assert.equal(render(times), '2026-11-27 20:58 UTC |  | 12 minutes')
    const resolved = { status: 'resolved', endsAt: '2026-11-27T23:00:00+01:00' }
    assert.equal(
      render(times, resolved),
      '2026-11-27 20:58 UTC | 2026-11-27 22:00 UTC | 1 hour 1 minute',
    )
  })

  test('a field that the alert does not have is empty, also if all objects have a property of its name', () => {
    for (const name of ['missing', 'constructor', '__proto__', 'toString']) {
      assert.equal(render(`<{{ labels.${name} }}{{ annotations.${name} }}>`), '<>', name)
    }
  })

  test('a label can have a name with a dot', () => {
    assert.equal(render('{{ labels.service.name }}', { labels: { 'service.name': 'a' } }), 'a')
  })

  test('the text of a field is never a template, and is one line without control characters', () => {
    const labels = { a: '{{ labels.b }}', b: 'x\r\n\u202ey\u0000z' }
    assert.equal(render('{{ labels.a }} {{ labels.b }}', { labels }), '{{ labels.b }} x yz')
    const long = render('{{ labels.a }}', { labels: { a: 'x'.repeat(5000) } })
    assert.equal(long, `${'x'.repeat(999)}…`)
  })

  test('text without fields stays as it is, except for control characters', () => {
    assert.equal(render('a } }} b\u0007'), 'a } }} b')
  })
})

describe('the setting alerts.template', () => {
  const parse = (text: string) =>
    parseTemplate({ from: 'file', source: 'x.yml:1:2: alerts.template', text })
  const FIELDS =
    'status, value, startsAt, endsAt, duration, generatorURL, externalURL, receiver, labels.NAME, annotations.NAME, groupLabels.NAME'

  test('accepts a template with known fields', () => {
    const text = '{{ labels.severity }}: {{ annotations.summary }}'
    assert.equal(parse(text), text)
  })

  for (const field of [
    ...['labels', 'labels.', '.Labels.severity', 'constructor', '__proto__', 'labels["a"]'],
    ...['', 'status.length', 'range .Alerts', 'labels.a b', 'commonLabels.a', '{'],
  ]) {
    test(`rejects {{${field}}} with one line that lists the fields`, () => {
      assert.equal(
        problemOf(() => parse(`a {{${field}}} b`)),
        `x.yml:1:2: alerts.template: expected one of the fields ${FIELDS}, got ${JSON.stringify(`{{${field}}}`)}`,
      )
    })
  }

  test('rejects braces without an end, an empty template and a long one', () => {
    const source = 'x.yml:1:2: alerts.template: expected'
    assert.equal(
      problemOf(() => parse('a {{ status')),
      `${source} }} after {{, got "{{ status"`,
    )
    assert.equal(
      problemOf(() => parse('{{ {{ status }}')),
      `${source} }} after {{, got "{{ "`,
    )
    assert.equal(
      problemOf(() => parse(' \n')),
      `${source} a text of at most 10000 characters, got " \\n"`,
    )
    assert.match(
      problemOf(() => parse('x'.repeat(10_001))),
      /expected a text of at most 10000 characters/,
    )
    assert.ok(problemOf(() => parse(`{{${'x'.repeat(9000)}}}`)).length < 400)
  })
})

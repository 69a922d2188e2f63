/** Payloads of webhooks as Alertmanager and Grafana send them. */

type Fields = Readonly<Record<string, unknown>>

/** Creates an alert as Alertmanager 0.25 sends it. */
export function alertmanagerAlert(fields: Fields = {}): Fields {
  return {
    status: 'firing',
    labels: {
      alertname: 'XmppServerDown',
      instance: '127.0.0.1:9347',
      job: 'prosody',
      server: 'xmpp.example.com',
      severity: 'critical',
    },
    annotations: {
      description: 'The exporter has received no answer. 1. Run `systemctl status prosody`.',
      runbook_url: 'https://example.com/operations.md#xmppserverdown',
      summary: 'The XMPP server (xmpp.example.com) does not answer.',
    },
    startsAt: '2026-11-27T20:58:11.528Z',
    endsAt: '0001-01-01T00:00:00Z',
    generatorURL: 'http://prometheus.example.com:9090/graph?g0.expr=xmpp_up+%3D%3D+0&g0.tab=1',
    fingerprint: '0cb8c9784a1fd3e7',
    ...fields,
  }
}

export function alertmanagerPayload(fields: Fields = {}): Fields {
  return {
    receiver: 'xmpp',
    status: 'firing',
    alerts: [alertmanagerAlert()],
    groupLabels: { alertname: 'XmppServerDown' },
    commonLabels: { alertname: 'XmppServerDown', severity: 'critical' },
    commonAnnotations: {},
    externalURL: 'http://alertmanager.example.com:9093',
    version: '4',
    groupKey: '{}:{alertname="XmppServerDown"}',
    truncatedAlerts: 0,
    ...fields,
  }
}

/** The example of Grafana's documentation of its webhook, shortened. */
export const GRAFANA_PAYLOAD: Fields = {
  receiver: 'My Super Webhook',
  status: 'firing',
  orgId: 1,
  alerts: [
    {
      status: 'firing',
      labels: { alertname: 'High memory usage', team: 'blue', zone: 'us-1' },
      annotations: {
        description: 'The system has high memory usage',
        runbook_url: 'https://myrunbook.com/runbook/1234',
        summary: 'This alert was triggered for zone us-1',
      },
      startsAt: '2021-10-12T09:51:03.157076+02:00',
      endsAt: '0001-01-01T00:00:00Z',
      generatorURL: 'https://play.grafana.org/alerting/1afz29v7z/edit',
      fingerprint: 'c6eadffa33fcdf37',
      silenceURL: 'https://play.grafana.org/alerting/silence/new?alertmanager=grafana',
      dashboardURL: '',
      panelURL: '',
      values: { B: 44.23943737541908, C: 1 },
      valueString: "[ metric='' labels={} value=44.23943737541908 ]",
    },
  ],
  groupLabels: {},
  commonLabels: { team: 'blue' },
  commonAnnotations: {},
  externalURL: 'https://play.grafana.org/',
  version: '1',
  groupKey: '{}:{}',
  truncatedAlerts: 0,
  title: '[FIRING:1]  (High memory usage blue)',
  state: 'alerting',
  message: '**Firing**\n\nLabels:\n - alertname = High memory usage\n',
}

// Runs every query of deploy/grafana/prosody.json in a real Prometheus. Prometheus scrapes a real Prosody with all the
// traffic that the dashboard shows: once as the only server of an exporter, and once as one of several servers.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import xml from '@xmpp/xml'
import { root, temporaryDirectory, until } from '../support/setup/process.js'
import {
  panelsOf,
  queriesOf,
  withVariables,
  type Dashboard,
  type Variable,
} from '../support/dashboard.js'
import { withExporter, withExporterFor } from '../support/exporter.js'
import { withPrometheus, type RunningPrometheus } from '../support/prometheus.js'
import { prosodyVersions, SECRET, withProsody, type TestProsody } from '../support/prosody.js'
import { evalLua, setServerAddress, untilReady } from '../support/real.js'
import { encryptAsClient, makeCertificates, speakNonsense } from '../support/traffic.js'
import { authenticate, login, sleepAndReturn, type XmppUser } from '../support/xmpp-client.js'

type Version = (typeof prosodyVersions)[number]
const text = readFileSync(join(root, 'deploy/grafana/prosody.json'), 'utf8')
const dashboard = JSON.parse(text) as Dashboard
const panels = panelsOf(dashboard)
const queries = queriesOf(dashboard)

const HOST = 'one.example'
const FAR = 'far.example'
const ALL = '.*'

/**
 * The queries that are not applicable to a version of Prosody, so they have no data. A key is a part of the query, and the
 * value is the reason.
 */
const WITHOUT: Readonly<Record<Version, Readonly<Record<string, string>>>> = {
  '0.12.3': {
    prosody_mod_csi__state_sessions: 'new in 13.0',
    prosody_dns_seconds: 'new in 13.0',
    xmpp_connections_rejected_total: 'mod_limits rejects connections only since 13.0',
  },
  '13.0.1': {
    prosody_dns_seconds: 'needs lua-unbound, which the Prosody of the tests does not have',
    xmpp_connections_rejected_total:
      'mod_limits rejects connections only in later versions of 13.0',
  },
}

/** Only the exporter with a low series limit exports this metric, because it excludes families. */
const LIMITED = 'prosody_exporter_series_left_out'

const rows = dashboard.panels.filter(({ type }) => type === 'row')

test('the rows below "Hosts" are collapsed, and contain their panels', () => {
  assert.deepEqual(
    rows.map(({ title, collapsed }) => `${title}: ${collapsed ? 'collapsed' : 'open'}`),
    [
      ...['Overview: open', 'Hosts: open', 'Process: collapsed', 'Logins and accounts: collapsed'],
      ...['Other servers (s2s): collapsed', 'Rooms (MUC): collapsed', 'Mobile clients: collapsed'],
      ...['Jitsi Meet: collapsed', 'The exporter itself: collapsed', 'From outside: collapsed'],
    ],
  )
  for (const { title, collapsed, panels: inner = [] } of rows) {
    assert.equal(inner.length > 0, collapsed, title)
  }
  // A panel after a collapsed row would belong to no row.
  const firstCollapsed = dashboard.panels.findIndex(({ collapsed }) => collapsed)
  assert.ok(dashboard.panels.slice(firstCollapsed).every(({ type }) => type === 'row'))
})

test('Grafana can read the dashboard', () => {
  assert.equal(dashboard.schemaVersion, 38)
  assert.equal(dashboard.uid, 'prosody-exporter')
  const ids = [...rows, ...panels].map(({ id }) => id)
  assert.equal(new Set(ids).size, ids.length)
  // Every panel must use a variable as its data source, so that the dashboard works with any name of the data source.
  const sources = Array.from(
    text.matchAll(/"datasource": \{[^}]*"uid": "([^"]*)"/g),
    ([, uid]) => uid,
  )
  assert.deepEqual([...new Set(sources)].sort(), ['${datasource}', '-- Grafana --'].sort())
})

test('each panel has a title of its own, a description, a unit and legends', () => {
  assert.equal(new Set(panels.map(({ title }) => title)).size, panels.length)
  for (const { type, title, description, fieldConfig, targets = [] } of panels) {
    assert.match(description ?? '', /^[A-Z\d].{10,}\.$/, `the panel "${title}" has a description`)
    if (type === 'alertlist') continue
    const unit = fieldConfig?.defaults.unit ?? ''
    assert.ok(unit, `the panel "${title}" has a unit`)
    assert.equal(/^(cps|mps|Bps)$/.test(unit), / per second/.test(title), `${title}: ${unit}`)
    assert.ok(targets.length > 0, title)
    if (targets.length > 1) {
      assert.ok(
        targets.every(({ legendFormat }) => legendFormat !== ''),
        `${title}: missing legend`,
      )
    }
  }
})

test('the panels of each row are below it, fit into the width, and do not overlap', () => {
  const open = dashboard.panels.filter(({ collapsed }) => !collapsed)
  const groups = [
    open,
    ...rows.flatMap((row) => (row.collapsed ? [[row, ...(row.panels ?? [])]] : [])),
  ]
  for (const group of groups) {
    const cells = group.flatMap(({ title, gridPos: { x, y, w, h } }) => {
      assert.ok(x + w <= 24, title)
      assert.ok(y >= group[0]!.gridPos.y, title)
      return Array.from({ length: w * h }, (_, i) => `${x + (i % w)} ${y + Math.floor(i / w)}`)
    })
    assert.equal(new Set(cells).size, cells.length, group[0]!.title)
  }
})

test('the dashboard lists the alerts, and has links to their description, to the docs and to the page', () => {
  const list = panels.find(({ type }) => type === 'alertlist')
  const [, pattern = ''] = /alertname=~"(.*)"/.exec(list?.options?.alertInstanceLabelFilter ?? '')!
  const rules = readFileSync(join(root, 'deploy/prometheus/rules.yml'), 'utf8')
  const names = Array.from(rules.matchAll(/- alert: (.+)/g), ([, name]) => name!)
  assert.ok(names.length > 8)
  for (const name of names) assert.match(name, new RegExp(`^(${pattern})$`))

  assert.deepEqual(
    dashboard.links.map(({ title, url }) => [title, url.replace(/^https:.*\/docs\//, 'docs/')]),
    [
      ['Status page', '$page'],
      ['Alerts', 'docs/operations.md#alerts'],
      ['Metrics', 'docs/metrics.md'],
      ['Documentation', 'docs/operations.md#dashboard'],
    ],
  )
  const page = dashboard.templating.list.find(({ name }) => name === 'page')
  assert.equal(page?.type, 'textbox')
  assert.equal(page.query, 'http://127.0.0.1:9347/')
})

/** Starts two Prosody servers that can connect to each other. The first has every module that the dashboard shows. */
async function startServers(t: TestContext, version: Version) {
  const start = async (host: string, modules: readonly string[]) =>
    await withProsody(t, {
      version,
      hosts: [host],
      users: { [`user@${host}`]: 'pw' },
      statsDomains: [`stats.${host}`, `more.${host}`, `limited.${host}`],
      modules: ['test_dns', 'test_eval', ...modules],
      globals: {
        certificates: JSON.stringify(await makeCertificates(t, [host], 60)),
        s2s_secure_auth: 'false',
        muc_room_locking: 'false',
      },
      components: host === HOST ? [{ domain: `files.${host}`, module: 'http_file_share' }] : [],
    })
  const near = await start(HOST, ['bosh', 'smacks', 'csi', 'csi_simple', 'test_jitsi'])
  const far = await start(FAR, [])
  await setServerAddress(near, FAR, far.ports.s2s)
  await setServerAddress(far, HOST, near.ports.s2s)
  // The formats forbid a negative counter, so the exporter counts this sample as invalid.
  await evalLua(
    near,
    'require "core.statsmanager".metric("counter", "test_negative", "", "", {}):with_labels():set(-1)',
  )
  return { near, far }
}

const body = xml('body', {}, 'text')

/** Causes each kind of event that the dashboard shows, for example logins, messages and failures. */
async function makeTraffic(t: TestContext, near: TestProsody, far: TestProsody) {
  const port = near.ports.c2s
  const account = { port, jid: `user@${HOST}`, password: 'pw' }
  await authenticate({ ...account, password: 'wrong' }).catch(() => undefined)
  await encryptAsClient(port, HOST)
  await speakNonsense(near.ports.s2s, HOST)

  const user = await login(account)
  t.after(() => user.close())
  const other = await login({ ...account, port: far.ports.c2s, jid: `user@${FAR}` })
  t.after(() => other.close())
  user.send(xml('presence'))
  await user.joinRoom(`room@${near.rooms}`, 'nick')
  await talk(user, other)
  await talk(other, user)

  await sleepAndReturn(account)
}

async function talk(from: XmppUser, to: XmppUser) {
  from.send(xml('message', { to: to.jid, type: 'chat' }, body))
  await to.next(({ name, attrs }) => name === 'message' && attrs.from === from.jid)
}

const ENDPOINT = 'service="xmpp-client",target="xmpp.one.example:5222",family="ipv4"'

/** The metrics of an exporter that checks a domain from outside. */
const OUTSIDE = `xmpp_endpoint_up{host="${HOST}",${ENDPOINT}} 1
xmpp_endpoint_problem{host="${HOST}",${ENDPOINT},problem="starttls_optional",severity="warning"} 1
xmpp_endpoint_connect_seconds{host="${HOST}",${ENDPOINT},phase="tcp"} 0.02
xmpp_endpoint_tls_info{host="${HOST}",${ENDPOINT},version="TLSv1.3",cipher="TLS_AES_256_GCM_SHA384"} 1
xmpp_endpoint_certificate_expiry_timestamp_seconds{host="${HOST}",${ENDPOINT}} 4102444800
xmpp_endpoint_certificate_matches_loaded{host="${HOST}",${ENDPOINT}} 1
xmpp_endpoint_sasl_mechanism{host="${HOST}",${ENDPOINT},mechanism="SCRAM-SHA-1"} 1
xmpp_srv_records{host="${HOST}",service="xmpp-client"} 1
xmpp_domain_check_timestamp_seconds{host="${HOST}"} 1700000000
xmpp_s2s_ping_seconds{remote="${FAR}"} 0.1
`

/** Starts a web server that returns these metrics, because the checks need DNS. Returns its URL. */
async function serveOutside(t: TestContext): Promise<string> {
  const server = createServer((_, response) => {
    response.setHeader('Content-Type', 'text/plain; version=0.0.4').end(OUTSIDE)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/metrics`
}

/** Starts Prometheus with three exporters: for the first Prosody, for both, and for the first with a low series limit. */
async function startPrometheus(t: TestContext, near: TestProsody, far: TestProsody) {
  const { path, remove } = await temporaryDirectory('prosody-exporter-dashboard')
  t.after(remove)
  writeFileSync(join(path, 'secret'), SECRET, { mode: 0o600 })
  const server = (name: string, { service }: TestProsody, domain: string) =>
    `  - {name: ${name}, domain: ${domain}, service: "${service}", secret_file: secret}\n`
  writeFileSync(
    join(path, 'several.yml'),
    `servers:\n${server('one', near, `more.${HOST}`)}${server('two', far, `stats.${FAR}`)}`,
  )
  const [single, limited, several] = await Promise.all([
    withExporterFor(t, near, {
      stock: true,
      env: {
        PROSODY_EXPORTER_ALERTS_TO: `user@${HOST}`,
        PROSODY_EXPORTER_ALERTS_TOKEN_FILE: join(path, 'secret'),
      },
    }),
    withExporterFor(t, near, {
      domain: `limited.${HOST}`,
      env: { PROSODY_EXPORTER_LIMITS_SERIES: '20' },
    }),
    withExporter(t, { flags: [`--config.file=${join(path, 'several.yml')}`] }),
  ])
  await untilReady(single, 200)
  const prometheus = await withPrometheus(t, {
    major: '3',
    jobs: [
      { name: 'prosody', target: `${single.url}/metrics` },
      { name: 'limited', target: `${limited.url}/metrics` },
      { name: 'several', target: `${several.url}/sd`, discovery: true },
      { name: 'prosody-exporter', target: `${several.url}/metrics` },
      { name: 'outside', target: await serveOutside(t) },
    ],
  })
  await Promise.all(['prosody', 'several', 'outside'].map((job) => prometheus.scrapes(job, 2)))
  return { prometheus, instance: new URL(single.url).host, limited: new URL(limited.url).host }
}

/** Returns the values that Grafana offers for a variable of the dashboard. */
async function valuesOf(prometheus: RunningPrometheus, { query }: Variable, server: string) {
  const text = typeof query === 'string' ? query : query.query
  const found = /^label_values\((.+), (\w+)\)$/.exec(text)
  assert.ok(found, `the test does not support this query of a variable: ${text}`)
  const [, selector = '', label = ''] = found
  const results = await prometheus.query(`count by (${label}) (${withVariables(selector, server)})`)
  return results.map(({ labels }) => labels[label]).sort()
}

describe('the queries of the Grafana dashboard', { concurrency: 2 }, () => {
  for (const version of prosodyVersions) {
    test(`each query of the Grafana dashboard has data if Prosody ${version} has the metric`, async (t) => {
      const { near, far } = await startServers(t, version)
      // The traffic comes before and after the start of Prometheus. Some series exist only after an event, and a rate
      // needs two samples with an event between them.
      await makeTraffic(t, near, far)
      const { prometheus, instance, limited } = await startPrometheus(t, near, far)
      await makeTraffic(t, near, far)

      const without = Object.keys(WITHOUT[version])
      const isKnown = (expr: string) => without.find((part) => expr.includes(part))
      for (const server of [ALL, instance, 'one']) {
        for (const { title, expr } of queries) {
          const query = withVariables(expr, server)
          if (isKnown(expr) !== undefined || (server !== ALL && expr.includes(LIMITED))) {
            assert.deepEqual(
              await prometheus.query(query),
              [],
              `the panel "${title}" has data, although WITHOUT says that it has none`,
            )
            continue
          }
          const found = await until(
            async () => {
              const results = await prometheus.query(query)
              return results.some(({ value }) => Number.isFinite(value)) && results
            },
            { what: `the query of the panel "${title}" has data: ${query}` },
          )
          assert.ok(
            found.every(({ value }) => !(value < 0)),
            `${title}: ${query}`,
          )
        }
      }
      for (const part of without) {
        assert.ok(
          queries.some(({ expr }) => expr.includes(part)),
          `${part} is in no query`,
        )
      }
      for (const { expr } of dashboard.annotations.list) {
        // The annotations of the dashboard show restarts, and nothing has restarted. So this request only checks that the
        // query is valid.
        if (expr !== undefined) await prometheus.query(withVariables(expr, ALL))
      }

      const variables = new Map(dashboard.templating.list.map((each) => [each.name, each]))
      const servers = await valuesOf(prometheus, variables.get('server')!, ALL)
      assert.deepEqual(servers, [instance, limited, 'one', 'two'].sort())
      const hosts = await valuesOf(prometheus, variables.get('host')!, 'one')
      for (const host of [HOST, near.rooms])
        assert.ok(hosts.includes(host), `the hosts ${hosts.join()} do not include ${host}`)
      assert.ok(!hosts.includes(FAR))
    })
  }
})

// Tests the alert rules in deploy/prometheus: promtool accepts them, and each alert has a description and tests.

import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse, stringify } from 'yaml'
import { PROBLEMS, type ProblemCode } from '../../src/outside/problem-severity.js'
import { findPrometheus, prometheusVersions } from '../support/setup/programs.js'
import { root, run, temporaryDirectory } from '../support/setup/process.js'

const FOLDER = join(root, 'deploy/prometheus')

type Rule = {
  readonly alert?: string
  readonly for?: string
  readonly labels?: { readonly severity?: string }
  readonly annotations?: Partial<Annotations>
}
type Annotations = Readonly<Record<'summary' | 'description' | 'runbook_url', string>>
type Rules = { readonly groups: readonly { readonly rules: readonly Rule[] }[] }
type Tests = {
  readonly tests: readonly {
    readonly name: string
    readonly alert_rule_test: readonly {
      readonly alertname: string
      readonly exp_alerts: readonly {
        readonly exp_labels: Readonly<Record<string, string>>
        readonly exp_annotations: Annotations
      }[]
    }[]
  }[]
}

const read = (file: string): unknown => parse(readFileSync(join(FOLDER, file), 'utf8'))
const alerts = (read('rules.yml') as Rules).groups
  .flatMap(({ rules }) => rules)
  .filter(({ alert }) => alert !== undefined)
/** promtool compares the texts in these tests with those that Prometheus renders. */
const TEST_FILES = ['rules.test.yml', 'rules.long.test.yml', 'rules.outside.test.yml']
const tests = TEST_FILES.flatMap((file) => (read(file) as Tests).tests)
const cases = tests.flatMap((each) => each.alert_rule_test)

for (const major of prometheusVersions) {
  test(`promtool ${major} accepts the alert rules, and their tests pass`, async () => {
    const { promtool } = await findPrometheus(major)
    for (const args of [
      ['check', 'rules', '--lint-fatal', join(FOLDER, 'rules.yml')],
      ['test', 'rules', ...TEST_FILES.map((file) => join(FOLDER, file))],
    ]) {
      const { code, output } = await run(promtool, args)
      assert.equal(code, 0, output)
    }
  })
}

/** The severity of some alerts is that of the problem in the label `severity` of the metric. */
const SEVERITY =
  /^(warning|critical|\{\{ if eq \$labels\.severity "error" \}\}critical\{\{ else \}\}warning\{\{ end \}\})$/

test('each alert has a severity, a waiting time, and a description with advice', () => {
  assert.ok(alerts.length > 8)
  for (const { alert, labels, annotations, for: wait } of alerts) {
    assert.match(labels?.severity ?? '', SEVERITY, alert)
    assert.match(wait ?? '', /^\d+[mh]$/, alert)
    assert.ok(
      annotations?.summary?.includes('{{ '),
      `the summary of ${alert} names a server or host`,
    )
    assert.ok((annotations?.description?.length ?? 0) > 60, alert)
  }
})

test('for each alert, one promtool test expects that it fires and another that it does not', () => {
  for (const { alert } of alerts) {
    const casesOfAlert = cases.filter(({ alertname }) => alertname === alert)
    assert.ok(
      casesOfAlert.some((each) => each.exp_alerts.length > 0),
      `a test expects that ${alert} fires`,
    )
    assert.ok(
      casesOfAlert.some((each) => each.exp_alerts.length === 0),
      `a test expects that ${alert} does not fire`,
    )
  }
})

test('one test of each alert renders its texts for two servers, which the summaries name', () => {
  for (const { alert } of alerts) {
    const isComplete = cases.some(({ alertname, exp_alerts: found }) => {
      const servers = found.map(({ exp_labels: labels }) => labels.server ?? labels.instance)
      const isNamed = found.every(({ exp_annotations: { summary } }, i) =>
        summary.includes(`(${servers[i]}`),
      )
      return alertname === alert && new Set(servers).size > 1 && isNamed
    })
    assert.ok(isComplete, alert)
  }
})

test('a test renders the texts of each alert with a number at its threshold and at ten times it', () => {
  for (const { alert, annotations } of alerts) {
    if (!annotations?.summary?.includes('$value |')) continue
    const name = new RegExp(`^${alert}: at its threshold(,| and) `)
    assert.ok(
      tests.some((each) => name.test(each.name)),
      alert,
    )
  }
})

test('the rendered texts have no artefacts of templates, numbers and units', () => {
  const texts = cases.flatMap(({ exp_alerts: found }) =>
    found.flatMap(({ exp_annotations: { summary, description } }) => [summary, description]),
  )
  assert.ok(texts.length > 80)
  // Examples are 300m for 0.3, 1.5k for 1500, 1 times, 0 days, and a label that does not exist.
  const artefacts =
    /\b\d+(\.\d+)?(m|k|M|ms|µs)\b|\d[eE]\+|\b1 (times|days|seconds|logins|connections|accounts)\b|\b0 days|NaN|Inf|no value|\(\)|\(,|<|\{\{|  | [.,]|^[a-z]/
  for (const text of texts) assert.doesNotMatch(text, artefacts)
  for (const { exp_alerts: found } of cases) {
    for (const { exp_annotations: annotations } of found) {
      assert.match(annotations.summary, /^[\dA-Z].*\.$/)
      assert.ok(annotations.summary.length <= 130, annotations.summary)
    }
  }
})

test('the link of each alert leads to its section of the operations page, in the order of the rules', () => {
  const page = readFileSync(join(root, 'docs/operations.md'), 'utf8')
  const [, part = ''] = /\n## Alerts\n([^]*?)\n## /.exec(page) ?? []
  const headings = Array.from(part.matchAll(/^### (.+)$/gm), ([, heading]) => heading)
  assert.deepEqual(
    headings,
    alerts.map(({ alert }) => alert),
  )
  for (const { alert, annotations } of alerts) {
    const anchor = annotations?.runbook_url?.replace(/^https:\/\/.+\/docs\/operations\.md#/, '')
    assert.equal(anchor, alert!.toLowerCase())
  }
})

/** The alerts for problems other than the usual ones of endpoints. `undefined`: the problems of endpoints cause an alert. */
const ALERT_BY_PROBLEM: Partial<Record<ProblemCode, string | undefined>> = {
  ...{ ipv4_broken: undefined, ipv6_broken: undefined },
  certificate_chain_incomplete: 'XmppCertificateChainIncomplete',
  certificate_stale: 'XmppStaleCertificateServed',
  ...Object.fromEntries(
    [
      ...['domain_not_found', 'srv_missing', 'service_not_offered', 'srv_dot_mixed'],
      ...['srv_target_invalid', 'srv_target_not_found', 'srv_target_loop', 'srv_port_invalid'],
    ].map((problem) => [problem, 'XmppSrvMissing']),
  ),
  ...Object.fromEntries(
    ['dns_failed', 'dns_timeout', 'private_address'].map((name) => [name, 'XmppDomainProblem']),
  ),
}

/** Returns the alert for a problem over IPv4. */
function findAlert(problem: ProblemCode): string | undefined {
  if (problem in ALERT_BY_PROBLEM) return ALERT_BY_PROBLEM[problem]
  return PROBLEMS[problem] === 'warning' ? 'XmppDomainProblem' : 'XmppEndpointDown'
}

test('each problem that a check from outside finds causes one alert, which names it', async (t) => {
  const { path, remove } = await temporaryDirectory('prosody-exporter-rules')
  t.after(remove)
  const codes = Object.keys(PROBLEMS) as ProblemCode[]
  /** Each problem has a host of its own for each address family. Over IPv6, the target works over IPv4. */
  const endpointOf = (code: ProblemCode, family: string) =>
    `host="${family}.${code}",service="xmpp-client",target="a:1",family="${family}"`
  const series = codes.flatMap((code) => {
    const labels = `problem="${code}",severity="${PROBLEMS[code]}"`
    return [
      ...['ipv4', 'ipv6'].map((family) => `problem{${endpointOf(code, family)},${labels}}`),
      `up{${endpointOf(code, 'ipv6').replace(/"ipv6"$/, '"ipv4"')}}`,
    ].map((name) => ({ series: `xmpp_endpoint_${name}`, values: '1x20' }))
  })
  const stale = ['ipv4', 'ipv6'].map((family) => ({
    series: `xmpp_endpoint_certificate_matches_loaded{${endpointOf('certificate_stale', family)}}`,
    values: '0x20',
  }))
  const samples = codes.flatMap((problem) =>
    ['ipv4', 'ipv6'].flatMap((family) => {
      const alert = findAlert(problem)
      if (alert === undefined) return []
      const name = family === 'ipv6' && alert === 'XmppEndpointDown' ? 'XmppIpv6Broken' : alert
      const labels = `alertname="${name}", host="${family}.${problem}", problem="${problem}"`
      return [{ labels: `{${labels}}`, value: 1 }]
    }),
  )
  const file = join(path, 'problems.test.yml')
  const expr = 'count by (alertname, host, problem) (ALERTS{alertstate="firing"})'
  writeFileSync(
    file,
    stringify({
      rule_files: [join(FOLDER, 'rules.yml')],
      evaluation_interval: '1m',
      tests: [
        {
          interval: '1m',
          input_series: [...series, ...stale],
          promql_expr_test: [{ expr, eval_time: '15m', exp_samples: samples }],
        },
      ],
    }),
  )
  const { promtool } = await findPrometheus('3')
  const { code, output } = await run(promtool, ['test', 'rules', file])
  assert.equal(code, 0, output)
})

// Checks domains from outside, each with one fault, and compares what the metrics, the report and the alerts say.
//
// The servers are real ones in network namespaces: NSD, Unbound, Prosody 0.12.3 and 13.0.1, and ejabberd. Small servers
// replace those that no configuration makes fail reliably.

import assert from 'node:assert/strict'
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { isError, PROBLEMS, type ProblemCode } from '../../src/outside/problem-severity.js'
import { readSamples } from '../support/expositions.js'
import {
  findAlert,
  formatExpected,
  formatLabels,
  type Fault,
} from '../support/outside-lab/fault.js'
import { FAULTS } from '../support/outside-lab/faults.js'
import { MONITORED_DOMAIN, STATISTICS } from '../support/outside-lab/faults-stale.js'
import { HEALTHY } from '../support/outside-lab/healthy.js'
import { evaluateAlerts } from '../support/outside-lab/lab-alerts.js'
import {
  forEachConcurrently,
  runOutside,
  startLabExporter,
  type OutsideJson,
} from '../support/outside-lab/lab-exporter.js'
import { LAB_DOMAIN } from '../support/outside-lab/lab-site.js'
import { withLab, type Lab } from '../support/outside-lab/lab.js'
import type { Alert } from '../support/prometheus.js'

const CASES: readonly Fault[] = [...HEALTHY, ...FAULTS]
const KINDS = ['recursive', 'authoritative', 'slow', 'silent'] as const

const domainOf = ({ name }: Fault): string => `${name}.${LAB_DOMAIN}`
const serverOf = ({ nameServer = 'recursive' }: Fault) => nameServer

test('the faults cover everything that a check can find', () => {
  const names = CASES.map(({ name }) => name)
  assert.equal(new Set(names).size, names.length, 'each fault has a domain of its own')
  const expected = new Set(FAULTS.flatMap(({ problems }) => problems.map(({ code }) => code)))
  // A check is incomplete after ten minutes; test/unit/outside/outside.test.ts has it.
  expected.add('check_incomplete')
  assert.deepEqual([...expected].sort(), Object.keys(PROBLEMS).sort())
})

test('each fault has its own name in the metrics, the report and the alerts', async (t) => {
  const lab = await withLab(t, ({ site }) => {
    for (const fault of CASES) fault.arrange(site(fault.name))
  })
  const [expositions, reports] = await Promise.all([scrapeAll(lab), reportAll(lab)])
  const alerts = await evaluateAlerts(t, expositions.metrics)
  for (const fault of CASES) {
    await t.test(`${fault.title} (${fault.name})`, (each) => {
      compare(each, fault, { expositions, reports, alerts })
    })
  }
})

type Expositions = {
  /** The metrics of each exporter. */
  readonly metrics: ReadonlyMap<string, string>
  /** The metrics of each domain. */
  readonly probes: ReadonlyMap<string, string>
}

type Report = {
  readonly exitCode: number | NodeJS.Signals
  readonly json: OutsideJson
  /** The report for people. It is not there if an earlier fault has the same problems. */
  readonly text?: string
}

type Found = {
  readonly expositions: Expositions
  readonly reports: ReadonlyMap<string, Report>
  readonly alerts: readonly Alert[]
}

/** Starts an exporter for each of the DNS servers, and lets it check its domains. */
async function scrapeAll(lab: Lab): Promise<Expositions> {
  const metrics = new Map<string, string>()
  const probes = new Map<string, string>()
  const secretFile = join(lab.dir, 'secret')
  await writeFile(secretFile, STATISTICS.secret)
  await chmod(secretFile, 0o600)
  const service = `xmpp://${lab.addressOf(MONITORED_DOMAIN).ipv4}:${STATISTICS.port}`
  const server = { name: 'main', service, domain: STATISTICS.domain, secret_file: secretFile }
  await Promise.all(
    KINDS.map(async (kind, index) => {
      const domains = CASES.filter((fault) => serverOf(fault) === kind).map(domainOf)
      const exporter = await startLabExporter(lab, kind, domains, {
        port: 9347 + index,
        config: kind === 'recursive' ? { servers: [server] } : {},
      })
      if (kind === 'recursive')
        await exporter.untilMetric(/^xmpp_certificate_info\{host="certificate-stale\./m)
      const scraped = await exporter.scrape()
      metrics.set(kind, scraped.metrics)
      for (const [domain, text] of scraped.probes) probes.set(domain, text)
    }),
  )
  return { metrics, probes }
}

/** Runs the command for each domain. The report for people is requested once for each combination of problems. */
async function reportAll(lab: Lab): Promise<ReadonlyMap<string, Report>> {
  const reports = new Map<string, Report>()
  const seen = new Set<string>()
  await forEachConcurrently(CASES, 4, async (fault) => {
    const domain = domainOf(fault)
    const codes = fault.problems.map(({ code, service }) => `${code} ${service ?? ''}`).join()
    const isNew = !seen.has(codes)
    seen.add(codes)
    const run = (...flags: readonly string[]) => runOutside(lab, serverOf(fault), domain, flags)
    const [{ exitCode, output }, text] = await Promise.all([
      run('--json'),
      isNew ? run() : undefined,
    ])
    if (text) assert.equal(text.exitCode, exitCode)
    const json = JSON.parse(output) as OutsideJson
    reports.set(domain, { exitCode, json, ...(text && { text: text.output }) })
  })
  return reports
}

function compare(t: TestContext, fault: Fault, { expositions, reports, alerts }: Found): void {
  const domain = domainOf(fault)
  const expected = fault.problems.map((each) => formatExpected(domain, each)).sort()
  const hasError = fault.problems.some(({ code }) => isError(code))

  // On a busy machine, any answer of DNS can be slow.
  const isSlow = (text: string) => text.includes('dns_slow ')
  const skipNoise = (texts: readonly string[]) =>
    expected.some(isSlow) ? texts : texts.filter((text) => !isSlow(text))

  const metrics = expositions.metrics.get(serverOf(fault)) ?? ''
  const probe = expositions.probes.get(domain) ?? ''
  assert.deepEqual(skipNoise(readProblems(probe, domain)), expected, 'the metrics of /probe')
  assert.deepEqual(skipNoise(readProblems(metrics, domain)), expected, 'the metrics of /metrics')

  const report = reports.get(domain)
  assert.ok(report)
  // Only the exporter knows which certificates Prosody has loaded.
  const isKnown = (text: string) => !text.startsWith('certificate_stale ')
  if (expected.every(isKnown)) {
    const listed = report.json.problems.map(({ code, labels }) => formatLabels(code, labels)).sort()
    assert.deepEqual(skipNoise(listed), expected, 'the report as JSON')
    assert.equal(report.exitCode, hasError ? 1 : 0, 'the exit code')
    if (report.text !== undefined) compareText(report.text, report.json)
  }

  const expectedAlerts = fault.problems.flatMap((each) => {
    const alert = findAlert(each, fault.problems)
    return alert === undefined ? [] : [`${alert} ${formatExpected(domain, each)}`]
  })
  assert.deepEqual(skipNoise(listAlerts(alerts, domain)), expectedAlerts.sort(), 'the alerts')
  t.diagnostic(expected.map((text) => text.split(' ')[0]).join(', ') || 'no problem')
}

/** Compares the report for people with the one of another check, except for details such as durations. */
function compareText(text: string, { problems }: OutsideJson): void {
  for (const { cause, remedy } of problems) {
    const [start = ''] = cause.split(/ \(|\.$/)
    assert.ok(text.includes(start), `the report has the cause "${start}"`)
    assert.ok(text.includes(remedy), `the report has the remedy "${remedy}"`)
  }
  const verdict = /^(All good|Working|Partly working|Not working)\b/.exec(text)?.[0]
  const hasError = problems.some(({ severity }) => severity === 'error')
  assert.match(verdict ?? '', hasError ? /^(Partly|Not) working$/ : /^(All good|Working)$/)
}

/** Returns the labels of the problems of a domain in an exposition, and checks their severity. */
function readProblems(exposition: string, domain: string): string[] {
  const ofDomain = readSamples(exposition).filter(
    ({ name, labels }) => name === 'xmpp_endpoint_problem' && labels.host === domain,
  )
  return ofDomain
    .map(({ labels, value }) => {
      const code = labels.problem as ProblemCode
      assert.equal(value, 1)
      assert.equal(labels.severity, PROBLEMS[code])
      return formatLabels(code, labels)
    })
    .sort()
}

function listAlerts(alerts: readonly Alert[], domain: string): string[] {
  return alerts
    .filter(({ labels }) => labels.host === domain && labels.alertname?.startsWith('Xmpp'))
    .map(({ labels, state }) => {
      assert.equal(state, 'firing')
      return `${labels.alertname ?? ''} ${formatLabels(labels.problem ?? '', labels)}`
    })
    .sort()
}

// The rules for Prometheus: what promtool says of them, and that nothing is missing.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { findPrometheus, prometheusVersions } from '../support/setup/programs.js'
import { root, run } from '../support/setup/process.js'

const FOLDER = join(root, 'deploy/prometheus')

type Rule = {
  readonly alert?: string
  readonly for?: string
  readonly labels?: { readonly severity?: string }
  readonly annotations?: { readonly summary?: string; readonly description?: string }
}
type Rules = { readonly groups: readonly { readonly rules: readonly Rule[] }[] }
type Tests = {
  readonly tests: readonly {
    readonly alert_rule_test: readonly {
      readonly alertname: string
      readonly exp_alerts: readonly unknown[]
    }[]
  }[]
}

const read = (file: string): unknown => parse(readFileSync(join(FOLDER, file), 'utf8'))
const alerts = (read('rules.yml') as Rules).groups
  .flatMap(({ rules }) => rules)
  .filter(({ alert }) => alert !== undefined)

for (const major of prometheusVersions) {
  test(`promtool ${major} accepts the rules, and each alert does what its tests expect`, async () => {
    const { promtool } = await findPrometheus(major)
    for (const what of [
      ['check', 'rules', '--lint-fatal', join(FOLDER, 'rules.yml')],
      ['test', 'rules', join(FOLDER, 'rules.test.yml')],
    ]) {
      const { code, output } = await run(promtool, what)
      assert.equal(code, 0, output)
    }
  })
}

test('each alert says how grave it is, waits, and tells what to do', () => {
  assert.ok(alerts.length > 8)
  for (const { alert, labels, annotations, for: wait } of alerts) {
    assert.match(labels?.severity ?? '', /^(warning|critical)$/, alert)
    assert.match(wait ?? '', /^\d+[mh]$/, alert)
    assert.ok(annotations?.summary?.includes('{{ '), `${alert}: of which server or host`)
    assert.ok((annotations?.description?.length ?? 0) > 60, alert)
  }
})

test('of each alert a test expects that it fires, and a test that it does not', () => {
  const cases = (read('rules.test.yml') as Tests).tests.flatMap((each) => each.alert_rule_test)
  for (const { alert } of alerts) {
    const of = cases.filter(({ alertname }) => alertname === alert)
    assert.ok(
      of.some((each) => each.exp_alerts.length > 0),
      `${alert} fires`,
    )
    assert.ok(
      of.some((each) => each.exp_alerts.length === 0),
      `${alert} does not fire`,
    )
  }
})

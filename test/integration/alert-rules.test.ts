// Tests the alert rules in deploy/prometheus: promtool accepts them, and each alert has a description and tests.

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
  test(`promtool ${major} accepts the alert rules, and their tests pass`, async () => {
    const { promtool } = await findPrometheus(major)
    for (const args of [
      ['check', 'rules', '--lint-fatal', join(FOLDER, 'rules.yml')],
      ['test', 'rules', join(FOLDER, 'rules.test.yml')],
    ]) {
      const { code, output } = await run(promtool, args)
      assert.equal(code, 0, output)
    }
  })
}

test('each alert has a severity, a waiting time, and a description with advice', () => {
  assert.ok(alerts.length > 8)
  for (const { alert, labels, annotations, for: wait } of alerts) {
    assert.match(labels?.severity ?? '', /^(warning|critical)$/, alert)
    assert.match(wait ?? '', /^\d+[mh]$/, alert)
    assert.ok(
      annotations?.summary?.includes('{{ '),
      `the summary of ${alert} names a server or host`,
    )
    assert.ok((annotations?.description?.length ?? 0) > 60, alert)
  }
})

test('for each alert, one promtool test expects that it fires and another that it does not', () => {
  const cases = (read('rules.test.yml') as Tests).tests.flatMap((each) => each.alert_rule_test)
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

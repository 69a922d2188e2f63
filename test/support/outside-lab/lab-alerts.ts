/** Evaluates the alert rules of deploy/prometheus with a real Prometheus that scrapes recorded expositions. */

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { once } from 'node:events'
import { shortenRules } from '../alert-rules.js'
import { withPrometheus, type Alert } from '../prometheus.js'
import { until } from '../setup/process.js'

/** By this factor, the waiting time of 10 minutes becomes a second. */
const FACTOR = 600

/** Returns the alerts that fire when Prometheus scrapes the expositions. The keys are the names of the jobs. */
export async function evaluateAlerts(
  t: TestContext,
  expositions: ReadonlyMap<string, string>,
): Promise<Alert[]> {
  const server = createServer((request, response) => {
    response.setHeader('Content-Type', 'text/plain; version=0.0.4')
    response.end(expositions.get((request.url ?? '').slice(1)))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  const names = [...expositions.keys()]
  const prometheus = await withPrometheus(t, {
    major: '3',
    jobs: names.map((name) => ({ name, target: `http://127.0.0.1:${port}/${name}` })),
    rules: shortenRules(FACTOR),
  })
  for (const name of names) await prometheus.scrapes(name, 1)
  const scrapedAt = Date.now()
  await until(async () => (await lastEvaluation(prometheus.url)) > scrapedAt, {
    what: 'Prometheus evaluates all alert rules after the scrapes',
  })
  const isPending = ({ state }: Alert) => state === 'pending'
  await until(async () => !(await prometheus.alerts()).some(isPending), {
    what: 'all alerts fire',
  })
  return await prometheus.alerts()
}

/** Returns when the group of rules that was evaluated first was last evaluated, in milliseconds. */
async function lastEvaluation(url: string): Promise<number> {
  const response = await fetch(`${url}/api/v1/rules?type=alert`)
  type Rules = { data: { groups: { lastEvaluation: string }[] } }
  const { groups } = ((await response.json()) as Rules).data
  return Math.min(...groups.map((group) => Date.parse(group.lastEvaluation)))
}

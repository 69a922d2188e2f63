/** Starts a real Alertmanager on loopback, whose only receiver is the exporter. */

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { sampleValue } from './real.js'
import { freePort, launch, temporaryDirectory, until } from './setup/process.js'
import { findAlertmanager } from './setup/programs.js'

/** An alert as Prometheus sends it to Alertmanager. */
export type PostableAlert = {
  readonly labels: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly startsAt?: string
  /** The alert is resolved if this time is in the past. */
  readonly endsAt?: string
  readonly generatorURL?: string
}

export type Silence = {
  readonly id: string
  readonly createdBy: string
  readonly comment: string
  readonly startsAt: string
  readonly endsAt: string
  readonly status: { readonly state: 'active' | 'pending' | 'expired' }
  readonly matchers: readonly {
    readonly name: string
    readonly value: string
    readonly isRegex: boolean
    readonly isEqual: boolean
  }[]
}

export type RunningAlertmanager = {
  readonly url: string
  /** The `host:port` on which Alertmanager listens. */
  readonly address: string
  /** Sends alerts, as Prometheus does. */
  post(alerts: readonly PostableAlert[]): Promise<void>
  silences(): Promise<readonly Silence[]>
  /** Returns the state of each alert, for example `active` or `suppressed`. */
  states(): Promise<readonly string[]>
  /** Returns how often this process has begun to process the group of an alert. It does so once a second. */
  countFlushes(name: string): number
  /** Returns the number of notifications that this process could not send, and will repeat. */
  countFailed(): Promise<number>
  log(): string
  kill(signal: NodeJS.Signals): void
  /** Ends the process with the signal, and starts it again. It keeps its directory and its port. */
  restart(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>
  stop(): Promise<void>
}

export type AlertmanagerOptions = {
  /** The URL of the exporter's webhook. */
  readonly webhook: string
  readonly token: string
  /** The labels by which Alertmanager groups alerts. Default: the name of the alert. */
  readonly groupBy?: readonly string[]
}

/** Starts an Alertmanager without clustering, which stops after the test. */
export async function withAlertmanager(
  t: Pick<TestContext, 'after'>,
  options: AlertmanagerOptions,
): Promise<RunningAlertmanager> {
  const commandWith = await findAlertmanager()
  const directory = await temporaryDirectory('prosody-exporter-alertmanager')
  t.after(() => directory.remove())
  const file = join(directory.path, 'alertmanager.yml')
  await writeFile(file, formatConfig(options))
  const address = `127.0.0.1:${await freePort()}`
  const url = `http://${address}`
  const start = async () => {
    const [command = '', ...args] = commandWith([
      `--config.file=${file}`,
      `--storage.path=${join(directory.path, 'data')}`,
      `--web.listen-address=${address}`,
      '--cluster.listen-address=',
      '--log.level=debug',
    ])
    const started = launch(command, args)
    await until(
      async () => {
        if (!started.running()) throw new Error(`Alertmanager ended: ${started.output()}`)
        return (await fetch(`${url}/-/ready`).catch(() => undefined))?.ok
      },
      { what: 'Alertmanager is ready' },
    )
    return started
  }
  let child = await start()
  t.after(() => child.stop())
  return {
    url,
    address,
    ...createApiClient(url),
    countFlushes: (name) =>
      child
        .output()
        .split('\n')
        .filter((line) => line.includes('msg=flushing') && new RegExp(`\\b${name}\\b`).test(line))
        .length,
    log: () => child.output(),
    kill: (signal) => {
      child.kill(signal)
    },
    async restart(signal) {
      child.kill(signal)
      child.kill('SIGCONT')
      await child.exited
      child = await start()
    },
    stop: () => child.stop(),
  }
}

/** JSON is YAML. Alertmanager sends the notifications of a group without delay, and at most once a second. */
function formatConfig({ webhook, token, groupBy = ['alertname'] }: AlertmanagerOptions): string {
  return JSON.stringify({
    route: {
      receiver: 'prosody-exporter',
      group_by: groupBy,
      group_wait: '0s',
      group_interval: '1s',
      repeat_interval: '4h',
    },
    receivers: [
      {
        name: 'prosody-exporter',
        webhook_configs: [
          {
            url: webhook,
            send_resolved: true,
            http_config: { authorization: { type: 'Bearer', credentials: token } },
          },
        ],
      },
    ],
  })
}

/** @see https://github.com/prometheus/alertmanager/blob/v0.25.0/api/v2/openapi.yaml */
function createApiClient(
  url: string,
): Pick<RunningAlertmanager, 'post' | 'silences' | 'states' | 'countFailed'> {
  return {
    async post(alerts) {
      const response = await fetch(`${url}/api/v2/alerts`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(alerts),
        signal: AbortSignal.timeout(5000),
      })
      if (!response.ok) throw new Error(`Alertmanager rejected alerts: ${await response.text()}`)
    },
    async countFailed() {
      const text = await (await fetch(`${url}/metrics`)).text()
      const name = 'alertmanager_notifications_failed_total{integration="webhook"}'
      return sampleValue(text, name) ?? 0
    },
    async states() {
      const response = await fetch(`${url}/api/v2/alerts`)
      const alerts = (await response.json()) as { status: { state: string } }[]
      return alerts.map(({ status }) => status.state)
    },
    async silences() {
      const response = await fetch(`${url}/api/v2/silences`)
      return (await response.json()) as Silence[]
    },
  }
}

/** The configuration of an exporter that sends alerts, and notifications as Alertmanager posts them. */

import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { request, type Agent, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { temporaryDirectory } from './setup/process.js'

export const ALERTS_TOKEN = 'token-of-the-alerts'

export type MessagingSettings = {
  readonly alerts?: {
    readonly to?: readonly string[]
    readonly rooms?: readonly string[]
    readonly nick?: string
    readonly correct_resolved?: boolean
  }
  readonly chat?: { readonly allow: readonly string[] }
  readonly alertmanager?: { readonly url: string }
}

/** Writes a configuration file with the settings of alerts and chat. Returns the flag with which the exporter reads it. */
export async function writeMessagingConfig(
  t: Pick<TestContext, 'after'>,
  settings: MessagingSettings,
): Promise<string> {
  const { path, remove } = await temporaryDirectory('prosody-exporter-alerts')
  t.after(remove)
  const tokenFile = join(path, 'alerts-token')
  await writeFile(tokenFile, `${ALERTS_TOKEN}\n`, { mode: 0o600 })
  const file = join(path, 'exporter.yml')
  const { alerts } = settings
  // JSON is YAML.
  const content = { ...settings, alerts: alerts && { ...alerts, token_file: tokenFile } }
  await writeFile(file, JSON.stringify(content))
  return `--config.file=${file}`
}

export type TestAlert = {
  readonly name: string
  readonly summary: string
  readonly status?: 'firing' | 'resolved'
  readonly labels?: Readonly<Record<string, string>>
}

/**
 * Returns a notification as Alertmanager posts it. The same alerts have the same fingerprints and times, so the result
 * for the same arguments is the same.
 *
 * @see https://prometheus.io/docs/alerting/0.25/configuration/#webhook_config
 */
export function createNotification(alerts: readonly TestAlert[]) {
  const name = alerts[0]?.name ?? ''
  const isFiring = alerts.some(({ status }) => status !== 'resolved')
  return {
    version: '4',
    groupKey: `{}:{alertname=${JSON.stringify(name)}}`,
    truncatedAlerts: 0,
    status: isFiring ? 'firing' : 'resolved',
    receiver: 'prosody-exporter',
    groupLabels: { alertname: name },
    commonLabels: { alertname: name },
    commonAnnotations: {},
    externalURL: 'http://alertmanager.invalid',
    alerts: alerts.map((alert) => {
      const labels = { alertname: alert.name, severity: 'warning', ...alert.labels }
      return {
        status: alert.status ?? 'firing',
        labels,
        annotations: { summary: alert.summary },
        startsAt: '2026-11-27T10:00:00.000Z',
        endsAt: alert.status === 'resolved' ? '2026-11-27T10:05:00.000Z' : '0001-01-01T00:00:00Z',
        generatorURL: 'http://prometheus.invalid/graph',
        fingerprint: createHash('sha256').update(JSON.stringify(labels)).digest('hex').slice(0, 16),
      }
    }),
  }
}

export type PostOptions = {
  readonly token?: string
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  /** A connection pool. Default: each request has its own connection. */
  readonly agent?: Agent
  readonly timeoutMs?: number
  /** Whether the request does not state the length of its body. */
  readonly isChunked?: boolean
}

const ignoreError = () => undefined

/**
 * Posts a notification to the exporter at `url`. Resolves with the response.
 *
 * @throws If the connection ends without a response, or after `timeoutMs`.
 */
export function postNotification(
  url: string,
  body: string | Uint8Array,
  options: PostOptions = {},
): Promise<{ readonly status: number; readonly text: string }> {
  const { token = ALERTS_TOKEN, method = 'POST', timeoutMs = 60_000, isChunked = false } = options
  return new Promise((resolve, reject) => {
    const sent = request(`${url}/alerts`, {
      method,
      headers: {
        'Content-Type': 'application/json',
        ...(isChunked
          ? { 'Transfer-Encoding': 'chunked' }
          : { 'Content-Length': String(Buffer.byteLength(body)) }),
        ...(token !== '' && { Authorization: `Bearer ${token}` }),
        ...options.headers,
      },
      agent: options.agent ?? false,
      signal: AbortSignal.timeout(timeoutMs),
    })
    sent.on('error', reject)
    sent.on('socket', (socket) => {
      // The exporter can close the connection after its response, while it still receives a long body.
      if (!socket.listeners('error').includes(ignoreError)) socket.on('error', ignoreError)
    })
    sent.on('response', (response: IncomingMessage) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        if (!sent.writableFinished) sent.destroy()
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() })
      })
    })
    sent.end(body)
  })
}

/** Runs a scenario: sends the alert and its resolution, causes the outages, and checks what the recipients received. */

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RunningAlertmanager } from '../../support/alertmanager.js'
import { createNotification, postNotification } from '../../support/notifications.js'
import { until } from '../../support/setup/process.js'
import { judgeDeliveries } from './judge.js'
import type { Lane } from './lane.js'
import { markOf, RECIPIENTS } from './recipients.js'
import { STATUSES, type AlertScenario, type Outage, type Status } from './scenarios.js'

/** A reply that is to be held back can never leave, for example because of an earlier outage. */
const WRITTEN_LIMIT_MS = 2000
const FIRST_RETRY_MS = 200
const LAST_RETRY_MS = 2000
const ATTEMPTS_LIMIT_MS = 300_000

export type AlertOutcome = {
  /** The number of messages beyond the first of each notification and recipient. */
  readonly duplicates: number
}

/** @throws AssertionError if a recipient did not receive a notification, or received it too often. */
export async function runAlertScenario(scenario: AlertScenario, lane: Lane): Promise<AlertOutcome> {
  const startsAt = new Date(Date.now() - 60_000).toISOString()
  for (const status of STATUSES) await runPhase({ scenario, status, startsAt }, lane)
  const { recipients } = lane
  await collectMessages(lane)
  const count = recipients.count.bind(recipients)
  assert.deepEqual(judgeDeliveries(scenario, RECIPIENTS, count), [])
  const messages = STATUSES.flatMap((status) =>
    RECIPIENTS.map((recipient) => count(recipient, scenario, status)),
  )
  return { duplicates: messages.reduce((sum, each) => sum + each - 1, 0) }
}

/** Counts the messages of all recipients. After an outage, a recipient may first have to log in again. */
export async function collectMessages({ recipients }: Lane): Promise<void> {
  await until(async () => recipients.collect().then(() => true), {
    what: 'the messages of all recipients are counted',
  })
}

/** The alert of a scenario, while it fires or when it is resolved. */
type AlertState = {
  readonly scenario: AlertScenario
  readonly status: Status
  /** Prometheus sends the same time again and again. */
  readonly startsAt: string
  /** Whether all outages are over. */
  readonly isCalm: () => boolean
}

/** Sends one notification, with the outages around it. Resolves when the outages are over and it was delivered. */
async function runPhase(phase: Omit<AlertState, 'isCalm'>, lane: Lane): Promise<void> {
  const outages = new AbortController()
  const state = { ...phase, isCalm: () => outages.signal.aborted }
  let sending: Promise<void> | undefined
  const post = () => (sending ??= send(state, lane))
  for (const outage of state.scenario[state.status]) await runOutage(outage, lane, post)
  outages.abort()
  // A client that lost its connection logs in again, as its user would.
  await lane.recipients.connect()
  await post()
}

const send = (state: AlertState, lane: Lane) =>
  state.scenario.sender === 'test'
    ? postUntilAccepted(state, lane)
    : sendWithAlertmanager(state, lane)

/** Posts a notification as Alertmanager does: again and again, until the exporter responds with 2xx. */
async function postUntilAccepted({ scenario, status }: AlertState, lane: Lane) {
  const summary = `The test alert ${markOf(scenario, status)}.`
  const name = `Test${scenario.seed}`
  const body = JSON.stringify(createNotification([{ name, summary, status }]))
  const giveUpAt = performance.now() + ATTEMPTS_LIMIT_MS
  for (let waitMs = FIRST_RETRY_MS; ; waitMs = Math.min(waitMs * 1.5, LAST_RETRY_MS)) {
    const url = `http://127.0.0.1:${lane.http.port}`
    const timeoutMs = scenario.requestTimeoutMs
    const answer = await postNotification(url, body, { timeoutMs }).catch((error: unknown) => ({
      status: 500,
      text: String(error),
    }))
    if (answer.status < 300) return
    assert.ok(answer.status >= 500, `the exporter rejected ${body}: ${answer.text}`)
    assert.ok(performance.now() < giveUpAt, `the exporter never accepted ${body}: ${answer.text}`)
    await sleep(waitMs)
  }
}

/**
 * Sends an alert to Alertmanager again and again, as Prometheus does, until the client and the room have received it, and
 * Alertmanager knows that it was delivered. Alertmanager sends no resolution of an alert that it does not know to have
 * sent. The offline users log in later: Prosody can lose a message that arrives while a user logs out.
 */
async function sendWithAlertmanager(state: AlertState, lane: Lane) {
  const { scenario, status, startsAt, isCalm } = state
  const alertmanager = await lane.alertmanager()
  const { recipients } = lane
  const name = `Test${scenario.seed}`
  const alert = {
    labels: { alertname: name, severity: 'warning' },
    annotations: { summary: `The test alert ${markOf(scenario, status)}.` },
    startsAt,
    ...(status === 'resolved' && { endsAt: new Date().toISOString() }),
  }
  let isIdle: (() => Promise<boolean>) | undefined
  let problem: unknown
  await until(
    async () => {
      problem = undefined
      const note = (error: unknown) => (problem = error)
      await alertmanager.post([alert]).catch(note)
      if (!isCalm()) return false
      await recipients.collectOnline().catch(note)
      if (!recipients.isReceivedOnline(scenario, status)) return false
      isIdle ??= await watchGroup(alertmanager, name)
      return await isIdle()
    },
    { what: `Alertmanager delivers ${markOf(scenario, status)}`, everyMs: 300 },
  ).catch((error: unknown) => {
    const counts = RECIPIENTS.map((each) => `${each} ${recipients.count(each, scenario, status)}`)
    throw new Error(
      `messages: ${counts.join(', ')}; the last problem: ${String(problem)}; ` +
        `Alertmanager logged:\n${alertmanager.log().slice(-4000)}`,
      { cause: error },
    )
  })
}

/**
 * Returns whether Alertmanager has processed the group of an alert since the call of this function, and has nothing left
 * to send. It processes a group again only after it has sent the notification, or has given up for now.
 */
async function watchGroup(alertmanager: RunningAlertmanager, name: string) {
  let flushes = alertmanager.countFlushes(name)
  let failed = await alertmanager.countFailed()
  return async () => {
    if (alertmanager.countFlushes(name) < flushes + 2) return false
    const failedBefore = failed
    flushes = alertmanager.countFlushes(name)
    failed = await alertmanager.countFailed()
    return failed === failedBefore
  }
}

async function runOutage({ fault, when, forMs }: Outage, lane: Lane, post: () => unknown) {
  if (when === 'written' || when === 'answered') {
    const proxy = when === 'written' ? lane.xmpp : lane.http
    proxy.begin({ kind: 'stall' }, 'down')
    const written = proxy.waitForBytes('down', 1)
    void post()
    await Promise.race([written, sleep(WRITTEN_LIMIT_MS)])
  } else if (when !== 'before') {
    void post()
    await sleep(when.afterMs)
  }
  const end = await beginFault(fault, lane)
  if (when === 'before') void post()
  await sleep(forMs)
  await end()
  lane.xmpp.endFaults()
  lane.http.endFaults()
}

/** Begins a fault. Returns the function that ends it. */
async function beginFault(fault: Outage['fault'], lane: Lane): Promise<() => unknown> {
  switch (fault.where) {
    case 'xmpp':
    case 'http': {
      const proxy = lane[fault.where]
      if (fault.how === 'lose') {
        proxy.begin({ kind: 'drop' }, 'up')
        return () => {
          proxy.begin({ kind: 'reset' }, 'up')
        }
      }
      proxy.begin({ kind: fault.how }, 'up')
      // A connection that exists would not notice that new connections fail.
      if (fault.how === 'refuse' || fault.how === 'silent') proxy.begin({ kind: 'reset' }, 'up')
      return () => undefined
    }
    case 'exporter':
      return await beginExporterFault(fault.how, lane)
    case 'prosody':
      return await beginProsodyFault(fault.how, lane)
    case 'alertmanager':
      return await beginAlertmanagerFault(fault.how, lane)
  }
}

type ProgramFault = 'kill' | 'restart' | 'freeze'

async function beginExporterFault(how: ProgramFault, lane: Lane) {
  if (how === 'freeze') {
    lane.exporter().kill('SIGSTOP')
    return () => {
      lane.exporter().kill('SIGCONT')
    }
  }
  await lane.endExporter(how === 'kill' ? 'SIGKILL' : 'SIGTERM')
  return () => lane.startExporter()
}

async function beginProsodyFault(how: ProgramFault, { prosody }: Lane) {
  if (how === 'restart') {
    await prosody.restart()
    return () => undefined
  }
  prosody.kill(how === 'kill' ? 'SIGKILL' : 'SIGSTOP')
  return how === 'kill'
    ? () => prosody.restart()
    : () => {
        prosody.kill('SIGCONT')
      }
}

async function beginAlertmanagerFault(how: ProgramFault, lane: Lane) {
  const alertmanager = await lane.alertmanager()
  if (how !== 'freeze') {
    await alertmanager.restart(how === 'kill' ? 'SIGKILL' : 'SIGTERM')
    return () => undefined
  }
  alertmanager.kill('SIGSTOP')
  return () => {
    alertmanager.kill('SIGCONT')
  }
}

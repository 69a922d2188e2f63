import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import type { Collected } from '../collectors/collector.js'
import { createRegistryCollector } from '../collectors/registry.js'
import { labelsOf } from '../metrics/family.js'
import { explain } from '../xmpp/advice.js'
import { parseService } from '../xmpp/address.js'
import { createConnection, type Connection } from '../xmpp/connection.js'

const STEP_MS = 10_000
// Prosody collects for a reader every 100 ms at most, so a second reading after this is a new one.
const NEXT_COLLECTION_MS = 250
// Prometheus itself warns of targets whose clock is off by more.
const MAX_SKEW_S = 5

export type Server = { readonly service: string; readonly domain: string; readonly secret: string }

/** What one step found: whether it is well, in words, and where it is not what to change. */
export type Finding = {
  readonly step: string
  readonly result: 'ok' | 'note' | 'failed'
  readonly text: string
}

/**
 * Goes the whole way to a server's statistics, step by step, each of which needs the one before.
 *
 * @param report Called for each step as it ends.
 * @returns Whether all is well; a note is.
 */
export async function examine(
  server: Server,
  version: string,
  report: (finding: Finding) => void,
): Promise<boolean> {
  const say = (result: Finding['result']) => (step: string, text: string) => {
    report({ step, result, text })
  }
  const ok = say('ok')
  const note = say('note')
  const failed = say('failed')
  const { service, domain } = server
  const { host, port } = parseService(service)

  try {
    const addresses = await lookup(host, { all: true })
    ok('name', `${host} is ${addresses.map(({ address }) => address).join(', ')}`)
  } catch (error) {
    failed('name', explainNetwork(error, server))
    return false
  }

  const socket = connect({ host, port })
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(STEP_MS) })
    ok('connection', `${host}:${port} takes connections`)
  } catch (error) {
    failed('connection', explainNetwork(error, server))
    return false
  } finally {
    socket.destroy()
  }

  const link = openLink(server, version)
  try {
    const problem = await link.outcome
    if (problem !== undefined) {
      failed('handshake', problem)
      return false
    }
    ok('handshake', `Prosody takes us for ${domain}`)
    return await examineStatistics(link.connection, { ok, note, failed })
  } finally {
    await link.connection.stop()
  }
}

type Say = Readonly<Record<'ok' | 'note' | 'failed', (step: string, text: string) => void>>

async function examineStatistics(connection: Connection, { ok, note, failed }: Say) {
  const collector = createRegistryCollector(connection)
  const read = () => collector.collect({ timeoutMs: STEP_MS })
  let first: Collected
  let second: Collected
  const askedAt = Date.now() / 1000
  try {
    first = await read()
    await setTimeout(NEXT_COLLECTION_MS)
    second = await read()
  } catch (error) {
    failed('statistics', (error as Error).message)
    return false
  }
  const endedAt = Date.now() / 1000
  const series = first.families.reduce((sum, { order }) => sum + order.length, 0)
  ok('statistics', `${first.families.length} families with ${series} series`)

  const hosts = hostsOf(first)
  if (hosts.length > 0) ok('hosts', hosts.join(', '))
  else note('hosts', 'none has told anything yet')

  const [before, after] = [updatedAt(first), updatedAt(second)]
  if (after === undefined) {
    note('collection', 'Prosody has not collected yet: gauges come with its first interval')
  } else if (before !== after) {
    ok('collection', 'at each reading (statistics_interval = "manual"): every value is fresh')
  } else {
    note(
      'collection',
      'Prosody collects by itself: what modules set at collection time is up to a statistics_interval old. ' +
        'For fresh values set statistics_interval = "manual" in the global section of prosody.cfg.lua and restart Prosody',
    )
  }
  const skew = after === undefined ? 0 : Math.max(0, after - endedAt, askedAt - after)
  // What was collected long ago tells nothing of the clock.
  if (before !== after && skew > MAX_SKEW_S) {
    note('clock', `Prosody's differs from ours by ${Math.round(skew)} s: run NTP on both machines`)
  } else if (before !== after) ok('clock', "Prosody's is ours")
  return true
}

function openLink(server: Server, version: string) {
  let settle: (problem: string | undefined) => void = () => undefined
  const outcome = new Promise<string | undefined>((resolve) => (settle = resolve))
  const ignore = () => undefined
  const connection = createConnection({
    ...server,
    version,
    // What keeps the stream from coming up is one line, with what to change.
    log: { debug: ignore, info: ignore, warn: settle, error: settle },
    onOnline: () => {
      settle(undefined)
    },
  })
  connection.start()
  return { connection, outcome }
}

function explainNetwork(error: unknown, { service, domain }: Server): string {
  const { code = '', name } = error as NodeJS.ErrnoException
  const condition = name === 'AbortError' || name === 'TimeoutError' ? 'ETIMEDOUT' : code
  const end = { kind: 'network' as const, condition, text: (error as Error).message }
  return explain(end, { service, domain, wasOnline: false })
}

function hostsOf({ families }: Collected): string[] {
  const hosts = new Set<string>()
  for (const { labels, order } of families) {
    for (const row of order) {
      const [, host] = /(?:^|,)host="((?:[^"\\]|\\.)*)"/.exec(labelsOf(labels, row)) ?? []
      if (host) hosts.add(host)
    }
  }
  return [...hosts].sort()
}

function updatedAt({ about = [] }: Collected): number | undefined {
  return about.find(({ name }) => name.endsWith('_updated_timestamp_seconds'))?.values[0]
}

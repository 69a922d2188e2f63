import type { OutsideConfig } from '../config/read-config.js'
import { LinkError, StanzaError, TimeoutError } from '../errors.js'
import { createProblemLog, type ProblemLog } from '../log/log-limit.js'
import type { Log } from '../log/log.js'
import type { Connection } from '../xmpp/connection.js'
import { NS_PING } from '../xmpp/namespaces.js'
import type { Schedule } from '../xmpp/schedule.js'
import { xml } from '../xmpp/xml.js'
import { createLabelSeries, type DomainSeries } from './outside-families.js'
import { createRounds } from './rounds.js'

export type RemotePingsOptions = {
  readonly config: () => OutsideConfig | undefined
  /** Returns the stream to the server with this name; `undefined` if the configuration no longer has it. */
  readonly findConnection: (server: string) => Connection | undefined
  readonly log: Log
  /** Returns the time in monotonic milliseconds. */
  readonly now: () => number
  readonly schedule: Schedule
  readonly onChange: () => void
}

/** The result of a ping. `seconds` is missing if the remote server did not answer. */
type Ping = { readonly seconds?: number; readonly reason: string }

/**
 * Pings other XMPP servers through the server of the exporter, as a user would reach them (XEP-0199). Only the remotes in
 * the configuration are pinged.
 */
export function createRemotePings(options: RemotePingsOptions) {
  const { config, now } = options
  const logs = new Map<string, ProblemLog>()
  const rounds = createRounds<Ping>({
    ...options,
    check: ping,
    hasReached: () => true,
    onResult: (remote, result) => {
      if (result) logPing(remote, result)
      options.onChange()
    },
  })

  async function ping(remote: string): Promise<Ping | undefined> {
    const { server, timeoutMs } = config() ?? {}
    const connection = server === undefined ? undefined : options.findConnection(server)
    if (!connection || timeoutMs === undefined) return undefined
    const startedAtMs = now()
    const answered = () => ({ seconds: (now() - startedAtMs) / 1000, reason: '' })
    try {
      await connection.request('get', xml('ping', { xmlns: NS_PING }), { to: remote, timeoutMs })
      return answered()
    } catch (error) {
      if (error instanceof TimeoutError) return { reason: 'no answer' }
      if (error instanceof StanzaError) {
        return isFromOwnServer(error) ? { reason: error.condition } : answered()
      }
      // Without a stream to the own server, nothing is known about the remote one.
      if (error instanceof LinkError) return undefined
      throw error
    }
  }

  function logPing(remote: string, { seconds, reason }: Ping): void {
    const problems = logs.get(remote) ?? createProblemLog(options.log, now)
    logs.set(remote, problems)
    if (seconds !== undefined) problems.recovered(`${remote} answers pings again`, {})
    else {
      const message = `${remote} does not answer a ping through the XMPP server`
      problems.problem({ kind: 'ping', level: 'warn', message, fields: { reason }, detail: reason })
    }
  }

  /** Returns the recent result of each remote, with the name of the remote. */
  function listResults(): readonly (readonly [string, Ping])[] {
    return (config()?.remotes ?? []).flatMap((remote) => {
      const last = rounds.getLast(remote)
      return last && now() < last.expiresAtMs ? [[remote, last.result] as const] : []
    })
  }

  return {
    applyConfig(): void {
      const { remotes = [], intervalMs = 0 } = config() ?? {}
      const names = new Set(remotes)
      for (const name of logs.keys()) if (!names.has(name)) logs.delete(name)
      rounds.apply(remotes, intervalMs)
    },
    /** Pings soon those that could not be pinged without a stream. */
    onOnline(server: string): void {
      if (server === config()?.server) rounds.checkUnknown()
    },
    getSeries: (): readonly DomainSeries[] => {
      const results = listResults()
      const up = results.map(
        ([remote, { seconds }]) => [remote, Number(seconds !== undefined)] as const,
      )
      const times = results.map(([remote, { seconds = NaN }]) => [remote, seconds] as const)
      return [
        createLabelSeries('xmpp_s2s_ping_up', 'remote', up),
        createLabelSeries('xmpp_s2s_ping_seconds', 'remote', times),
      ]
    },
    stop: (): void => {
      rounds.stop()
    },
    close: (): Promise<void> => rounds.close(),
  }
}

/** How Prosody explains that it could not connect to another server (mod_s2s), or may not (core.stanza_router). */
const OWN_TEXT = /^(?:Server-to-server connection failed|Communication with remote domains)/

const OWN_CONDITIONS: readonly string[] = ['remote-server-not-found', 'remote-server-timeout']

/**
 * Whether the own server created the error because it does not reach the remote server. The address of the sender does
 * not say that: an error comes from the address to which the request went (RFC 6120 §8.3.1). Every other error proves that
 * the remote server answered, for example `service-unavailable` without XEP-0199.
 */
function isFromOwnServer({ condition, text }: StanzaError): boolean {
  return OWN_CONDITIONS.includes(condition) || OWN_TEXT.test(text)
}

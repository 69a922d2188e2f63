import type { ServerConfig } from '../config.js'
import { examineCollectors } from './examine-collectors.js'
import { reach } from './reach.js'

/** What one step found: whether it is well, in words, and where it is not what to change. */
export type Finding = {
  readonly step: string
  readonly result: 'ok' | 'note' | 'failed'
  readonly text: string
}

export type Say = Readonly<Record<Finding['result'], (step: string, text: string) => void>>

/**
 * Goes the whole way to a server's statistics, step by step.
 *
 * @param report Called for each step as it ends.
 * @returns Whether all is well; a note is.
 */
export async function examine(
  server: ServerConfig,
  version: string,
  report: (finding: Finding) => void,
): Promise<boolean> {
  let isWell = true
  const as = (result: Finding['result']) => (step: string, text: string) => {
    isWell &&= result !== 'failed'
    report({ step, result, text })
  }
  const say: Say = { ok: as('ok'), note: as('note'), failed: as('failed') }
  const connection = await reach(server.xmpp, version, say)
  if (!connection) return isWell
  try {
    await examineCollectors(connection, server, version, say)
  } finally {
    await connection.stop()
  }
  return isWell
}
